"""The text of a file that applications read: one entry changes, all else stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.core import whereabouts
from farshore.switch.content import BadContent, Entry, Format, entry_in, with_entry

URL = "https://s3.west.example.net:8443"
VALUES = {"east": "http://10.0.0.1:8333", "west": URL}
OURS = f"AWS_ENDPOINT_URL_S3={URL}\nFARSHORE_SITE=west\n"
OUR_KEYS = ("endpoint_url", "site", "sites", "epoch")
LINE = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])).filter(
    lambda line: "AWS_ENDPOINT_URL_S3" not in line and "FARSHORE_SITE" not in line
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.lists(LINE), st.lists(LINE))
def test_other_lines_stay_as_they_are(before: list[str], after: list[str]) -> None:
    def text(url: str, site: str) -> str:
        ours = [f"AWS_ENDPOINT_URL_S3={url}", *after, f"FARSHORE_SITE={site}"]
        return "\n".join([*before, *ours, *after, "end"]) + "\n"

    changed = with_entry(text("old", "east"), "env", "west", VALUES)
    assert changed == text(URL, "west")
    assert entry_in(changed, "env") == Entry(URL, "west")


@given(st.dictionaries(st.text().filter(lambda k: k not in OUR_KEYS), JSON))
def test_other_keys_stay_as_they_are(document: dict[str, object]) -> None:
    changed = with_entry(json.dumps(document), "json", "west", VALUES)
    ours = {"endpoint_url": URL, "site": "west", "sites": VALUES}
    assert json.loads(changed) == {**document, **ours}
    assert entry_in(changed, "json") == Entry(URL, "west")


@pytest.mark.parametrize(
    ("text", "entry", "changed"),
    [
        ("", Entry("", ""), OURS),
        ("A=1", Entry("", ""), f"A=1\n{OURS}"),
        ("AWS_ENDPOINT_URL_S3='x'\nFARSHORE_SITE=s\n", Entry("x", "s"), OURS),
        ('export AWS_ENDPOINT_URL_S3="x"\n', Entry("x", ""), f"export {OURS}"),
        ("#AWS_ENDPOINT_URL_S3=x\n", Entry("", ""), f"#AWS_ENDPOINT_URL_S3=x\n{OURS}"),
        ("FARSHORE_SITE=a\r\nAWS_ENDPOINT_URL_S3=x\r\n", Entry("x", "a"), None),
        (
            "AWS_ENDPOINT_URL_S3=x\nA=1\nAWS_ENDPOINT_URL_S3=y\n",
            Entry("y", ""),
            f"A=1\n{OURS}",
        ),
    ],
)
def test_env_lines_as_shells_read_them(text: str, entry: Entry, changed: str | None) -> None:
    assert entry_in(text, "env") == entry
    found = with_entry(text, "env", "west", VALUES)
    assert changed is None or found == changed
    assert entry_in(found, "env") == Entry(URL, "west")


@pytest.mark.parametrize("value", ["a b", "$(rm)", "a\nb", "'", '"', "`x`", "a;b", ""])
def test_a_value_that_a_shell_would_read_differently_is_refused(value: str) -> None:
    with pytest.raises(BadContent, match="quotes"):
        with_entry("", "env", "west", {"west": value})


def test_deeply_nested_json_is_no_crash() -> None:
    with pytest.raises(BadContent, match="not JSON"):
        entry_in("[" * 100_000, "json")


@pytest.mark.parametrize("form", ["json", "env"])
def test_the_epoch_is_written_changed_and_taken_out(form: Format) -> None:
    """An older farshore reads it, too: `core.whereabouts`."""
    first = with_entry("", form, "west", VALUES, 4)
    assert whereabouts.read(first.encode())[1:4] == ("west", URL, 4)
    again = with_entry(first, form, "west", VALUES, 6)
    assert whereabouts.read(again.encode()).epoch == 6
    unknown = with_entry(again, form, "east", VALUES)
    assert unknown == with_entry("", form, "east", VALUES)
