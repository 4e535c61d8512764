"""Endpoints written into code, line by line: what a flip of the switch does not reach. Pure.

    site       a host of a configured site: the code goes on to it after a failover
    store      a public S3 endpoint (amazonaws.com and the like)
    setting    an environment variable or key that SDKs read, with a fixed value
    argument   an argument of an SDK's client, with a fixed value

A value that comes from elsewhere (`${…}`, a variable) is none. What is found in a comment is
told, and marked: it harms nobody, and may be copied. Only the matched piece is ever repeated,
never the whole line: lines of this kind have keys in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

Kind = Literal["site", "store", "setting", "argument"]

PIECE_CHARACTERS_MAX = 120
WINDOW, OVERLAP = 8_000, 400
"""A longer line (minified code) is looked at in pieces."""

HITS_OF_A_LINE_MAX = 20

PORTS = {"http": 80, "https": 443}


class Hit(NamedTuple):
    """`line` and `column` from 1. `site`: whose host it is, "" where it is none of ours."""

    line: int
    column: int
    kind: Kind
    what: str
    site: str = ""
    comment: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """`sites`: (site, pattern) of each host; `allowed`: hosts that move with the switch."""

    sites: tuple[tuple[str, re.Pattern[str]], ...] = ()
    allowed: frozenset[str] = frozenset()


def known_of(urls: Iterable[tuple[str, str]], front: Iterable[str] = ()) -> Known:
    """From (site, URL or host) of the configuration; `front`: the URLs that clients should use."""
    allowed = frozenset(_place(url)[0] for url in front if url)
    places = {(site, _place(url)) for site, url in urls if url}
    patterns = [
        (site, _pattern(host, port))
        for site, (host, port) in sorted(places)
        if host and not (host in allowed and _is_name(host))
    ]
    return Known(tuple(patterns), allowed)


def _place(url: str) -> tuple[str, int]:
    """Host and port; port 0 where none is said."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    try:
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        port = 0
    return parts.hostname or "", port


_LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1|0\.0\.0\.0")
_NAME = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+", re.IGNORECASE)
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+|[0-9a-f]*:[0-9a-f:]+", re.IGNORECASE)


def _is_name(host: str) -> bool:
    return bool(_NAME.fullmatch(host)) and not _ADDRESS.fullmatch(host)


def _pattern(host: str, port: int) -> re.Pattern[str]:
    """A host wherever it stands, behind a bucket, too; a short or a loopback one with its port."""
    text = re.escape(host)
    if _LOOPBACK.fullmatch(host):
        text = rf"(?:localhost|127\.0\.0\.1|{text}):{port}"
    elif not _is_name(host) and not _ADDRESS.fullmatch(host):
        text = rf"{text}:{port}|(?<=//){text}(?![\w.-])"
    bucket = r"(?:[\w-]{1,63}\.){0,6}" if _is_name(host) else ""
    end = r"(?![\w-]|\.\w)(?::\d+)?"
    return re.compile(rf"(?<![\w.-])(?:https?://)?{bucket}(?:{text}){end}", re.IGNORECASE)


_STORES = re.compile(
    r"(?<![\w.-])(?:https?://)?(?:"
    r"(?:[\w-]{1,63}\.){0,6}(?:s3[\w-]{0,40}\.)(?:[\w-]{1,40}\.){0,4}amazonaws\.com(?:\.cn)?"
    r"|(?:[\w-]{1,63}\.){1,6}r2\.cloudflarestorage\.com"
    r"|(?:[\w-]{1,63}\.){1,6}(?:digitaloceanspaces|backblazeb2|wasabisys|linodeobjects)\.com"
    r"|(?:[\w-]{1,63}\.){0,4}storage\.googleapis\.com"
    r")(?![\w-]|\.\w)",
    re.IGNORECASE,
)
_VALUE = (
    r"(?P<value>https?://[^\s\"'`<>(),;\\]+|(?:localhost|[\w-]+(?:\.[\w-]+)+)(?::\d{2,5})"
    r"|localhost:\d{2,5})"
)
_SETTING = re.compile(
    r"\b(?:AWS_ENDPOINT_URL(?:_[A-Z0-9_]{1,30})?|[A-Z0-9_]{0,30}S3_(?:ENDPOINT|URL|HOST)[A-Z0-9_]{0,20}"
    r"|[A-Z0-9_]{0,30}MINIO_(?:ENDPOINT|URL|HOST|SERVER)[A-Z0-9_]{0,20}|endpoint_url)"
    r"[\"'\])]{0,3}\s{0,20}(?:=>|:=|[:=,])\s{0,20}[\"'`]?" + _VALUE
)
_ARGUMENT = re.compile(
    r"(?i:\b[\w.-]{0,40}(?:endpoint|service_?url)[\w-]{0,40})[\"'\]]{0,2}\s{0,20}(?:=>|:=|[:=(,])"
    r"\s{0,20}(?:[&\w.:]{1,40}\(\s{0,5}){0,3}[\"'`]?" + _VALUE
)
_MINIO_NEW = re.compile(r"\b(?:minio\.New|Minio|MinioClient)\(\s{0,20}[\"'`]" + _VALUE)
_ABOUT_S3 = re.compile(r"(?i)\bs3|boto|\baws|minio|bucket|amazon")

