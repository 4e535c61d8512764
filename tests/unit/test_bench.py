"""The benchmark's own parts: a null server that answers like S3, a report that is complete."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
import xml.etree.ElementTree as ET
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from bench import align_walk, farshore, link, null_s3, report
from bench.__main__ import main
from bench.child import ClientFailed
from bench.figures import GOALS, Goal, Samples, merge, summarise
from bench.live import burst
from bench.null_s3 import MIB, PATTERN, Bucket, Stored, known_md5, window
from bench.null_server import BUCKET, CONTROL_BUCKET, HOST, SMALL_BYTES, Endpoints, NullServer

from farshore.config.load import load

NS = "{http://s3.amazonaws.com/doc/2006-03-01/}"
LIMIT_SECONDS = 10
SMALL = 1_003
"""A little more than a page, and than a folder."""


class Reply(NamedTuple):
    """An answer read to its end; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(
    port: int, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> Reply:
    """One request on a connection of its own."""
    client = http.client.HTTPConnection(HOST, port, timeout=LIMIT_SECONDS)
    try:
        client.request(method, target, body=body, headers=headers or {})
        answer = client.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, found, answer.read())
    finally:
        client.close()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[NullServer, Endpoints]]:
    """A null server with `SMALL` small objects and one big one."""
    null = NullServer(small=SMALL, big=1)
    with null as endpoints:
        yield null, endpoints


def texts(body: bytes, *path: str) -> list[str]:
    """The texts of all elements at a path below the root."""
    return [e.text or "" for e in ET.fromstring(body).iterfind("/".join(NS + p for p in path))]


def pages(port: int, query: str, following: tuple[str, str], entry: str) -> list[str]:
    """All keys of a listing, page by page. `following`: (element, query name) of the marker."""
    keys: list[str] = []
    more = ""
    for _ in range(10):
        body = ask(port, "GET", f"/{BUCKET}?{query}{more}").body
        keys += texts(body, entry, "Key")
        if texts(body, "IsTruncated") == ["false"]:
            return keys
        more = f"&{following[1]}={texts(body, following[0])[0]}"
    raise AssertionError("the listing does not end")


@pytest.mark.parametrize(
    ("query", "following", "entry"),
    [
        ("versions", ("NextKeyMarker", "key-marker"), "Version"),
        ("list-type=2", ("NextContinuationToken", "continuation-token"), "Contents"),
    ],
)
def test_both_listings_show_every_key_in_order(
    server: tuple[NullServer, Endpoints], query: str, following: tuple[str, str], entry: str
) -> None:
    keys = pages(server[1].east, query, following, entry)
    assert len(keys) == SMALL + 1
    assert keys == sorted(set(keys))


def test_a_delimiter_rolls_folders_up(server: tuple[NullServer, Endpoints]) -> None:
    body = ask(server[1].east, "GET", f"/{BUCKET}?list-type=2&delimiter=%2F&prefix=").body
    assert texts(body, "CommonPrefixes", "Prefix") == ["folder-000/", "folder-001/"]
    assert texts(body, "Contents", "Key") == ["video-000.bin"]


def test_a_read_is_what_the_listing_says(server: tuple[NullServer, Endpoints]) -> None:
    port = server[1].east
    listing = ask(port, "GET", f"/{BUCKET}?versions&prefix=folder-001/").body
    (key, *_), (version_id, *_) = (
        texts(listing, "Version", "Key"),
        texts(listing, "Version", "VersionId"),
    )
    answer = ask(port, "GET", f"/{BUCKET}/{key}?versionId={version_id}")
    etag = f'"{hashlib.md5(answer.body).hexdigest()}"'
    assert len(answer.body) == SMALL_BYTES
    assert texts(listing, "Version", "ETag")[0] == answer.headers["etag"] == etag
    assert answer.headers["x-amz-version-id"] == version_id
    assert answer.headers["x-amz-meta-purpose"] == "bench"
    assert ask(port, "GET", f"/{BUCKET}/{key}?versionId=other").status == 404


