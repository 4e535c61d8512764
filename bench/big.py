"""8 objects of 128 MiB: rclone and farshore in turn, each on a fresh null server."""

from __future__ import annotations

from bench import farshore, rclone, trial
from bench.figures import Samples
from bench.null_server import BIG_BYTES

OBJECTS = 8
ROUNDS = 3
MB = 1_000_000


def megabytes_per_second(run: trial.Trial) -> float:
    """By the server's clock, like `Trial.objects_per_second`."""
    return OBJECTS * BIG_BYTES / MB / run.reading.seconds


def measure() -> Samples:
    """Ratios of neighbouring runs, and the figures that they are made of."""
    samples: Samples = {}

    def note(name: str, value: float) -> None:
        samples.setdefault(name, []).append(value)

    for _ in range(ROUNDS):
        peer = trial.run(rclone, big=OBJECTS)
        ours = trial.run(farshore, big=OBJECTS)
        note("big_rate_vs_rclone", megabytes_per_second(ours) / megabytes_per_second(peer))
        note("big_peak_rss_mib", ours.cost.peak_mib)
        for who, run in (("rclone", peer), ("farshore", ours)):
            note(f"big {who}: MB/s", megabytes_per_second(run))
            note(f"big {who}: client CPU, s", run.cost.cpu_seconds)
            note(f"big {who}: whole process, s", run.cost.wall_seconds)
            note(f"big {who}: peak RSS, MiB", run.cost.peak_mib)
            note(f"big {who}: null server CPU, s", run.server_cpu_seconds)
    return samples
