"""The filer client against answers as SeaweedFS 4.48 gives them."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from farshore.core.model import Version
from farshore.errors import BadListing, ServerFault, Unsupported
from farshore.s3 import filer as filer_module
from farshore.s3.filer import FilerName, HttpFiler
from farshore.s3.http import HttpPool
from tests.unit.http_server import Peer, serve

REQUESTS_MAX = 40


def entry(path: str, *, directory: bool = False, **fields: Any) -> dict[str, Any]:
    """An entry of a listing; `extended` takes plain text."""
    extended = fields.pop("extended", {})
    return {
        "FullPath": f"/buckets/b/{path}",
        "Mtime": "2026-11-22T17:31:18+01:00",
        "Mode": 2147484153 if directory else 432,
        "Mime": "",
        "FileSize": 0,
        "Md5": None,
        "Extended": {k: base64.b64encode(v.encode()).decode() for k, v in extended.items()} or None,
        **fields,
    }


def version_entry(key: str, version_id: str, **extended: str) -> dict[str, Any]:
    return entry(
        f"{key}.versions/v_{version_id}",
        FileSize=3,
        extended={"Seaweed-X-Amz-Version-Id": version_id, **extended},
    )


def listing(*entries: dict[str, Any], more: bool = False) -> bytes:
    return json.dumps({"Entries": list(entries) or None, "ShouldDisplayLoadMore": more}).encode()


@asynccontextmanager
async def filer_of(answers: dict[str, bytes]) -> AsyncIterator[tuple[HttpFiler, list[str]]]:
    """A filer that answers by target (404 for others), and the targets that were asked."""
    asked: list[str] = []

    async def script(peer: Peer) -> None:
        for _ in range(REQUESTS_MAX):
            try:
                request = await peer.request()
            except EOFError:
                return
            asked.append(request.target)
            assert request.values("accept") == ["application/json"]
            body = answers.get(request.target)
            if body is None:
                await peer.answer(status="404 Not Found")
            else:
                await peer.answer(body)

    async with serve(script) as server:
        pool = HttpPool("127.0.0.1", server.port, None)
        try:
            yield HttpFiler(pool, site="west", page_limit=2), asked
        finally:
            await pool.aclose()


async def names_of(filer: HttpFiler, directory: str, after: str = "") -> list[FilerName]:
    return [name async for page in filer.names("b", directory, after=after) for name in page]


async def test_names_are_read_page_by_page_and_escaped() -> None:
    first = listing(entry("d e/a?"), entry("d e/b.versions", directory=True), more=True)
    second = listing(entry("d e/c", directory=True))
    answers = {
        "/buckets/b/d%20e/?limit=2&lastFileName=": first,
        "/buckets/b/d%20e/?limit=2&lastFileName=b.versions": second,
    }
    async with filer_of(answers) as (filer, asked):
        assert await names_of(filer, "d e/") == [
            FilerName("a?", False, True),
            FilerName("b.versions", True, False),
            FilerName("c", True, False),
        ]
        assert asked == list(answers)
        assert filer.requests == 2


async def test_a_directory_that_is_not_there_has_no_names() -> None:
    async with filer_of({}) as (filer, _):
        assert await names_of(filer, "nowhere/") == []


async def test_a_directory_that_was_a_file_still_holds_its_null_version() -> None:
    prefix_object = {"x-seaweedfs-prefix-object": "true", "Seaweed-X-Amz-ETag": "e"}
    folder = {"Seaweed-X-Amz-ETag": "e"}
    answers = {
        "/buckets/b/?limit=2&lastFileName=": listing(
            entry("was", directory=True, extended=prefix_object),
            entry("x", directory=True, extended=folder, Mime="httpd/unix-directory"),
        )
    }
    async with filer_of(answers) as (filer, _):
        assert await names_of(filer, "") == [
            FilerName("was", True, True),
            FilerName("x", True, False),
        ]


NEWER, OLDER, OLD_FORM = (
    "6715955a23c33f8709833bae72fe5785",
    "6715955a288526ae71a75776badadde1",
    "18a0000000000000aaaaaaaaaaaaaaaa",
)


def history_answers(**extra: bytes) -> dict[str, bytes]:
    return {
        "/buckets/b/k.versions/?limit=250&lastFileName=": listing(
            version_entry("k", OLD_FORM, **{"Seaweed-X-Amz-ETag": '"old"'}),
            version_entry("k", NEWER, **{"Seaweed-X-Amz-Delete-Marker": "true"}),
            version_entry("k", OLDER, **{"Seaweed-X-Amz-ETag": "abc", "X-Amz-Storage-Class": "IA"}),
            entry("k.versions/z-not-a-version"),
        ),
        **{target.replace("_", "?"): body for target, body in extra.items()},
    }


async def test_a_history_is_newest_first_by_the_time_in_its_ids() -> None:
    async with filer_of(history_answers()) as (filer, _):
        time = "2026-11-22T16:31:18Z"
        assert await filer.history("b", "k") == [
            Version("k", NEWER, True, True, "", 0, time, ""),
            Version("k", OLDER, False, False, "abc", 3, time, "IA"),
            Version("k", OLD_FORM, False, False, "old", 3, time, "STANDARD"),
        ]


@pytest.mark.parametrize(
    ("folder", "first"),
    [({"Seaweed-X-Amz-Latest-Version-Id": NEWER}, NEWER), ({"other": "x"}, "null")],
)
async def test_a_null_version_is_first_when_it_is_the_latest_and_last_else(
    folder: dict[str, str], first: str
) -> None:
    md5 = base64.b64encode(bytes.fromhex("b6450f066a9af9642b44f79ce9d50322")).decode()
    answers = history_answers()
    answers["/buckets/b/k?metadata=true"] = json.dumps(entry("k", FileSize=5, Md5=md5)).encode()
    answers["/buckets/b/k.versions?metadata=true"] = json.dumps(
        entry("k.versions", directory=True, extended=folder)
    ).encode()
    async with filer_of(answers) as (filer, _):
        history = await filer.history("b", "k")
    assert history[0].version_id == first
    assert [v.is_latest for v in history] == [True, False, False, False]
    null = history[0 if first == "null" else -1]
    assert null[:6] == ("k", "null", False, first == "null", md5 and null.etag, 5)
    assert null.etag == "b6450f066a9af9642b44f79ce9d50322"


async def test_an_unknown_form_of_version_id_is_refused() -> None:
    answers = {
        "/buckets/b/k.versions/?limit=250&lastFileName=": listing(version_entry("k", "not-hex"))
    }
    async with filer_of(answers) as (filer, _):
        with pytest.raises(BadListing, match="'not-hex', which holds no time"):
            await filer.history("b", "k")


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (listing(entry("b"), entry("a")), "is out of order"),
        (listing(entry("a"), entry("a")), "is out of order"),
        (listing(more=True), "says that there is more"),
        (b"<html>", "does not answer in JSON"),
        (b"[]", "does not answer in JSON"),
    ],
)
async def test_a_filer_that_contradicts_itself_is_refused(page: bytes, message: str) -> None:
    async with filer_of({"/buckets/b/?limit=2&lastFileName=": page}) as (filer, _):
        with pytest.raises(BadListing, match=message):
            await names_of(filer, "")


async def test_names_that_do_not_follow_the_last_one_are_refused() -> None:
    answers = {"/buckets/b/?limit=2&lastFileName=m": listing(entry("m"))}
    async with filer_of(answers) as (filer, _):
        with pytest.raises(BadListing, match="is out of order after 'm'"):
            await names_of(filer, "", after="m")


@pytest.mark.parametrize(
    ("status", "kind"),
    [("401 Unauthorized", Unsupported), ("500 Internal Server Error", ServerFault)],
)
async def test_refusals_are_told_apart(status: str, kind: type[Exception]) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"no", status=status)

    async with serve(script) as server:
        pool = HttpPool("127.0.0.1", server.port, None)
        with pytest.raises(kind, match=status[:3]):
            await names_of(HttpFiler(pool, site="west"), "")
        await pool.aclose()


async def test_an_answer_that_is_too_long_is_asked_for_in_smaller_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two = entry("a", chunks=["x" * 400]), entry("b", chunks=["x" * 400])
    monkeypatch.setattr(filer_module, "ANSWER_BYTES_MAX", len(listing(one)) + 200)
    answers = {
        "/buckets/b/?limit=2&lastFileName=": listing(one, two),
        "/buckets/b/?limit=1&lastFileName=": listing(one, more=True),
        "/buckets/b/?limit=1&lastFileName=a": listing(two),
    }
    async with scripted_each(answers) as filer:
        assert [name.name for name in await names_of(filer, "")] == ["a", "b"]


@asynccontextmanager
async def scripted_each(answers: dict[str, bytes]) -> AsyncIterator[HttpFiler]:
    """One connection per answer: a client that stops reading drops its connection."""

    def answering() -> Callable[[Peer], Any]:
        async def script(peer: Peer) -> None:
            for _ in range(REQUESTS_MAX):
                try:
                    request = await peer.request()
                    await peer.answer(answers[request.target])
                except (EOFError, ConnectionError):
                    return

        return script

    async with serve(*(answering() for _ in answers)) as server:
        pool = HttpPool("127.0.0.1", server.port, None)
        try:
            yield HttpFiler(pool, site="west", page_limit=2)
        finally:
            await pool.aclose()