def test_a_range_of_a_big_object_is_sent_from_the_right_place(
    server: tuple[NullServer, Endpoints],
) -> None:
    first = 5 * MIB + 17
    wanted = {"Range": f"bytes={first}-{first + 2 * MIB - 1}"}
    answer = ask(server[1].east, "GET", f"/{BUCKET}/video-000.bin", headers=wanted)
    assert answer.status == 206
    assert answer.headers["content-range"] == f"bytes {first}-{first + 2 * MIB - 1}/{128 * MIB}"
    assert answer.body == (PATTERN * 3)[17 : 17 + 2 * MIB]


def test_what_was_put_is_shown_and_counted_as_copied(
    server: tuple[NullServer, Endpoints],
) -> None:
    null, endpoints = server
    null.restart_meter()
    path = f"/{BUCKET}/folder-000/object-000001.bin"
    assert ask(endpoints.west, "HEAD", path).status == 404
    body = PATTERN[:SMALL_BYTES]
    md5 = hashlib.md5(body)
    headers = {"Content-MD5": b64encode(md5.digest()).decode(), "x-amz-meta-a": "1"}
    written = ask(endpoints.west, "PUT", path, body, headers)
    shown = ask(endpoints.west, "HEAD", path)
    assert written.headers["etag"] == shown.headers["etag"] == f'"{md5.hexdigest()}"'
    assert (shown.headers["content-length"], shown.headers["x-amz-meta-a"]) == ("4096", "1")
    reading = null.read_meter()
    assert reading.copied == 1
    assert reading.counts == {f"west HEAD {BUCKET}/": 2, f"west PUT {BUCKET}/": 1}
    assert reading.seconds > 0


def test_a_long_body_is_swallowed_and_known_by_its_length(
    server: tuple[NullServer, Endpoints],
) -> None:
    path = f"/{BUCKET}/long.bin"
    answer = ask(server[1].west, "PUT", path, PATTERN * 2, {"Expect": "100-continue"})
    assert answer.headers["etag"] == f'"{hashlib.md5(PATTERN * 2).hexdigest()}"'
    assert ask(server[1].west, "HEAD", path).headers["content-length"] == str(2 * MIB)


def test_multipart_gives_the_etag_of_its_parts(server: tuple[NullServer, Endpoints]) -> None:
    port, path = server[1].west, f"/{BUCKET}/parts.bin"
    upload_id = texts(ask(port, "POST", f"{path}?uploads").body, "UploadId")[0]
    for number in (1, 2):
        ask(port, "PUT", f"{path}?partNumber={number}&uploadId={upload_id}", PATTERN)
    done = ask(port, "POST", f"{path}?uploadId={upload_id}", b"<CompleteMultipartUpload/>")
    digest = hashlib.md5(hashlib.md5(PATTERN).digest() * 2).hexdigest()
    assert texts(done.body, "ETag") == [f'"{digest}-2"']
    first = ask(port, "HEAD", f"{path}?partNumber=1")
    assert (first.headers["content-length"], first.headers["x-amz-mp-parts-count"]) == (
        str(MIB),
        "2",
    )


def test_control_documents_are_kept_and_conditions_hold(
    server: tuple[NullServer, Endpoints],
) -> None:
    port, path = server[1].west, f"/{CONTROL_BUCKET}/leases/backfill"
    absent = {"If-None-Match": "*"}
    first = ask(port, "PUT", path, b'{"a": 1}', absent)
    assert (first.status, ask(port, "PUT", path, b"{}", absent).status) == (200, 412)
    assert ask(port, "PUT", path, b"{}", {"If-Match": '"other"'}).status == 412
    second = ask(port, "PUT", path, b'{"a": 2}', {"If-Match": first.headers["etag"]})
    assert second.status == 200
    ask(port, "DELETE", f"{path}?versionId={first.headers['x-amz-version-id']}")
    assert ask(port, "GET", path).body == b'{"a": 2}'


