"""farshore.toml, parsed once into frozen values.

Values are here; `farshore.config.load.load` reads the file (and imports Pydantic, so
commands import it when they run).
"""

from farshore.config.values import (
    PRINCIPALS,
    BucketMap,
    Config,
    FeedSource,
    FilerSource,
    FilerTls,
    Limits,
    NatsSource,
    Notify,
    Pair,
    Principal,
    Site,
    SqsSource,
    Voice,
    WebhookSource,
)

__all__ = [
    "PRINCIPALS",
    "BucketMap",
    "Config",
    "FeedSource",
    "FilerSource",
    "FilerTls",
    "Limits",
    "NatsSource",
    "Notify",
    "Pair",
    "Principal",
    "Site",
    "SqsSource",
    "Voice",
    "WebhookSource",
]
