"""The checks on stores in memory: what they see, what they leave behind, what they keep."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from farshore.config import Config
from farshore.control.canary import CANARY_PREFIX
from farshore.control.checkups import (
    DRILLS_MAX,
    Drills,
    checkup_name,
    read_checkup,
    read_drills,
    write_checkup,
)
from farshore.control.documents import write_document
from farshore.control.view import Shown, View
from farshore.core.checkup import Checkup, Finding, Wrong
from farshore.doctor import examine, records, rights, settings
from farshore.doctor.parity import carry_over, differences
from farshore.doctor.sides import Sides
from farshore.errors import Denied, Unreachable, Unsupported
from farshore.testing.store.call import Call
from farshore.testing.store.memory import MemoryStore

from .sites import TOML, Faults, ManualClock, access_of, config_of, store_of

CONTROL = "farshore-control"
RULES = (
    TOML
    + '[[pair.rules]]\nprefix = "in/"\n[[pair.rules]]\nprefix = "tagged/"\ntags = { a = "b" }\n'
)
CORS = (
    "<CORSConfiguration><CORSRule><AllowedOrigin>a</AllowedOrigin></CORSRule></CORSConfiguration>"
)


async def both(clock: ManualClock) -> tuple[MemoryStore, MemoryStore]:
    east, west = store_of("east", clock), store_of("west", clock)
    for store in (east, west):
        for bucket in ("files", CONTROL):
            await store.create_bucket(bucket)
            await store.put_versioning(bucket, True)
    return east, west


def sides_of(
    config: Config, clock: ManualClock, stores: list[MemoryStore], silent: tuple[str, ...] = ()
) -> Sides:
    view = View("east.west", "east", (Shown("east", "absent"), Shown("west", "absent")))
    return Sides(
        config,
        clock,
        {store.site: access_of(config, store) for store in stores if store.site not in silent},
        {site: Unreachable(f"{site} does not answer", hint="bring it up") for site in silent},
        view,
        (("files", "files"),),
    )


def state_of(findings: list[Finding], site: str = "") -> str:
    (found,) = [finding for finding in findings if finding.site == site]
    return found.state


async def test_rights_are_proved_by_doing_and_nothing_is_left() -> None:
    clock, config = ManualClock(), config_of()
    east, west = await both(clock)
    west.hook = Faults(
        lambda call: (
            Denied("no", status=403)
            if call.operation == "put" and call.key.startswith(CANARY_PREFIX)
            else None
        )
    )
    sides = sides_of(config, clock, [east, west])
    findings = await rights.rights(sides)
    assert (state_of(findings, "east"), state_of(findings, "west")) == ("ok", "not ok")
    assert "lacks s3:PutObject" in findings[1].evidence
    assert east.dump("files") == west.dump("files") == []

    nobody = replace(sides, open={"east": replace(sides.open["east"], app=None)})
    nobody = replace(nobody, silent={"west": Unreachable("west does not answer")})
    findings = await rights.rights(nobody)
    assert [finding.state for finding in findings] == ["could not tell", "could not tell"]
    assert "no keys of the app" in findings[0].evidence


async def test_versioning_that_is_off_and_a_bucket_that_is_missing() -> None:
    clock, config = ManualClock(), config_of()
    east, west = await both(clock)
    await west.put_versioning("files", False)
    sides = replace(
        sides_of(config, clock, [east, west]), buckets=(("files", "files"), ("gone", "gone"))
    )
    findings = await rights.versioning(sides)
    assert "there is no bucket gone" in findings[0].evidence
    assert "versioning of files is Suspended" in findings[1].evidence


async def test_no_replica_yet_is_not_all_replicas() -> None:
    clock, config = ManualClock(), config_of()
    east, west = await both(clock)
    sides = sides_of(config, clock, [east, west])
    assert state_of(await rights.replicas(sides), "west") == "could not tell"
    await west.put("files", "k", b"body")
    await west.put("files", "empty", b"")
    findings = await rights.replicas(sides)
    assert findings[0].evidence == "the app read 2 objects in 1 bucket"
    west.hook = Faults(
        lambda call: Denied("kms:Decrypt", status=403) if call.operation == "get" else None
    )
    assert state_of(await rights.replicas(sides), "west") == "not ok"


async def test_objects_outside_every_rule_are_counted() -> None:
    clock, config = ManualClock(), config_of(RULES)
    east, west = await both(clock)
    sides = sides_of(config, clock, [east, west])
    await east.put("files", "in/a", b"1")
    assert state_of(await records.rules(sides), "east") == "ok"
    await east.put("files", "tagged/a", b"1")
    assert state_of(await records.rules(sides), "east") == "could not tell"
    await east.put("files", "out/a", b"1")
    await east.put("files", "out/b", b"1")
    (finding,) = await records.rules(sides)
    assert (finding.state, finding.evidence) == (
        "not ok",
        "files: 2 objects are outside every rule",
    )


async def test_a_server_that_does_not_know_a_kind_differs_only_where_the_other_has_some() -> None:
    clock, config = ManualClock(), config_of()
    east, west = await both(clock)

    def unknown(call: Call) -> Unsupported | None:
        return Unsupported("not here") if call.operation == "get_bucket_config" else None

    west.hook = Faults(unknown)
    sides = sides_of(config, clock, [east, west])
    assert {finding.state for finding in await settings.parity(sides)} == {"ok"}
    await east.put_bucket_config("files", "cors", CORS)
    states = {finding.name: finding.state for finding in await settings.parity(sides)}
    assert states["parity-cors"] == "could not tell"
    (carry,) = await differences(sides)
    assert (carry.document, carry.why) == ("", "west does not know it")


async def test_who_may_not_look_could_not_tell() -> None:
    clock, config = ManualClock(), config_of()
    east, west = await both(clock)
    reads = ("get_bucket_config", "get_versioning", "list_versions")
    west.hook = Faults(lambda call: Denied("no", status=403) if call.operation in reads else None)
    sides = sides_of(config, clock, [east, west])
    for check in (settings.parity, settings.lifecycle, rights.versioning, rights.replicas):
        states = {finding.state for finding in await check(sides)}
        assert "not ok" not in states, check
        assert "could not tell" in states, check


async def test_parity_is_shown_and_carried_and_nothing_is_taken_away() -> None:
    clock, config = ManualClock(), config_of()
    east, west = await both(clock)
    sides = sides_of(config, clock, [east, west])
    await east.put_bucket_config("files", "cors", CORS)
    await west.put_bucket_config("files", "tagging", "<Tagging><TagSet><Tag/></TagSet></Tagging>")
    found = await differences(sides)
    assert [(carry.name, bool(carry.document)) for carry in found] == [
        ("cors", True),
        ("tagging", False),
    ]
    assert list(await carry_over(sides, found)) == []
    assert await west.get_bucket_config("files", "cors") == CORS
    assert [carry.name for carry in await differences(sides)] == ["tagging"]
    with pytest.raises(Unreachable):
        await differences(sides_of(config, clock, [east, west], silent=("west",)))


async def test_a_check_up_is_kept_without_a_trail() -> None:
    clock, config = ManualClock(), config_of()
    _, west = await both(clock)
    assert await read_checkup(west, CONTROL, config.pair) is None
    for at in (clock.now(), clock.now() + 60):
        checkup = Checkup(at, (Wrong("rights", "west", "e", "r"),), ("drill",), 9)
        await write_checkup(west, CONTROL, config.pair, checkup)
    assert await read_checkup(west, CONTROL, config.pair) == checkup
    assert len(west.dump(CONTROL)) == 1
    await west.put(CONTROL, checkup_name(config.pair), b"{}")
    assert await read_checkup(west, CONTROL, config.pair) is None, "the next one replaces it"


async def test_a_plan_that_was_read_is_no_drill_that_passed() -> None:
    clock, config = ManualClock(), config_of()
    _, west = await both(clock)
    assert await read_drills(west, CONTROL, config.pair) == Drills()

    async def keep(name: str, **body: object) -> None:
        await write_document(west, CONTROL, f"drills/east.west/{name}.json", dict(body))

    await keep("1", level="plan", passed=True, ended_at="2026-01-01T00:00:00Z")
    await keep("2", level="live", passed=False, ended_at="2026-01-02T00:00:00Z")
    await west.put(CONTROL, "drills/east.west/2.md", b"a report")
    assert await read_drills(west, CONTROL, config.pair) == Drills(None, any=True)
    await keep("3", level="isolated", passed=True, ended_at="1970-01-01T00:01:00Z")
    await keep("4", level="live", passed=True, ended_at="no time")
    assert await read_drills(west, CONTROL, config.pair) == Drills(60.0, any=True)


async def test_the_last_drill_is_found_behind_many_versions_and_many_plans() -> None:
    clock, config = ManualClock(), config_of()
    _, west = await both(clock)
    folder = "drills/east.west/"
    for _ in range(10_100):  # more than ten pages
        await west.put(CONTROL, f"{folder}20260101-000000-drill-isolated.md", b"a report")
    body = {"level": "isolated", "passed": True, "ended_at": "1970-01-01T00:02:00Z"}
    await write_document(west, CONTROL, f"{folder}20260201-000000-drill-isolated.json", body)
    for day in range(1, DRILLS_MAX + 2):
        name = f"{folder}202603{day:02}-000000-drill-plan.json"
        await write_document(west, CONTROL, name, body | {"level": "plan"})
    assert await read_drills(west, CONTROL, config.pair) == Drills(120.0, any=True)


async def test_a_check_that_hangs_could_not_tell_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, config = ManualClock(), config_of()
    east, west = await both(clock)

    async def hangs(_: Sides) -> list[Finding]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(examine, "CHECK_SECONDS_MAX", 0.05)
    monkeypatch.setattr(examine, "CHECKS", {"clocks": records.clocks, "hangs": hangs})
    sides = sides_of(config, clock, [east, west])
    findings = await examine._run(sides, ["clocks", "hangs"])
    assert [(f.name, f.state) for f in findings] == [("clocks", "ok"), ("hangs", "could not tell")]
    assert "--only hangs" in findings[1].remedy