def test_a_configuration_that_farshore_reads(
    server: tuple[NullServer, Endpoints], tmp_path: Path
) -> None:
    farshore.prepare(server[1], str(tmp_path))
    config = load(tmp_path / "farshore.toml")
    assert config.source.endpoint == f"http://{HOST}:{server[1].east}"
    record = f"/{CONTROL_BUCKET}/capabilities/west.json"
    assert json.loads(ask(server[1].west, "GET", record).body)["capabilities"]["listing"] == "plain"


def test_the_link_adds_its_delay_both_ways(server: tuple[NullServer, Endpoints]) -> None:
    with link.delayed(server[1], 15.0) as far:
        began = time.monotonic()
        assert ask(far.east, "HEAD", f"/{BUCKET}/video-000.bin").status == 200
        assert time.monotonic() - began >= 0.030


def bucket_of(*keys: bytes) -> Bucket:
    bucket = Bucket("b", keeps=False)
    for key in keys:
        bucket.put(key, Stored(b"e", 1, 0.0, b"v", b"", None))
    return bucket


def test_windows_put_together_are_the_whole() -> None:
    bucket = bucket_of(b"a", b"b/1", b"b/2", b"b/3", b"b0", b"c/1", b"d")
    found: list[bytes] = []
    after = b""
    for _ in range(10):
        page = window(bucket, b"", b"/", after, 2)
        found += page.keys + page.prefixes
        after = page.next_after
        if not after:
            break
    assert sorted(found) == [b"a", b"b/", b"b0", b"c/", b"d"]


def test_known_md5_is_that_of_the_repeated_pattern() -> None:
    assert known_md5(MIB + 5) == hashlib.md5(PATTERN + PATTERN[:5]).hexdigest()
    assert len(null_s3.PATTERN) == MIB


def test_a_walk_finds_every_version_and_each_lag() -> None:
    found = align_walk.measure(3 * align_walk.OWN_ENTRIES)
    assert found["versions"] == 3 * (2 * align_walk.OWN_ENTRIES - 1)
    assert found["pairs"] == 3 * len(align_walk.lengths())
    assert found["cpu_seconds"] > 0


NAMED = {
    "small_cpu_vs_rclone",
    "small_rate_vs_rclone",
    "big_rate_vs_rclone",
    "big_peak_rss_mib",
    "align_versions_per_s",
    "align_rss_growth",
    "rtt80_objects_per_s",
    "lag_p50_ms",
    "lag_p99_ms",
    "lag_p50_vs_filer_sync",
    "burst_drain_vs_backfill",
    "flip_failed_requests",
    "flip_late_writes",
    "flip_frozen_s_max",
    "flip_ms_p50",
    "sdk_follow_s_max",
    "switchover_frozen_s_max",
    "switchover_failed_requests",
    "failover_act_verify_s_max",
    "resume_s_max",
}


def samples_at_the_goals() -> Samples:
    """Each figure exactly at its goal, which only "under" does not allow."""
    return {goal.name: [goal.limit - 0.1 * (goal.bound == "under")] * 3 for goal in GOALS}


def test_the_report_has_exactly_the_named_figures(tmp_path: Path) -> None:
    machine = report.this_machine("rclone v1", "0.1", "2026-01-02T03:04:05Z", 0.25)
    samples = merge([samples_at_the_goals(), {"small rclone: objects/s": [1.0, 3.0, 2.0]}])
    report.write(tmp_path, machine, samples)
    figures = json.loads((tmp_path / "build" / "bench.json").read_text())
    text = (tmp_path / "docs" / "benchmarks.md").read_text()
    assert figures.keys() == NAMED
    assert all(isinstance(value, float) for value in figures.values())
    assert "All goals are met." in text
    assert "| small rclone: objects/s | 1 | 2 | 3 |" in text


