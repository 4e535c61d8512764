"""The peer: `rclone copy` of the current versions, with its own checks left on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench import child
from bench.null_server import BUCKET, Endpoints

BINARY = str(Path(sys.executable).parent / "rclone")
TRANSFERS = 32


def _remote(name: str, port: int) -> dict[str, str]:
    prefix = f"RCLONE_CONFIG_{name.upper()}_"
    return {
        prefix + "TYPE": "s3",
        prefix + "PROVIDER": "Other",
        prefix + "ENDPOINT": f"http://127.0.0.1:{port}",
        prefix + "ACCESS_KEY_ID": "bench",
        prefix + "SECRET_ACCESS_KEY": "bench-secret",
        prefix + "REGION": "us-east-1",
        prefix + "FORCE_PATH_STYLE": "true",
        prefix + "LIST_VERSION": "2",
    }


def copy(endpoints: Endpoints, folder: str) -> child.Cost:
    """Copy the whole bucket from east to west."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": folder,
        "RCLONE_CONFIG": os.devnull,
        **_remote("east", endpoints.east),
        **_remote("west", endpoints.west),
    }
    command = [
        *(BINARY, "copy", f"east:{BUCKET}", f"west:{BUCKET}"),
        *("--metadata", "--transfers", str(TRANSFERS), "--checkers", str(TRANSFERS)),
        *("--s3-no-check-bucket", "--retries", "1", "--low-level-retries", "1"),
    ]
    return child.run(command, environment, folder)


def prepare(endpoints: Endpoints, folder: str) -> None:
    """Nothing: rclone is configured by its environment."""


def version() -> str:
    """The first line of `rclone version`."""
    answer = subprocess.run([BINARY, "version"], capture_output=True, text=True, check=True)
    return answer.stdout.splitlines()[0]
