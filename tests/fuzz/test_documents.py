"""What people and other farshores write: the configuration, control documents, keys, policies."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farshore.config.load import FILE_BYTES_MAX, load, parse
from farshore.control.documents import DOCUMENT_BYTES_MAX, read_document
from farshore.control.held import HeldDocuments
from farshore.control.kept import KeptVersions
from farshore.control.lease import Claim
from farshore.control.machine import Process
from farshore.control.recorded import read_record, write_record
from farshore.control.status import DaemonState, ProofRecord, StatusReport
from farshore.core import policy
from farshore.core.chain import BEGINNING, Draft, Entry, follow
from farshore.core.document import digest_of
from farshore.core.drill import Drill
from farshore.core.record import ControlRecord, initial
from farshore.core.runbook import Plan, Run, Shown, StepPlan
from farshore.core.whereabouts import Whereabouts, as_env, as_json, read
from farshore.credentials import CredentialSource, resolve
from farshore.errors import ConfigError, Corrupt, FarshoreError
from farshore.s3.capabilities import Capabilities
from farshore.testing.store.memory import MemoryStore
from tests.fuzz.inputs import (
    NESTED,
    allowed,
    answers_or_refuses,
    changed_bytes,
    changed_json,
    fuzzed,
)
from tests.unit.sites import TOML, ManualClock, config_of

PLACE = Path("/nowhere/farshore.toml")

# -- the configuration ------------------------------------------------------------------

LONG = (
    TOML
    + """
[[pair.rules]]
prefix = "tmp/"
tags = { a = "b" }
delete_markers = "after 7d"
[[feeds]]
kind = "webhook"
token = { env = "HOOK" }
[[feeds]]
kind = "sqs"
queue_url = "https://sqs.eu-west-1.amazonaws.com/1/q"
region = "eu-west-1"
credentials = { profile = "p" }
[limits]
memory = "1GiB"
[daemon]
listen = "127.0.0.1:0"
scan_every = "5m"
[[switch.drivers]]
kind = "file"
name = "f"
path = "s3.env"
format = "env"
[switch.drivers.values]
east = "https://a.example"
west = "https://b.example"
"""
).encode()
WORDS = (b"[[", b"]]", b"=", b'"""', b"{", b"}", b"0x", b"9" * 30, b"*", b"\x00", b"inf", b"-1d")


def parsed(text: bytes) -> None:
    """As it is read from a file: bytes that are no UTF-8 are refused before."""
    parse(text.decode("utf-8", "replace"), PLACE)


@fuzzed
@given(changed_bytes(LONG, WORDS))
@example(b"a = " + b"[" * 100_000)
@example(b"[" * 100_000)
def test_a_changed_configuration_is_read_or_its_problems_are_listed(text: bytes) -> None:
    answers_or_refuses(lambda: parsed(text))


def test_the_good_one_is_good() -> None:
    parsed(LONG)


def test_a_configuration_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "farshore.toml"
    with path.open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(ConfigError, match="larger than"):
        load(path)
    with pytest.raises(ConfigError, match="larger than"):
        load(Path("/dev/zero"))


# -- control documents ------------------------------------------------------------------

STEPS = (StepPlan("freeze", "Freeze."), StepPlan("flip", "Flip."))
PLAN = Plan("switchover", "east.west", "east", "west", 3, "abc", STEPS, Shown(0.5, 100.0, 0, 0))
DRAFT = Draft(1.0, "anna on host1", "fence", "intent", "step", "t")
REPORT = StatusReport("p", 1.0, DaemonState("h", 1, "0", 1.0))
PROOF = ProofRecord("p", 1.0, 2.0, True, 1, 1, 0, "h")
CLAIM = Claim(Process("h", "m", 1, "s"), "t", 1.0, 2.0, 3.0)
Reader = Callable[[dict[str, Any]], object]

