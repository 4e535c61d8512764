"""What an application imports, against two real regions: a live client follows the switch."""

from __future__ import annotations

import os
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import farshore as public
from farshore.application import Keys
from farshore.application.boto import moved
from farshore.application.endpoint import EndpointFile
from farshore.core.whereabouts import Whereabouts, as_env, as_json
from farshore.errors import ConfigError
from tests.lab.farshore_cli import Farshore

LOOKS_MAX = 1000

FOLLOW_SECONDS_MAX = 1.0
"""How long after the file has changed a request may begin that still goes to the old site."""

REST_S = 0.02
"""Between two writes: a site lists a thousand versions at once, and no more."""


class File:
    """The endpoint file, replaced as the switch's driver does it."""

    def __init__(self, folder: Path, farshore: Farshore) -> None:
        self.path = folder / "endpoint.json"
        sites = farshore.lab.status().sites
        self.endpoints = {site.name: site.endpoint for site in sites}

    def point_to(self, site: str, form: Any = as_json) -> None:
        at = Whereabouts("east-west", site, self.endpoints[site], 1, "", self.endpoints)
        fresh = self.path.with_suffix(".new")
        fresh.write_bytes(form(at))
        os.replace(fresh, self.path)


@pytest.fixture
def file(tmp_path: Path, farshore: Farshore) -> File:
    made = File(tmp_path, farshore)
    made.point_to("east")
    return made


@pytest.fixture
def keys(farshore: Farshore) -> dict[str, Keys]:
    sites = farshore.lab.status().sites
    users = {site.name: site.principals["owner"] for site in sites}
    return {name: Keys(user.access_key, user.secret_key) for name, user in users.items()}


def holds(farshore: Farshore, site: str, key: str) -> bool:
    return key in farshore.histories(site)


def client(file: File, keys: dict[str, Keys]) -> Any:
    return public.boto3_client(file.path, keys=keys, region_name="us-east-1")


def test_a_live_client_follows_the_file(
    farshore: Farshore, file: File, keys: dict[str, Keys]
) -> None:
    s3 = client(file, keys)
    s3.put_object(Bucket=farshore.bucket, Key="one", Body=b"1")
    file.point_to("west")
    s3.put_object(Bucket=farshore.bucket, Key="two", Body=b"2")
    file.point_to("east", as_env)
    s3.put_object(Bucket=farshore.bucket, Key="three", Body=b"3")
    assert sorted(farshore.histories("east")) == ["one", "three"]
    assert sorted(farshore.histories("west")) == ["two"]


def test_presigned_urls_lead_to_the_active_site(
    farshore: Farshore, file: File, keys: dict[str, Keys]
) -> None:
    s3 = client(file, keys)
    file.point_to("west")
    what = {"Bucket": farshore.bucket, "Key": "signed/a b+c"}
    put = s3.generate_presigned_url("put_object", Params=what)
    assert put.startswith(file.endpoints["west"])
    request = urllib.request.Request(put, data=b"by url", method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    get = s3.generate_presigned_url("get_object", Params=what)
    with urllib.request.urlopen(get, timeout=10) as answer:
        assert answer.read() == b"by url"
    assert not holds(farshore, "east", "signed/a b+c")


def test_a_request_that_is_tried_again_after_the_flip_goes_to_the_new_site(
    farshore: Farshore, file: File, keys: dict[str, Keys]
) -> None:
    """East is dead; the client's own retries reach west once the file says so: here before
    its second one, of four that follow each other the faster the luckier the client is."""
    s3 = client(file, keys)
    farshore.lab.kill("east")
    tried, flipped = threading.Event(), threading.Event()

    def attempt(**_: object) -> None:
        if tried.is_set():
            assert flipped.wait(30)
        tried.set()

    s3.meta.events.register("before-sign.s3", attempt)
    done: list[float] = []

    def write() -> None:
        s3.put_object(Bucket=farshore.bucket, Key="late", Body=b"x")
        done.append(time.monotonic())

    writer = threading.Thread(target=write)
    writer.start()
    assert tried.wait(10)
    file.point_to("west")
    flipped.set()
    writer.join(30)
    assert done
    assert holds(farshore, "west", "late")


def test_a_live_client_follows_within_a_second_under_load(
    farshore: Farshore, file: File, keys: dict[str, Keys]
) -> None:
    s3 = client(file, keys)
    flipped, rest = [float("inf")], threading.Event()
    wrote: list[tuple[float, str]] = []

    def hammer(number: int) -> None:
        """Write until some requests have begun a second after the flip."""
        for count in range(100_000):
            rest.wait(REST_S)
            began = time.time()
            answer = s3.put_object(Bucket=farshore.bucket, Key=f"n{number}", Body=b"%d" % count)
            wrote.append((began, answer["VersionId"]))
            if began > flipped[0] + FOLLOW_SECONDS_MAX:
                return

    writers = [threading.Thread(target=hammer, args=(n,)) for n in range(4)]
    for writer in writers:
        writer.start()
    for _ in range(LOOKS_MAX):
        if len(wrote) >= 20:
            break
        writers[0].join(0.01)
    file.point_to("west")
    flipped[0] = time.time()
    for writer in writers:
        writer.join(30)
    east = file_versions(farshore, "east")
    west = file_versions(farshore, "west")
    assert east | west == {version_id for _, version_id in wrote}
    assert west
    late = {version_id for began, version_id in wrote if began > flipped[0] + FOLLOW_SECONDS_MAX}
    assert late
    assert not late & east


def file_versions(farshore: Farshore, site: str) -> set[str]:
    listed = farshore.s3(site).list_object_versions(Bucket=farshore.bucket)
    assert not listed["IsTruncated"]
    return {version["VersionId"] for version in listed.get("Versions", [])}


def test_without_a_file_a_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FARSHORE_ENDPOINT_FILE", raising=False)
    with pytest.raises(ConfigError, match="No endpoint file"):
        public.endpoint()
    with pytest.raises(ConfigError, match="cannot be used"):
        public.endpoint(tmp_path / "none.json")


def test_a_file_that_goes_wrong_keeps_its_last_answer_and_says_why(file: File) -> None:
    known = EndpointFile(file.path)
    assert known.now().site == "east"
    file.path.write_text("{ half of")
    assert known.now().site == "east"
    assert known.trouble
    file.path.unlink()
    assert known.now().site == "east"
    file.point_to("west")
    assert (known.now().site, known.trouble) == ("west", "")


def test_the_environment_names_the_file(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARSHORE_ENDPOINT_FILE", str(file.path))
    assert public.endpoint().endpoint == file.endpoints["east"]


def test_a_bucket_in_front_of_the_host_stays_there() -> None:
    url = "https://files.s3.east.example.net/a%2Fb?x=1"
    found = moved(url, "s3.east.example.net", "http://west.example.org:8333")
    assert found == "http://files.west.example.org:8333/a%2Fb?x=1"
