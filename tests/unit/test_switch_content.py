"""The text of a file that applications read: one entry changes, all else stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.switch.content import BadContent, site_in, value_in, with_value

URL = "https://s3.west.example.net:8443"
LINE = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])).filter(
    lambda line: "AWS_ENDPOINT_URL_S3" not in line
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.lists(LINE), st.lists(LINE))
def test_other_lines_stay_as_they_are(before: list[str], after: list[str]) -> None:
    text = "\n".join([*before, "AWS_ENDPOINT_URL_S3=old", *after, "end"]) + "\n"
    changed = with_value(text, "env", URL, "west")
    assert changed == "\n".join([*before, f"AWS_ENDPOINT_URL_S3={URL}", *after, "end"]) + "\n"
    assert value_in(changed, "env") == URL


@given(st.dictionaries(st.text().filter(lambda k: k not in ("site", "endpoint_url")), JSON))
def test_other_keys_stay_as_they_are(document: dict[str, object]) -> None:
    changed = with_value(json.dumps(document), "json", URL, "west")
    assert json.loads(changed) == {**document, "endpoint_url": URL, "site": "west"}
    assert (value_in(changed, "json"), site_in(changed, "json")) == (URL, "west")


@pytest.mark.parametrize(
    ("text", "value", "changed"),
    [
        ("", "", f"AWS_ENDPOINT_URL_S3={URL}\n"),
        ("A=1", "", f"A=1\nAWS_ENDPOINT_URL_S3={URL}\n"),
        ("AWS_ENDPOINT_URL_S3='x'\n", "x", f"AWS_ENDPOINT_URL_S3={URL}\n"),
        ('export AWS_ENDPOINT_URL_S3="x"\n', "x", f"export AWS_ENDPOINT_URL_S3={URL}\n"),
        ("#AWS_ENDPOINT_URL_S3=x\n", "", f"#AWS_ENDPOINT_URL_S3=x\nAWS_ENDPOINT_URL_S3={URL}\n"),
        ("AWS_ENDPOINT_URL_S3=x\r\nA=1\r\n", "x", f"AWS_ENDPOINT_URL_S3={URL}\nA=1\r\n"),
        (
            "AWS_ENDPOINT_URL_S3=x\nA=1\nAWS_ENDPOINT_URL_S3=y\n",
            "y",
            f"A=1\nAWS_ENDPOINT_URL_S3={URL}\n",
        ),
    ],
)
def test_env_lines_as_shells_read_them(text: str, value: str, changed: str) -> None:
    assert value_in(text, "env") == value
    assert with_value(text, "env", URL, "west") == changed


@pytest.mark.parametrize("value", ["a b", "$(rm)", "a\nb", "'", '"', "`x`", "a;b", ""])
def test_a_value_that_a_shell_would_read_differently_is_refused(value: str) -> None:
    with pytest.raises(BadContent):
        with_value("", "env", value, "west")


def test_deeply_nested_json_is_no_crash() -> None:
    with pytest.raises(BadContent, match="not JSON"):
        value_in("[" * 100_000, "json")
