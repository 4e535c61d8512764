"""Many 4 KiB objects: rclone and farshore in turn, each on a fresh null server."""

from __future__ import annotations

from bench import farshore, rclone, trial
from bench.figures import Samples

OBJECTS = 10_000
ROUNDS = 3


def measure() -> Samples:
    """Ratios of neighbouring runs, and the figures that they are made of."""
    samples: Samples = {}

    def note(name: str, value: float) -> None:
        samples.setdefault(name, []).append(value)

    for _ in range(ROUNDS):
        peer = trial.run(rclone, small=OBJECTS)
        ours = trial.run(farshore, small=OBJECTS)
        note("small_cpu_vs_rclone", ours.cpu_ms_per_object / peer.cpu_ms_per_object)
        note("small_rate_vs_rclone", ours.objects_per_second / peer.objects_per_second)
        for who, run in (("rclone", peer), ("farshore", ours)):
            note(f"small {who}: client CPU, ms per object", run.cpu_ms_per_object)
            note(f"small {who}: objects/s", run.objects_per_second)
            note(f"small {who}: whole process, s", run.cost.wall_seconds)
            note(f"small {who}: peak RSS, MiB", run.cost.peak_mib)
            note(f"small {who}: null server CPU, s", run.server_cpu_seconds)
    return samples
