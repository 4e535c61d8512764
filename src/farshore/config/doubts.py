"""What is right in form and probably wrong: said by `farshore config check`, never refused."""

from __future__ import annotations

import re
from collections.abc import Iterator

from farshore.config.values import Config

_UNUSUAL = re.compile(r"[A-Z_]")


def doubts(config: Config) -> Iterator[str]:
    """One sentence each."""
    for entry in config.pair.buckets:
        for site, bucket in ((config.source, entry.source), (config.target, entry.target)):
            if _UNUSUAL.search(bucket):
                yield (
                    f'The bucket "{bucket}" at {site.name} has capitals or underscores: most '
                    "servers take lower-case letters, digits, dots and dashes only."
                )