_GENERIC: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("store", _STORES),
    ("setting", _SETTING),
)
_OF_SDKS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("argument", _ARGUMENT),
    ("argument", _MINIO_NEW),
)
"""Looked for only in texts that speak of S3: other services have endpoints, too."""


def hits(text: str, known: Known) -> Iterator[Hit]:
    """Every endpoint in a text, in order. What overlaps is told once, as what it says most of."""
    patterns = [*_GENERIC, *(_OF_SDKS if _ABOUT_S3.search(text) else ())]
    for number, line in enumerate(text.splitlines(), 1):
        found: dict[int, Hit] = {}
        for offset in range(0, max(len(line), 1), WINDOW):
            piece = line[offset : offset + WINDOW + OVERLAP]
            for hit in _in_line(piece, number, known, patterns):
                at = hit.column + offset
                in_comment = hit.comment or _in_comment(line, at - 1)
                found.setdefault(at, hit._replace(column=at, comment=in_comment))
        yield from (found[at] for at in sorted(found)[:HITS_OF_A_LINE_MAX])


def _in_line(
    line: str, number: int, known: Known, patterns: Iterable[tuple[Kind, re.Pattern[str]]]
) -> Iterator[Hit]:
    taken: list[tuple[int, int]] = []

    def fresh(start: int, end: int) -> bool:
        if any(start < other_end and other_start < end for other_start, other_end in taken):
            return False
        taken.append((start, end))
        return True

    for site, pattern in known.sites:
        for match in pattern.finditer(line):
            if fresh(*match.span()):
                yield _hit(line, number, match.span(), "site", site)
    for kind, pattern in patterns:
        for match in pattern.finditer(line):
            value = match.groupdict().get("value") or match.group()
            span = match.span("value") if "value" in match.groupdict() else match.span()
            if _place(value)[0] not in known.allowed and fresh(*span):
                yield _hit(line, number, match.span(), kind)


def _hit(line: str, number: int, span: tuple[int, int], kind: Kind, site: str = "") -> Hit:
    start, end = span
    piece = re.sub(r"//[^/@\s]*@", "//", line[start:end].strip())
    short = piece if len(piece) <= PIECE_CHARACTERS_MAX else f"{piece[:PIECE_CHARACTERS_MAX]}…"
    return Hit(number, start + 1, kind, short, site)


_WHOLE_LINE = ("#", "//", "/*", "* ", "--", ";", "<!--", "REM ")
_BEHIND = re.compile(r"(?:^|\s)(?:#|//|--|/\*|<!--)\s")


def _in_comment(line: str, at: int) -> bool:
    """By the look of the line alone: languages differ, and a mark is no verdict."""
    if line.lstrip().startswith(_WHOLE_LINE):
        return True
    before = _BEHIND.search(line[max(at - WINDOW, 0) : at])
    return before is not None


def by_file(found: Mapping[str, Iterable[Hit]]) -> list[tuple[str, Hit]]:
    """(path, hit) of all, by path and line; those in comments last."""
    rows = [(path, hit) for path, all_hits in found.items() for hit in all_hits]
    return sorted(rows, key=lambda row: (row[1].comment, row[0], row[1].line, row[1].column))
