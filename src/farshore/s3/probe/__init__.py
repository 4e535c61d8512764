"""The probe: what an endpoint can do, found out by asking it, before it is believed."""

from farshore.s3.probe.report import PROBE_PREFIX, ProbeReport, probe

__all__ = ["PROBE_PREFIX", "ProbeReport", "probe"]
