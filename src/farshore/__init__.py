"""farshore: every version of your S3 files in a second region, proved.

For applications: `endpoint()` says where the switch points, `boto3_client()` follows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farshore.application import Keys, ReadYourWrites, boto3_client, daemon_watermark, endpoint

__version__ = "0.1.0"
__all__ = [
    "Keys",
    "ReadYourWrites",
    "__version__",
    "boto3_client",
    "daemon_watermark",
    "endpoint",
]


def __getattr__(name: str) -> object:
    """Loaded when an application asks for it: the command line does not need it."""
    if name in __all__:
        from farshore import application

        return getattr(application, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