def test_the_report_says_what_was_missed() -> None:
    machine = report.this_machine("rclone v1", "0.1", "2026-01-02T03:04:05Z", 0.25)
    samples = samples_at_the_goals() | {"rtt80_objects_per_s": [500.0, 300.0, 200.0]}
    text = report.page(machine, samples)
    assert "Missed: rtt80_objects_per_s." in text
    assert "at least 400 | 200 | 300 | 500 | **missed** |" in text


def test_a_figure_that_was_not_measured_is_an_error() -> None:
    samples = samples_at_the_goals()
    del samples["align_rss_growth"]
    with pytest.raises(KeyError, match="align_rss_growth"):
        report.named_figures(samples)


def test_a_name_measured_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="twice"):
        merge([{"a": [1.0]}, {"a": [2.0]}])


@pytest.mark.parametrize(
    ("bound", "value", "met"),
    [
        ("at least", 2.0, True),
        ("at least", 1.9, False),
        ("at most", 2.0, True),
        ("at most", 2.1, False),
        ("under", 2.0, False),
        ("under", 1.9, True),
    ],
)
def test_goals_have_their_bounds(bound: str, value: float, met: bool) -> None:
    goal = Goal("g", "", bound, 2.0)  # type: ignore[arg-type]  # one of the literals
    assert goal.is_met(value) is met


def test_a_summary_is_by_the_median() -> None:
    assert tuple(summarise([9.0, 1.0, 2.0])) == (1.0, 2.0, 9.0)


WAYS = [
    burst.Passage(written=10.0, acknowledged=10.1, visible=11.0),
    burst.Passage(written=10.2, acknowledged=10.3, visible=13.0),
    burst.Passage(written=10.9, acknowledged=12.0, visible=15.0),
]


def told(at: float, *, waiting: int, watermark: float) -> burst.Sample:
    return burst.Sample(at, at, waiting, watermark, at, 50.0)


def test_a_drain_counts_from_the_last_acknowledgement() -> None:
    assert burst.drain(WAYS) == pytest.approx(2 / 3)
    assert burst.rate(WAYS) == pytest.approx(2 / 4)


def test_what_was_there_before_the_last_acknowledgement_counts_in_all() -> None:
    ways = [way._replace(acknowledged=20.0) for way in WAYS]
    assert burst.drain(ways) == burst.rate(ways)


def test_a_watermark_that_covers_what_is_missing_is_found() -> None:
    honest = told(12.0, waiting=1, watermark=10.3)
    lying = told(12.0, waiting=1, watermark=10.4)
    assert burst.promised_too_much([honest], WAYS) == 0
    assert burst.promised_too_much([honest, lying], WAYS) == 1


def test_a_missing_version_that_is_not_in_the_backlog_is_found() -> None:
    assert burst.uncounted([told(12.5, waiting=2, watermark=10.0)], WAYS) == 0
    assert burst.uncounted([told(12.5, waiting=0, watermark=10.0)], WAYS) == 2


# -- parts that fail -------------------------------------------------------------------------


def fails() -> Samples:
    raise ClientFailed("haproxy is not on the PATH")


def test_a_part_that_fails_ends_no_other_and_writes_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = {"first": lambda: {"one": [1.0]}, "bad": fails, "last": lambda: {"two": [2.0]}}
    assert main([], parts) == 1
    said = capsys.readouterr().out
    assert "'one': [1.0], 'two': [2.0]" in said
    assert "were not written:\nbad: haproxy is not on the PATH" in said


def test_a_named_part_alone_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["first"], {"first": lambda: {"one": [1.0]}, "bad": fails}) == 0
    assert "{'one': [1.0]}" in capsys.readouterr().out
    assert main(["second"], {"first": lambda: {"one": [1.0]}}) == 2
