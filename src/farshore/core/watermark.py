"""The watermark: the time T before which everything written on the source is on the target.

All times are Unix seconds by the source's clock. Nothing here reads a clock.

Two things are kept apart. `known_until`: every change made before it is on the target or
in the backlog. `pending`: the oldest change in the backlog. The watermark is the earlier
one of the two. `known_until` moves when a scan closes complete (to the scan's start), and
between scans as far as whole feeds have told everything (`core.coverage`).
"Written before T" means acknowledged before T.

    feed    whole ──feed_lost──> broken ──a scan that began after the loss closes──> whole
    scan    none ──scan_started──> open ──scan_closed──> none

The watermark never goes back, with one exception: something older is found to be missing.
Then it was too good until now, and that is counted in `understatements` (the exposure was
understated). A late or doubled hint does not lower it: most of them are of changes that
are on the target already. It only holds it until the key has been looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

Basis = Literal["nothing", "scan", "feed"]
"""What the watermark rests on: no scan yet; a listing; a feed since the last listing."""


class OpenScan(NamedTuple):
    """A scan under way. `whole`: no feed has lost anything since it began."""

    started_at: float
    whole: bool


@dataclass(frozen=True, slots=True)
class Watermark:
    """One state; every event answers the next one.

    `watermark`: everything written before it is on the target; None: not known.
    `proved_at`: the same, as shown by the last complete scan alone; None before one.
    `scanned_at`: when the last complete scan began.
    """

    watermark: float | None = None
    proved_at: float | None = None
    scanned_at: float | None = None
    known_until: float | None = None
    pending: float | None = None
    basis: Basis = "nothing"
    feed_whole: bool = False
    scan: OpenScan | None = None
    understatements: int = 0

    @classmethod
    def resumed(cls, watermark: float | None, proved_at: float | None) -> Watermark:
        """After a restart, from the last published report.

        Only the watermark itself is taken for known: the local backlog may be gone. The
        feed counts as broken until a scan closes.
        """
        basis: Basis = "nothing" if watermark is None else "scan"
        return cls(watermark, proved_at, proved_at, known_until=watermark, basis=basis)

    # -- events ------------------------------------------------------------------

    def scan_started(self, at: float) -> Watermark:
        """A listing of everything begins. An older open one is given up."""
        return replace(self, scan=OpenScan(at, whole=True))

    def scan_closed(
        self, started_at: float, *, complete: bool, left_over: float | None
    ) -> Watermark:
        """The listing ended. What it found missing is in the backlog by now, or applied.

        `left_over`: the time of the oldest change that is not on the target, None: there
        is none. Incomplete, or not the scan that is open: nothing is learnt.
        """
        scan = self.scan
        if scan is None or scan.started_at != started_at:
            return self
        if not complete:
            return replace(self, scan=None)
        proved = started_at if left_over is None else min(started_at, left_over)
        known = _later(self.known_until, started_at)
        basis: Basis = "scan" if known == started_at else self.basis
        state = replace(
            self,
            scan=None,
            scanned_at=started_at,
            proved_at=proved,
            known_until=known,
            basis=basis,
            feed_whole=self.feed_whole or scan.whole,
            pending=left_over,
        )
        return state._advanced() if left_over is None else state.found_missing(left_over)

    def found_missing(self, at: float, *, resolution_s: float = 0.0) -> Watermark:
        """A look at both sides showed that a change made at `at` is not on the target.

        It stands in the backlog by now. `resolution_s`: `at` may be this much too early
        (listings count whole seconds); within it an understatement is not counted.
        """
        state = replace(self, pending=_earlier(self.pending, at))
        if self.watermark is None or at >= self.watermark:
            return state._advanced()
        counted = self.understatements + (at + resolution_s < self.watermark)
        proved = self.proved_at if self.proved_at is None else min(self.proved_at, at)
        return replace(state, watermark=at, proved_at=proved, understatements=counted)

    def told_until(self, at: float) -> Watermark:
        """The feeds have told of every change before `at`: it is in the backlog, or applied."""
        if not self.feed_whole or self.known_until is None or at <= self.known_until:
            return self
        return replace(self, known_until=at, basis="feed")._advanced()

    def backlog_oldest(self, since: float | None) -> Watermark:
        """The oldest change that waits in the backlog; None when nothing waits."""
        return replace(self, pending=since)._advanced()

    def feed_lost(self) -> Watermark:
        """Hints may have been lost: heartbeats prove nothing until a new scan has closed.

        To be called when a feed breaks and again when it begins anew, unless it goes on
        exactly where it stopped.
        """
        scan = None if self.scan is None else self.scan._replace(whole=False)
        return replace(self, feed_whole=False, scan=scan)

    # -- answers -----------------------------------------------------------------

    def exposure(self, now: float) -> float | None:
        """Seconds of changes that could be lost at most, if the source were gone now.

        None: not known. `now` is by the source's clock; never below 0.
        """
        return None if self.watermark is None else max(now - self.watermark, 0.0)

    def _advanced(self) -> Watermark:
        if self.known_until is None:
            return self
        reached = self.known_until if self.pending is None else min(self.known_until, self.pending)
        return replace(self, watermark=_later(self.watermark, reached))


def _later(one: float | None, other: float) -> float:
    return other if one is None else max(one, other)


def _earlier(one: float | None, other: float) -> float:
    return other if one is None else min(one, other)
