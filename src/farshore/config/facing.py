"""A configuration seen from the primary that stands: after a failover the pair runs the other way.

farshore.toml names the source as it was when the file was written. Which site is primary is
in the control record; the file is not edited in a storm. Whatever reads or copies asks for the
configuration that faces the recorded primary.
"""

from __future__ import annotations

from dataclasses import replace

from farshore.config.values import BucketMap, Config
from farshore.errors import ConfigError


def facing(config: Config, primary: str) -> Config:
    """The same pair with `primary` as its source. Its name, and so its documents, stay.

    `ConfigError` for a site that is not of the pair.
    """
    pair = config.pair
    if primary == pair.source:
        return config
    if primary != pair.target:
        raise ConfigError(
            f"The control record says that {primary} is primary, and {config.path} has a pair of "
            f"{pair.source} and {pair.target}.",
            hint="Use the configuration that this control bucket belongs to.",
        )
    buckets = tuple(BucketMap(entry.target, entry.source) for entry in pair.buckets)
    turned = replace(pair, source=pair.target, target=pair.source, buckets=buckets)
    return replace(config, pair=turned)


def is_turned(config: Config, written: Config) -> bool:
    """Whether `config` runs against the direction of the file."""
    return config.pair.source != written.pair.source
