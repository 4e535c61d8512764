"""python -m tests.audit FOLDER: is a pinned version among the advisories of that folder?

Ends with 0 when none is, 1 when one is, 2 when the folder cannot tell.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from packaging.utils import NormalizedName, canonicalize_name

from tests.audit.advisories import Advisory, Damaged, concerns, fixes, read_folder

ROOT = Path(__file__).parents[2]
SUMMARY_CHARACTERS_MAX = 160
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")


class Pin(NamedTuple):
    name: NormalizedName
    version: str


def pins(files: Iterable[Path]) -> list[Pin]:
    """Each name and version that is pinned, once. `Damaged` for a line that pins nothing."""
    found = [_pin(line) for file in files for line in _requirements(file.read_text())]
    if not found:
        raise Damaged("no requirements*.txt pins anything")
    return sorted(set(found))


def _requirements(text: str) -> list[str]:
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _pin(line: str) -> Pin:
    found = _PIN.match(line)
    if found is None:
        raise Damaged(f"a requirement is not pinned: {line[:80]}")
    return Pin(canonicalize_name(found[1]), found[2])


def report(wanted: Sequence[Pin], advisories: Sequence[Advisory], now: datetime) -> tuple[str, int]:
    """What is said of these pins, and how many advisories are about them. `Damaged` when not one
    of the packages is known: then it is no database of theirs."""
    known = {one.name for advisory in advisories for one in advisory.affected}
    told = [pin for pin in wanted if pin.name in known]
    if not told:
        raise Damaged("no advisory is about any pinned package: is this a copy of the database?")
    hits = [(pin, a) for pin in told for a in advisories if concerns(a, *pin)]
    newest = max(advisory.at for advisory in advisories)
    withdrawn = sum(advisory.withdrawn for advisory in advisories)
    lines = [_line(pin, advisory) for pin, advisory in hits]
    lines += [
        f"{len(wanted)} pinned packages, {len(told)} of them with advisories; {len(advisories)} "
        f"advisories read, {withdrawn} of them withdrawn; the newest is of {newest:%Y-%m-%d}, "
        f"{(now - newest).days} days old. Affected: {len(hits) or 'none'}."
    ]
    return "\n".join(lines), len(hits)


def _line(pin: Pin, advisory: Advisory) -> str:
    names = ", ".join((advisory.name, *advisory.aliases))
    mended = ", ".join(dict.fromkeys(fixes(advisory, pin.name))) or "no version that is named"
    return (
        f"{pin.name} {pin.version}: {names}; mended in {mended}. "
        f"{advisory.summary[:SUMMARY_CHARACTERS_MAX]}"
    )


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("Usage: make audit ADVISORIES=FOLDER\n")
        return 2
    try:
        wanted = pins(sorted(ROOT.glob("requirements*.txt")))
        text, hits = report(wanted, read_folder(Path(arguments[0])), datetime.now(UTC))
    except Damaged as damaged:
        sys.stderr.write(f"Nothing was audited: {damaged}.\n")
        return 2
    sys.stdout.write(f"{text}\n")
    return 1 if hits else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
