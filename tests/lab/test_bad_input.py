"""Bad input gets a clear error: the real command on real servers, one wrong thing at a time.

Each test asserts the exit code, what is said, and what the hint tells a person to do.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from pathlib import Path

import pytest

from farshore.errors import ClockSkew
from farshore.lab.settings import LinkSettings
from farshore.lab.state import STATE_FOLDER
from farshore.s3.client import S3Client
from tests.lab.farshore_cli import SITES, Farshore
from tests.lab.outcomes import refused, require_replicated, some

TWENTY_MINUTES = 20 * 60

SHIFTED = f"""
import time
true_time = time.time
time.time = lambda: true_time() + {TWENTY_MINUTES}
"""

FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
"""
"""A file that would grow beyond `size` cannot: for SQLite that is a full disk."""


# -- keys -----------------------------------------------------------------------------


def _keys(farshore: Farshore, access_key: str, secret_key: str) -> dict[str, dict[str, str]]:
    document = {"Version": 1, "AccessKeyId": access_key, "SecretAccessKey": secret_key}
    (farshore.folder / "keys.json").write_text(json.dumps(document))
    return {"east": {"replicator": '{ command = "cat keys.json" }'}}


@pytest.mark.parametrize("command", ["backfill", "verify", "apply --yes", "probe east"])
def test_a_wrong_secret_names_the_principal_and_where_its_keys_come_from(
    farshore: Farshore, command: str
) -> None:
    known = farshore.lab.status().site("east").principals["replicator"].access_key
    farshore.configure(credentials=_keys(farshore, known, "a-wrong-secret"))
    ended = farshore.run(*command.split(), "--json")
    error = refused(
        ended,
        1,
        r"^The keys of the replicator at east are not accepted \(SignatureDoesNotMatch\)\.$",
        r'from the command "cat …".*\[sites\.east\.credentials\].*secret key or the site\'s region',
    )
    assert error["kind"] == "Denied"
    assert "a-wrong-secret" not in ended.stdout + ended.stderr


def test_an_unknown_access_key(farshore: Farshore) -> None:
    farshore.configure(credentials=_keys(farshore, "nobody", "a-wrong-secret"))
    refused(
        farshore.run("backfill", "--json"),
        1,
        r"replicator at east are not accepted \(InvalidAccessKeyId\)",
        "The site does not know this access key",
    )


def test_keys_that_are_not_in_the_environment(farshore: Farshore) -> None:
    farshore.configure(credentials={"west": {"replicator": '{ env = "FARSHORE_WEST" }'}})
    refused(
        farshore.run("backfill", "--json", env={"FARSHORE_WEST_ACCESS_KEY_ID": "x"}),
        2,
        "credentials of replicator at west .* FARSHORE_WEST_SECRET_ACCESS_KEY is not set",
        "^Export FARSHORE_WEST_SECRET_ACCESS_KEY",
    )


@pytest.mark.parametrize(
    ("command", "message", "hint"),
    [
        ("false", 'command "false" .* at west ended with exit code 1', "^Run it yourself in /"),
        ("no-such-program x", "could not be started: No such file", "without a shell"),
        ("echo hello", "its output is not JSON", "It must print"),
    ],
)
def test_a_credentials_command_that_fails(
    farshore: Farshore, command: str, message: str, hint: str
) -> None:
    farshore.configure(credentials={"west": {"replicator": f'{{ command = "{command}" }}'}})
    refused(farshore.run("verify", "--json"), 2, message, hint)


# -- the clock ------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["backfill", "verify", "apply --yes"])
def test_a_clock_that_is_twenty_minutes_off(farshore: Farshore, command: str) -> None:
    ended = farshore.run_after(SHIFTED, *command.split(), "--json")
    error = refused(
        ended,
        1,
        r"^The clock of east is (1199|1200|1201) s behind this machine's",
        "timedatectl set-ntp true",
    )
    assert error["kind"] == "ClockSkew"


class _Ahead:
    """A clock that is twenty minutes ahead."""

    def now(self) -> float:
        return time.time() + TWENTY_MINUTES

    def monotonic(self) -> float:
        return time.monotonic()


async def test_the_server_itself_refuses_such_a_clock(farshore: Farshore) -> None:
    east = farshore.lab.status().site("east")
    client = S3Client("east", east.endpoint, east.principals["replicator"], clock=_Ahead())
    try:
        with pytest.raises(ClockSkew) as caught:
            await client.get_versioning(farshore.bucket)
    finally:
        await client.aclose()
    assert caught.value.code == "RequestTimeTooSkewed"
    assert "this machine's clock is 20 minutes ahead of east's" in caught.value.hint


