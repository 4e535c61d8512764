"""The file that tells applications where to go: both forms, and what is no such file."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.core.whereabouts import Whereabouts, as_env, as_json, read

WEST = Whereabouts(
    "east-west",
    "west",
    "https://w.example.net",
    7,
    "2026-01-01T00:00:00Z",
    {"east": "https://e.example.net", "west": "https://w.example.net"},
)


def test_json_comes_back_whole() -> None:
    assert read(as_json(WEST)) == WEST


def test_a_file_with_other_keys_and_none_of_the_rest_is_enough() -> None:
    found = read(b'{"endpoint_url": "https://w.example.net", "site": "west", "theirs": [1]}')
    assert (found.site, found.endpoint, found.epoch) == ("west", "https://w.example.net", 0)


def test_env_keeps_site_endpoint_and_epoch() -> None:
    found = read(as_env(WEST))
    assert (found.site, found.endpoint, found.epoch) == ("west", "https://w.example.net", 7)


def test_env_is_what_a_shell_reads() -> None:
    lines = as_env(WEST).decode().splitlines()
    assert "AWS_ENDPOINT_URL_S3=https://w.example.net" in lines


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"endpoint_url": "ftp://x"}, "no URL"),
        ({"endpoint_url": ""}, "no URL"),
        ({"endpoint_url": 5}, "no text"),
        ({"epoch": -1}, "whole number"),
        ({"epoch": True}, "whole number"),
        ({"sites": []}, "no table"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, object], why: str) -> None:
    body = {**json.loads(as_json(WEST)), **change}
    with pytest.raises(ValueError, match=why):
        read(json.dumps(body).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"hello", b"\xff\xfe", b"{" + b" " * 70_000])
def test_anything_else_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  each has its own words; none may be another error
        read(data)


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_value_error(data: bytes) -> None:
    try:
        read(data)
    except ValueError:
        return
