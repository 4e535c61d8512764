"""What no single key of farshore.toml shows: names that must agree, places that must differ.

Works on every part of the file that is right by itself, so that one bad key does not
hide the problems of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError

from farshore.config.fields import CONTROL_BUCKET, SITE_NAME, Form
from farshore.config.form import BucketForm, FeedForm, SiteForm
from farshore.config.locate import Path
from farshore.config.problems import Problem
from farshore.config.switch_form import DriverForm

_LOOPBACK = {"localhost": "127.0.0.1", "::1": "127.0.0.1"}

AnyForm = TypeVar("AnyForm", bound=Form)


@dataclass(frozen=True, slots=True)
class Parts:
    """A file's sound parts: None stands for a site or a bucket that is wrong by itself.

    `sides`: "source" and "target" to the site's name, as far as they are given.
    """

    sites: dict[str, SiteForm | None]
    sides: dict[str, str]
    control_bucket: str
    buckets: list[BucketForm | None]

    @classmethod
    def of(cls, document: dict[str, Any]) -> Parts:
        """Whatever can be used of a TOML document."""
        pair = _table(document.get("pair"))
        entries = pair.get("buckets")
        control = pair.get("control_bucket", CONTROL_BUCKET)
        return cls(
            sites={n: _sound(SiteForm, s) for n, s in _table(document.get("sites")).items()},
            sides={s: pair[s] for s in ("source", "target") if isinstance(pair.get(s), str)},
            control_bucket=control if isinstance(control, str) else CONTROL_BUCKET,
            buckets=[_sound(BucketForm, e) for e in entries] if isinstance(entries, list) else [],
        )

    def site(self, side: str) -> SiteForm | None:
        return self.sites.get(self.sides.get(side, ""))

    def control(self, side: str) -> str:
        site = self.site(side)
        return site.control_bucket if site and site.control_bucket else self.control_bucket

    def entries(self) -> Iterator[tuple[Path, str, str]]:
        """(path, source, target) of every sound bucket entry."""
        for index, entry in enumerate(self.buckets):
            if entry:
                yield ("pair", "buckets", index), entry.source, entry.target or entry.source


def problems_between(document: dict[str, Any]) -> list[Problem]:
    """Every problem that lies between the parts of a document."""
    parts = Parts.of(document)
    return [
        *_site_names(parts),
        *_unknown_sites(parts),
        *_bucket_maps(parts),
        *_control_buckets(parts),
        *_same_place(parts),
        *_repeated_feeds(document.get("feeds")),
        *_switch_values(parts, _table(document.get("switch")).get("drivers")),
    ]


def _site_names(parts: Parts) -> Iterator[Problem]:
    for name in parts.sites:
        if not SITE_NAME.fullmatch(name):
            text = "a site's name is 1 to 32 of a-z, 0-9 and dashes; write another name"
            yield Problem(("sites", name), text)


def _unknown_sites(parts: Parts) -> Iterator[Problem]:
    for side, name in parts.sides.items():
        if name not in parts.sites:
            known = ", ".join(parts.sites) or "none"
            yield Problem(("pair", side), f"there is no such site; known: {known}")
    if len(parts.sides) == 2 and len(set(parts.sides.values())) == 1:
        yield Problem(("pair", "target"), "must be another site than pair.source")


def _bucket_maps(parts: Parts) -> Iterator[Problem]:
    seen: set[str] = set()
    taken: set[str] = set()
    for path, source, target in parts.entries():
        if source in seen:
            yield Problem((*path, "source"), "is named above already; leave one of the two out")
        elif target in taken:
            yield Problem((*path, "target"), "receives another bucket already; write another name")
        seen.add(source)
        taken.add(target)


def _control_buckets(parts: Parts) -> Iterator[Problem]:
    for path, source, target in parts.entries():
        if source == parts.control("source") or target == parts.control("target"):
            yield Problem(path, "the control bucket cannot be replicated; name another bucket")


def _same_place(parts: Parts) -> Iterator[Problem]:
    """Both sides at one endpoint: allowed, unless a bucket would be copied onto itself."""
    source, target = parts.site("source"), parts.site("target")
    if not source or not target or source is target:
        return
    if _place(source.endpoint) != _place(target.endpoint):
        return
    for path, name, copy in parts.entries():
        if name == copy:
            text = (
                "source and target are the same bucket at the same endpoint; "
                "write another target, or correct one site's endpoint"
            )
            yield Problem(path, text)
    if parts.control("source") == parts.control("target"):
        text = (
            "both sites have one endpoint, so they need two control buckets; write "
            f'control_bucket = "{parts.control("target")}-2" here, or correct the endpoint'
        )
        yield Problem(("sites", parts.sides["target"]), text)


def _repeated_feeds(entries: object) -> Iterator[Problem]:
    """Two feeds of one origin would share its messages and give nothing more."""
    seen: list[FeedForm] = []
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        feed = _sound(FeedForm, entry)
        if feed and any(_origin(feed) == _origin(other) for other in seen):
            yield Problem(("feeds", index), "is there above already; leave one of the two out")
        elif feed:
            seen.append(feed)


def _origin(feed: FeedForm) -> tuple[object, ...]:
    return (feed.kind, feed.queue_url, feed.servers, feed.stream, feed.consumer)


def _switch_values(parts: Parts, entries: object) -> Iterator[Problem]:
    """A driver that has no value for one side could not flip to it, or back."""
    names: set[str] = set()
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        driver = _sound(DriverForm, entry)
        if driver is None:
            continue
        where: Path = ("switch", "drivers", index)
        name = driver.name or driver.kind
        if name in names:
            yield Problem(where, f'the name "{name}" is taken above; write another name')
        names.add(name)
        if driver.values is None:
            continue
        for site in sorted(set(parts.sides.values()) - set(driver.values)):
            yield Problem((*where, "values"), f"has nothing for {site}")
        for site in sorted(set(driver.values) - set(parts.sites)):
            yield Problem((*where, "values", site), "there is no such site")
        if len(set(driver.values.values())) < len(driver.values):
            yield Problem((*where, "values"), "two sites have one value: they must differ")


def _place(endpoint: str) -> tuple[str, int]:
    parts = urlsplit(endpoint)
    host = (parts.hostname or "").lower().rstrip(".")
    return _LOOPBACK.get(host, host), parts.port or (443 if parts.scheme == "https" else 80)


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _sound(form: type[AnyForm], value: object) -> AnyForm | None:
    """The value as its form; None when it is wrong (its own problems are listed elsewhere)."""
    try:
        return form.model_validate(value)
    except ValidationError:
        return None
