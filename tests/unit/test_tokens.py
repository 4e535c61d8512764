"""Tokens of the API and the webhook: who is let in, and how one takes another's place."""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from farshore.config import WebhookSource
from farshore.config.load import parse
from farshore.daemon.api import Answers, application, served
from farshore.daemon.tokens import FILE_BYTES_MAX, OWN_FILE, of_api, of_file, of_variable
from farshore.errors import ConfigError, StateError
from farshore.feed import webhook
from farshore.s3.http import HttpPool
from tests.unit.sites import TOML


async def nothing() -> None:
    """A scan that is asked for."""


ANSWERS = Answers(lambda: {"pair": "p"}, lambda: (b"", "text/plain"), lambda: "", nothing)


async def asked(port: int, authorization: str, target: bytes = b"/v1/status") -> int:
    pool = HttpPool("127.0.0.1", port, None)
    try:
        headers = [("authorization", authorization)] if authorization else []
        async with await pool.request("GET", target, headers, b"") as answer:
            await answer.read(1 << 16)
            return answer.status
    finally:
        await pool.aclose()


# -- where they come from ---------------------------------------------------------------


def test_one_is_made_for_its_owner_s_eyes_alone(tmp_path: Path) -> None:
    (token,) = of_api("", None, tmp_path / "state")()
    kept = tmp_path / "state" / OWN_FILE
    assert kept.read_text() == f"{token}\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert len(token) >= 43
    assert of_api("", None, tmp_path / "state")() == [token]


def test_of_two_that_begin_at_once_one_makes_it(tmp_path: Path) -> None:
    together = Barrier(8)

    def begin(_: int) -> Sequence[str]:
        together.wait()
        return of_api("", None, tmp_path / "state")()

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(begin, range(8)))
    assert len(found[0]) == 1
    assert found == [found[0]] * 8
    assert [path.name for path in (tmp_path / "state").iterdir()] == [OWN_FILE]


def test_a_place_where_none_can_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    with pytest.raises(StateError, match="cannot be written"):
        of_api("", None, tmp_path / "state")


def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old\n")
    tokens = of_file(path)
    assert tokens() == ["old"]
    path.write_text("old\nnew\n")
    assert tokens() == ["old", "new"]
    path.unlink()
    assert tokens() == ()


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (b"token\n", ["token"]),
        (b"token\r\n", ["token"]),
        (b"\xef\xbb\xbftoken", ["token"]),
        (b"# of 2026-11\nold # until friday\n\tnew\n", ["old", "new"]),
        (b"a#b", ["a#b"]),
        ("à-long-token\u2003x\x85y".encode(), ["à-long-token\u2003x\x85y"]),
        (b"\n \n", []),
        (b"#", []),
    ],
)
async def test_no_piece_of_a_token_and_no_word_of_a_comment_is_one(
    text: bytes, tokens: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_bytes(text)
    assert of_file(path)() == tokens
    async with served(application(ANSWERS, of_file(path)), "127.0.0.1", 0) as port:
        for token in tokens:
            assert await asked(port, f"Bearer {token.encode().decode('latin-1')}") == 200
        for piece in ("#", "Ã", "à", "of", "2026-11"):
            assert await asked(port, f"Bearer {piece.encode().decode('latin-1')}") == 401


async def test_a_token_of_any_bytes_opens_and_none_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_TOKEN", os.fsdecode(b"abc\xff"))
    async with served(application(ANSWERS, of_variable("SOME_TOKEN")), "127.0.0.1", 0) as port:
        assert await asked(port, "Bearer abc\xff") == 200
        assert await asked(port, "Bearer abc") == 401


def test_a_file_that_is_something_else_is_nobody_s(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"a " * FILE_BYTES_MAX)
    assert of_file(path)() == ()
    assert of_file(Path("/dev/zero"))() == ()


def test_an_api_without_a_token_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", " ")
    with pytest.raises(StateError, match="SOME_TOKEN holds no API token"):
        of_api("SOME_TOKEN", None, tmp_path)
    with pytest.raises(StateError, match="absent holds no API token"):
        of_api("", tmp_path / "absent", tmp_path)
    monkeypatch.setenv("SOME_TOKEN", "one two")
    assert of_variable("SOME_TOKEN")() == ["one", "two"]


# -- the configuration ------------------------------------------------------------------

FEED = '[[feeds]]\nkind = "{kind}"\ntoken = {token}\n'
NATS = 'servers = ["nats://127.0.0.1:4222"]\nstream = "s"\nconsumer = "c"\n'


def test_a_file_stands_beside_the_configuration() -> None:
    more = '[daemon]\ntoken = { file = "api.token" }\n'
    text = TOML + more + FEED.format(kind="webhook", token='{ file = "/run/hook" }')
    config = parse(text, Path("/etc/farshore/farshore.toml"))
    assert config.daemon.token_file == Path("/etc/farshore/api.token")
    assert config.daemon.token_env == ""
    assert config.feeds == (WebhookSource("", Path("/run/hook")),)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("[daemon]\ntoken = {}\n", "or { file ="),
        ('[daemon]\ntoken = { env = "A", file = "b" }\n', "or { file ="),
        (FEED.format(kind="nats", token='{ file = "b" }') + NATS, "env alone"),
    ],
)
def test_one_source_and_one_that_the_feed_can_use(more: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(TOML + more, Path("/etc/farshore/farshore.toml"))
    assert any(why in problem for problem in refused.value.problems), refused.value.problems


# -- the API ----------------------------------------------------------------------------


async def test_a_token_is_replaced_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    async with served(application(ANSWERS, of_file(path)), "127.0.0.1", 0) as port:
        assert await asked(port, "Bearer old") == 200
        path.write_text("old new")
        assert [await asked(port, f"Bearer {word}") for word in ("old", "new")] == [200, 200]
        path.write_text("new")
        assert [await asked(port, f"Bearer {word}") for word in ("old", "new")] == [401, 200]


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Bearer t", "Bearer tokenn", "token", "Basic token"]
)
async def test_who_shows_no_valid_token_is_refused(authorization: str) -> None:
    async with served(application(ANSWERS, lambda: ["token"]), "127.0.0.1", 0) as port:
        assert await asked(port, authorization) == 401
        assert await asked(port, "", b"/healthz") == 200


async def test_with_no_token_left_nobody_is_let_in() -> None:
    async with served(application(ANSWERS, lambda: ()), "127.0.0.1", 0) as port:
        assert [await asked(port, said) for said in ("Bearer ", "Bearer x", "")] == [401] * 3


# -- time -------------------------------------------------------------------------------


class Compared:
    """Stands in for `hmac` and notes what is compared."""

    def __init__(self) -> None:
        self.pairs: list[tuple[bytes, bytes]] = []

    def compare_digest(self, shown: bytes, token: bytes) -> bool:
        self.pairs.append((shown, token))
        return hmac.compare_digest(shown, token)


@pytest.mark.parametrize("shown", ["first", "second", "neither"])
def test_every_token_is_compared_by_compare_digest(
    shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where they differ, nor which of them it is, shows in the time that it takes."""
    compared = Compared()
    monkeypatch.setattr(webhook, "hmac", compared)
    tokens: Sequence[str] = ["first", "second"]
    assert webhook.is_allowed(f"Bearer {shown}", tokens) is (shown != "neither")
    assert compared.pairs == [(shown.encode(), token.encode()) for token in tokens]
