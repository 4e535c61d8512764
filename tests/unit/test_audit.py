"""`make audit ADVISORIES=FOLDER`: what is affected is found, and nothing passes by a bad folder."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from tests.audit.__main__ import Pin, main, pins, report
from tests.audit.advisories import Damaged, concerns, read_file, read_folder

YAML = """
id: PYSEC-2024-1
modified: 2024-02-06T20:20:18.162431Z
published: 2024-01-29T23:15:00Z
aliases:
- CVE-2024-1
details: |
  It opens the door.
affected:
- package:
    ecosystem: PyPI
    name: Some_Package
    purl: pkg:pypi/some-package
  ranges:
  - type: GIT
    repo: https://example.org/some
    events:
    - introduced: "0"
    - fixed: 33ccdfb0a12690af5bb49bda2319ec0907fa7827
  - type: ECOSYSTEM
    events:
    - introduced: "0"
    - fixed: 1.10.2
    - introduced: 2.0.0
    - last_affected: 2.1.0
  versions:
  - "0.1"
  - 3.0.0rc1
severity: []
references: []
"""
NOW = datetime(2024, 3, 7, tzinfo=UTC)
NAME = canonicalize_name("some-package")


def folder_with(path: Path, text: str = YAML, name: str = "PYSEC-2024-1.yaml") -> Path:
    place = path / "vulns" / "some-package"
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(text)
    return path


def entry(**other: Any) -> dict[str, Any]:
    """The same advisory as OSV exports it."""
    affected = {
        "package": {"ecosystem": "PyPI", "name": "some.package"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.10.2"}]}],
    }
    return {"id": "A-1", "modified": "2024-02-06T20:20:18Z", "affected": [affected], **other}


def about(**one: Any) -> dict[str, Any]:
    return entry(affected=[{"package": {"ecosystem": "PyPI", "name": "some-package"}, **one}])


def in_range(*events: dict[str, str], kind: str = "ECOSYSTEM") -> dict[str, Any]:
    return about(ranges=[{"type": kind, "events": list(events)}])


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ("0.0.1", True),
        ("0.dev0", True),
        ("1.9", True),  # before 1.10.2, whatever texts compare to
        ("1.10.2rc1", True),
        ("1.10.2", False),
        ("1.10.2.post1", False),
        ("1.99", False),
        ("2.0", True),
        ("2.1.0", True),
        ("2.1.1", False),
        ("3.0rc1", True),
        ("3.0.0", False),
    ],
)
def test_a_version_is_affected_by_ranges_and_by_its_name(
    version: str, affected: bool, tmp_path: Path
) -> None:
    (advisory,) = read_folder(folder_with(tmp_path))
    assert concerns(advisory, NAME, version) is affected
    assert not concerns(advisory, canonicalize_name("another"), version)


@pytest.mark.parametrize(
    ("told", "version", "affected"),
    [
        (entry(), "1.10.1", True),
        (entry(withdrawn="2024-02-07T00:00:00Z"), "1.10.1", False),
        (about(), "1.0", True),  # names no version at all
        (in_range({"introduced": "0"}), "99", True),
        (in_range({"fixed": "2"}, {"introduced": "1"}), "1.5", True),
        (in_range({"fixed": "2"}, {"introduced": "1"}), "2", False),
        (in_range({"introduced": "0"}, {"limit": "2"}), "2", False),
        (in_range({"introduced": "0"}, {"limit": "2"}), "1.9", True),
        (in_range({"introduced": "0"}, {"fixed": "odd-1"}), "1", True),  # cannot be told
        (in_range({"introduced": "0"}, {"fixed": "abcdef"}, kind="GIT"), "1", True),
        (about(versions=["odd-1", "1.0"]), "1", True),
        (about(versions=["odd-1", "1.0"]), "1.1", False),
        (about(versions=["odd-1"]), "odd-1", True),
    ],
)
def test_what_cannot_be_told_counts_as_affected(
    told: dict[str, Any], version: str, affected: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(told))
    assert concerns(read_file(path), NAME, version) is affected


def test_the_report_names_what_is_affected_and_how_old_the_copy_is(tmp_path: Path) -> None:
    advisories = read_folder(folder_with(tmp_path))
    text, hits = report([Pin(NAME, "1.9"), Pin(canonicalize_name("x"), "1")], advisories, NOW)
    assert hits == 1
    assert "some-package 1.9: PYSEC-2024-1, CVE-2024-1; mended in 1.10.2. It opens" in text
    assert "2 pinned packages, 1 of them with advisories; 1 advisories read, 0" in text
    assert "the newest is of 2024-02-06, 29 days old. Affected: 1." in text
    text, hits = report([Pin(NAME, "1.99")], advisories, NOW)
    assert (hits, text.endswith("Affected: none.")) == (0, True)


def test_a_folder_about_nothing_that_is_pinned_is_no_pass(tmp_path: Path) -> None:
    advisories = read_folder(folder_with(tmp_path))
    with pytest.raises(Damaged, match="copy of the database"):
        report([Pin(canonicalize_name("x"), "1")], advisories, NOW)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", ""),
        ("a.yaml", "id: ["),
        ("a.yaml", YAML[: YAML.index("affected")]),  # cut short
        ("a.yaml", YAML.replace("modified:", "changed:")),
        ("a.yaml", YAML.replace("introduced:", "fixed:")),
        ("a.yaml", "!!python/object/apply:os.system [true]"),
        ("a.json", "{}"),
        ("a.json", "[" * 100_000),
        ("a.json", json.dumps(entry(affected=[]))),
        ("a.json", json.dumps(entry())[:-5]),
        ("a.json", "<html>not found</html>"),
    ],
)
def test_a_damaged_entry_is_an_error(name: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(Damaged, match=name):
        read_folder(folder_with(tmp_path, text, name))


def test_another_ecosystem_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    other = {"package": {"ecosystem": "npm", "name": "some-package"}, "versions": ["1.0"]}
    path.write_text(json.dumps(entry(affected=[other])))
    assert not concerns(read_file(path), NAME, "1.0")


def test_a_clone_has_other_files_than_entries(tmp_path: Path) -> None:
    folder_with(tmp_path)
    (tmp_path / ".github").mkdir()
    for name in (".github/check.yml", "other.json"):
        (tmp_path / name).write_text("on: push")
    assert [advisory.name for advisory in read_folder(tmp_path)] == ["PYSEC-2024-1"]


def test_no_entry_is_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text("no advisory")
    for folder in (tmp_path, tmp_path / "absent"):
        assert main([str(folder)]) == 2
        said = capsys.readouterr()
        assert said.err.startswith("Nothing was audited: ")
        assert said.out == ""
    assert main([]) == 2


def test_every_pin_of_ours_is_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = dict(pins([Path(__file__).parents[2] / "requirements.txt"]))
    assert len(ours) > 100
    version = ours[canonicalize_name("httptools")]
    told = entry(affected=[{"package": {"ecosystem": "PyPI", "name": "HttpTools"}}])
    told["affected"][0]["versions"] = [version]
    (tmp_path / "a.json").write_text(json.dumps(told))
    assert main([str(tmp_path)]) == 1
    assert f"httptools {version}: A-1" in capsys.readouterr().out
    told["affected"][0]["versions"] = [f"{version}.post9"]
    (tmp_path / "a.json").write_text(json.dumps(told))
    assert main([str(tmp_path)]) == 0


@pytest.mark.parametrize("line", ["requests>=2", "-e .", "git+https://example.org/a"])
def test_what_is_not_pinned_is_an_error(line: str, tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(f"a==1 \\\n    --hash=sha256:0\n{line}\n")
    with pytest.raises(Damaged, match="not pinned"):
        pins([path])