# -- buckets --------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["backfill", "verify"])
@pytest.mark.parametrize("site", SITES)
def test_a_bucket_that_is_missing(farshore: Farshore, command: str, site: str) -> None:
    names = (farshore.bucket, "nowhere") if site == "west" else ("nowhere", farshore.bucket)
    farshore.configure(buckets=[names])
    refused(
        farshore.run(command, "--json"),
        1,
        f"^There is no bucket nowhere at {site}",
        r"\[\[pair\.buckets\]\].*farshore apply",
    )


@pytest.mark.parametrize("command", ["backfill", "verify"])
def test_a_pattern_that_matches_no_bucket(farshore: Farshore, command: str) -> None:
    farshore.configure(buckets=[("nowhere-*", "nowhere-*")])
    refused(
        farshore.run(command, "--json"),
        1,
        "^No bucket that the replicator can list at east matches a pattern",
        "Check the patterns",
    )


def test_apply_does_not_make_a_source_bucket(farshore: Farshore) -> None:
    farshore.configure(buckets=[("nowhere", farshore.bucket)])
    error = refused(farshore.run("apply", "--yes", "--json"), 2, "Nothing can be prepared", "")
    assert error["problems"] == [
        'the source bucket "nowhere" does not exist at east: correct pair.buckets, or make the '
        "bucket there"
    ]


@pytest.mark.parametrize("site", SITES)
def test_a_bucket_without_versioning(farshore: Farshore, site: str) -> None:
    farshore.bucket = f"u-{secrets.token_hex(6)}"
    farshore.configure()
    farshore.make_buckets(versioned=[name for name in SITES if name != site])
    farshore.put_all({"a": [b"1", b"2"]})
    refused(
        farshore.run("backfill", "--json"),
        5,
        f"^Versioning of bucket {farshore.bucket} at {site} is off: .* would be lost",
        "^Run `farshore apply`",
    )
    if site == "west":
        assert farshore.histories("west") == {}


def test_one_bucket_on_both_sides_is_a_problem_of_the_file(farshore: Farshore) -> None:
    east = farshore.lab.status().site("east")
    farshore.configure(sites={"west": {"endpoint": east.endpoint}})
    error = refused(farshore.run("backfill", "--json"), 2, "has 2 problems", "configuration.md")
    assert any(re.match(r"line \d+: .*the same bucket at the", p) for p in error["problems"])


def test_one_store_under_two_endpoints_is_found_out(farshore: Farshore) -> None:
    farshore.put_all({"a": [b"1", b"2"]})
    east = farshore.lab.status().site("east")
    keys = farshore.lab.folder / STATE_FOLDER / "east"
    same = {who: f'{{ command = "cat {keys / who}.json" }}' for who in ("operator", "replicator")}
    farshore.configure(
        sites={"west": {"endpoint": east.direct_endpoint, "filer": east.filer}},
        credentials={"west": same},
    )
    before = farshore.histories("east")
    error = refused(
        farshore.run("apply", "--yes", "--json"), 5, "are the same store", "another endpoint"
    )
    assert error["kind"] == "Refused"
    assert farshore.histories("east") == before


# -- the line and the sites -----------------------------------------------------------


@pytest.mark.parametrize("site", SITES)
def test_a_site_that_is_dead_at_the_start(farshore: Farshore, site: str) -> None:
    farshore.lab.kill(site)
    error = refused(
        farshore.run("backfill", "--json", timeout=30),
        1,
        rf"^{site} \(http://127\.0\.0\.1:\d+\) cannot be reached: .*Connection refused",
        "Check that the site is up.*Nothing was changed",
    )
    assert error["kind"] == "Unreachable"


IMPATIENT = """
from farshore import credentials
from farshore.control import contact
assert (credentials.COMMAND_TIMEOUT_S, contact.CONTACT_SECONDS_MAX) == (30, 20)
credentials.resolve.__kwdefaults__["timeout_s"] = 2.0
contact.make_contact.__kwdefaults__["seconds_max"] = 2.0
"""
"""The same limits, a tenth as long."""


def test_a_site_that_never_answers_is_not_waited_for_without_end(farshore: Farshore) -> None:
    farshore.lab.link("west", LinkSettings(cut=True))
    refused(
        farshore.run_after(IMPATIENT, "verify", "--json"),
        1,
        r"^west \(http://127\.0\.0\.1:\d+\) did not answer within 2 s\.$",
        "Check that the site is up.*Nothing was changed",
    )


def test_a_command_for_keys_that_hangs_is_not_waited_for_without_end(farshore: Farshore) -> None:
    farshore.configure(credentials={"west": {"replicator": '{ command = "sleep 1000" }'}})
    refused(
        farshore.run_after(IMPATIENT, "backfill", "--json"),
        2,
        'command "sleep …" .* did not end within 2 s',
        "^Run it yourself",
    )


# -- our own files --------------------------------------------------------------------