DOCUMENTS: Mapping[str, tuple[dict[str, Any], Reader]] = {
    "record": (initial("east.west", "east").to_json(), ControlRecord.from_json),
    "run": (Run("r1", PLAN, "one@desk", 10.0, 9.0).to_json(), Run.from_json),
    "drill": (
        Drill("d", "isolated", "p", "east", "west", 10.0, "because").ended(20.0).to_json(),
        Drill.from_json,
    ),
    "audit": (follow(BEGINNING, "east", DRAFT).to_json(), Entry.from_json),
    "status": (REPORT.to_json(), StatusReport.from_json),
    "proof": (PROOF.to_json(), ProofRecord.from_json),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_good_document_is_read(name: str) -> None:
    good, reader = DOCUMENTS[name]
    reader(json.loads(json.dumps(good)))


@pytest.mark.parametrize("name", DOCUMENTS)
@fuzzed
@given(st.data())
def test_a_changed_document_is_read_or_refused(name: str, data: st.DataObject) -> None:
    good, reader = DOCUMENTS[name]
    body = data.draw(changed_json(json.loads(json.dumps(good))))
    if not isinstance(body, dict):
        return  # `read_document` lets objects through alone
    answers_or_refuses(lambda: reader(body))
    if "digest" in body:  # as one who can write the bucket would: with a digest that fits
        answers_or_refuses(lambda: reader({**body, "digest": digest_of(body)}))


@fuzzed
@given(changed_json(CLAIM.to_json()))
@example({**CLAIM.to_json(), "pid": float("inf")})
@example({**CLAIM.to_json(), "taken": "0001-01-01T00:00:00"})
def test_a_changed_lease_is_read_or_refused(body: Any) -> None:
    if isinstance(body, dict):
        with allowed(KeyError, TypeError, ValueError, OverflowError):
            Claim.from_json(body)


async def stored(data: bytes, name: str) -> MemoryStore:
    store = MemoryStore("east", clock=ManualClock())
    await store.create_bucket("control")
    await store.put("control", name, data)
    return store


@fuzzed
@given(
    changed_bytes(json.dumps({"schema": 1, "a": [1, {"b": "c"}]}).encode(), (b"[", b'"', b"1e999"))
)
@example(NESTED)
@example(b"\xff")
@example(b"1" * 10_000)
@example(b"{}")
async def test_any_bytes_are_a_document_or_damaged(data: bytes) -> None:
    store = await stored(data, "x.json")
    with allowed(Corrupt):
        await read_document(store, "control", "x.json")


async def test_a_document_that_is_too_long_is_not_read() -> None:
    store = await stored(b" " * (DOCUMENT_BYTES_MAX + 1), "x.json")
    with pytest.raises(Corrupt, match="bytes"):
        await read_document(store, "control", "x.json")


ROW = ["b", "k", "v", 1.5]
SAID = {"decision": "released", "by": "anna", "host": "h", "at": 2.0, "prefix": ""}
PLACED: Mapping[str, dict[str, Any]] = {
    "deletes/p/index.json": {"edition": "e", "pages": 1, "decisions": 0},
    "deletes/p/page-0001.json": {"rows": [[*ROW, "held"]]},
    "deletes/p/decision-000001.json": {"verdict": SAID, "token": "t", "rows": [ROW]},
    "divergent/p/east.json": {
        "kept": {"b": {"k": {"v": {"word": "keep", "at": "2024-01-01T00:00:00Z"}}}}
    },
}


async def all_read(store: MemoryStore) -> tuple[Any, frozenset[str], int]:
    """Everything that hangs on these documents."""
    shown = await HeldDocuments(store, "control", "p", strong=True).read()
    kept = KeptVersions(store, "control", "p", "east")
    return shown, await kept.of("b", "k"), await kept.since(0.0)


async def placed(changed: Mapping[str, object]) -> MemoryStore:
    store = await stored(b"{}", "other.json")
    for name, body in {**PLACED, **changed}.items():
        whole = {**body, "schema": 1} if isinstance(body, dict) else body
        await store.put("control", name, json.dumps(whole).encode())
    return store


async def test_good_pages_and_decisions_are_read() -> None:
    shown, kept, since = await all_read(await placed({}))
    assert [(row.key, row.decision) for row in shown.rows.values()] == [("k", "released")]
    assert (kept, since) == (frozenset({"v"}), 1)


@fuzzed
@given(st.sampled_from(sorted(PLACED)), st.data())
@example("deletes/p/page-0001.json", {"rows": [[*ROW[:3], float("nan"), "held"]]})
@example("deletes/p/page-0001.json", {"rows": [["b", "k", "v", 1e300, "held"]]})
@example("deletes/p/page-0001.json", {"rows": [[{}, "k", "v", 1, "held"]]})
@example("deletes/p/index.json", {"edition": "e", "pages": "many", "decisions": None})
@example("deletes/p/decision-000001.json", {"verdict": SAID, "token": "t", "rows": ["four"]})
@example("divergent/p/east.json", {})
@example("divergent/p/east.json", {"kept": {"b": ["k"]}})
@example("divergent/p/east.json", {"kept": {"b": {"k": {"v": "keep"}}}})
async def test_changed_pages_and_decisions_are_read_or_refused(name: str, data: Any) -> None:
    body = data.draw(changed_json(PLACED[name])) if isinstance(data, st.DataObject) else data
    with allowed(FarshoreError):
        await all_read(await placed({name: body}))


@fuzzed
@given(st.data())
async def test_a_changed_record_of_capabilities_is_refused(data: st.DataObject) -> None:
    site = replace(config_of(TOML, PLACE).source, control_bucket="control")
    store = MemoryStore("east", clock=ManualClock())
    await store.create_bucket("control")
    await write_record(store, site, Capabilities())
    (entry,) = [e for e in store.dump("control") if e.version.is_latest]
    name = entry.version.key
    async with store.get("control", name) as answer:
        good = json.loads(await answer.read())
    body = data.draw(changed_json(good))
    await store.put("control", name, json.dumps(body).encode())
    with allowed(FarshoreError):
        await read_record(store, site)


# -- keys, policies, where clients go ---------------------------------------------------

KEYS = {
    "Version": 1,
    "AccessKeyId": "AKIA",
    "SecretAccessKey": "a-secret-word",
    "SessionToken": "t",
    "Expiration": "2999-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    "said",
    [
        NESTED,
        NESTED[:60_000],
        b"",
        b"\xff",
        json.dumps({**KEYS, "Expiration": "0001-01-01T00:00:00+23:59"}).encode(),
        json.dumps({**KEYS, "Expiration": "9999-12-31T23:59:59-23:59"}).encode(),
        json.dumps({**KEYS, "Version": [KEYS]}).encode(),
        json.dumps([KEYS]).encode(),
    ],
)
def test_what_a_program_prints_is_keys_or_our_error(said: bytes, tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(said)
    source = CredentialSource("command", f"{sys.executable} -c \"print(open('keys','rb').read())\"")
    raw = CredentialSource("command", "cat keys")
    for one in (source, raw):
        with allowed(ConfigError):
            resolve(one, who="the app", folder=tmp_path)


POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Sid": "A", "Effect": "Allow", "Action": "s3:*"}]}
).encode()


@fuzzed
@given(changed_bytes(POLICY, (b"[", b"]", b"{", b'"Statement": 1')))
@example(NESTED)
@example(b'{"Statement": ' + b"[" * 200_000)
def test_a_changed_policy_is_cut_and_joined_or_refused(text: bytes) -> None:
    document = text.decode("utf-8", "replace")
    ours = policy.deny_writes("b", policy.Spared(("operator",)))
    with allowed(policy.BadPolicy):
        both = policy.merged(document, ours)
        assert policy.without(both, policy.FENCE_SID) in (document, "")


HERE = Whereabouts("p", "east", "https://a.example", 1, "2024-01-01T00:00:00Z", {})


@fuzzed
@given(
    st.sampled_from([as_json(HERE), as_env(HERE)]).flatmap(
        lambda good: changed_bytes(good, (b"{", b"[", b"1e999", b"null"))
    )
)
@example(b'{"sites":' + NESTED)
@example(b"{" * 65_000)
def test_where_clients_go_is_read_or_a_value_error(data: bytes) -> None:
    with allowed(ValueError):
        read(data)