def test_a_disk_that_is_full_from_the_start(farshore: Farshore) -> None:
    farshore.put_all(some())
    refused(
        farshore.run_after(FULL_DISK.format(size=4096), "backfill", "--json"),
        1,
        "state file .*journal.sqlite cannot be opened",
        "Free some space",
    )
    assert farshore.histories("west") == {}
    require_replicated(farshore)


def test_a_disk_that_fills_up_in_the_middle(farshore: Farshore) -> None:
    s3 = farshore.s3("east")
    for number in range(12):  # every multipart upload is noted
        where = {"Bucket": farshore.bucket, "Key": f"parts/{number:02}"}
        upload = s3.create_multipart_upload(**where)["UploadId"]
        etag = s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"x" * (1 + number))[
            "ETag"
        ]
        s3.complete_multipart_upload(
            **where,
            UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]},
        )
    refused(
        farshore.run_after(FULL_DISK.format(size=40 * 1024), "backfill", "--json"),
        1,
        "state file .*journal.sqlite cannot be written",
        "Free some space",
    )
    require_replicated(farshore)
    assert "Uploads" not in farshore.s3("west").list_multipart_uploads(Bucket=farshore.bucket)


def test_a_damaged_state_file(farshore: Farshore) -> None:
    farshore.put_all(some())
    farshore.state_dir.mkdir()
    (farshore.state_dir / "journal.sqlite").write_bytes(b"no database " * 1000)
    refused(
        farshore.run("backfill", "--json"),
        1,
        "state file .* cannot be opened: file is not a database",
        "If the file is damaged, delete it: it is only a cache",
    )
    (farshore.state_dir / "journal.sqlite").unlink()
    require_replicated(farshore)


def test_a_state_folder_that_cannot_be_made(farshore: Farshore) -> None:
    farshore.state_dir.write_text("a file in the way\n")
    refused(
        farshore.run("backfill", "--json"), 1, "state file .* cannot be opened", "mend the rights"
    )


def test_a_misspelt_key_has_its_line_and_a_suggestion(farshore: Farshore) -> None:
    text = farshore.config.read_text().replace("control_bucket", "contrl_bucket")
    farshore.config.write_text(text)
    line = text[: text.index("contrl_bucket")].count("\n") + 1
    expected = f'line {line}: pair.contrl_bucket: there is no such key; did you mean "control_'
    error = refused(farshore.run("backfill", "--json"), 2, "has a problem", "configuration.md")
    assert error["problems"][0].startswith(expected)
    told = farshore.run("backfill")
    assert told.stdout == ""
    assert expected in told.stderr


# -- the control bucket ---------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [b"", b"no json", b"[1]", b'{"schema": 1}', b'{"schema": 1, "capabilities": {"listing": 5}}'],
)
def test_a_damaged_record_of_capabilities(farshore: Farshore, garbage: bytes) -> None:
    control = farshore.own_control("east")
    farshore.s3("east").put_object(Bucket=control, Key="capabilities/east.json", Body=garbage)
    farshore.configure(sites={"east": {"control_bucket": control}})
    refused(
        farshore.run("verify", "--json"),
        1,
        f"^The record of what east can do is damaged: {control}/capabilities/east.json",
        "^Run `farshore probe east`",
    )


def test_a_record_by_a_newer_farshore(farshore: Farshore) -> None:
    control = farshore.own_control("east", schema=99)
    farshore.configure(sites={"east": {"control_bucket": control}})
    refused(farshore.run("verify", "--json"), 1, "by a newer farshore", "newer farshore here too")


def test_a_control_bucket_that_is_gone(farshore: Farshore) -> None:
    farshore.configure(sites={"east": {"control_bucket": f"{farshore.bucket}-gone"}})
    refused(
        farshore.run("backfill", "--json"),
        1,
        r"^What east \(.*\) can do has not been recorded yet",
        "^Run `farshore apply`",
    )


def test_a_damaged_lease(farshore: Farshore) -> None:
    farshore.put_all(some())
    control = farshore.own_control("west")
    where = {"Bucket": control, "Key": "leases/replicate-east-west"}
    farshore.s3("west").put_object(**where, Body=b'{"schema": 1, "pid": "?"}')
    farshore.configure(sites={"west": {"control_bucket": control}})
    refused(
        farshore.run("backfill", "--json"),
        1,
        "^The lease leases/replicate-east-west at west cannot be understood",
        "If no other run is at work, purge that object",
    )
    assert farshore.histories("west") == {}


def test_no_file_at_all(farshore: Farshore, tmp_path: Path) -> None:
    farshore.config.unlink()
    refused(
        farshore.run("backfill", "--json"),
        2,
        f"^There is no file {tmp_path}/farshore.toml",
        "farshore init",
    )
