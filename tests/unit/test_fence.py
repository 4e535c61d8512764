"""A fence is put, tried and taken away, on servers that obey and on servers that do not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NamedTuple

import pytest

from farshore.config.fences import OBEYED_SECONDS_MAX
from farshore.control.bucket import Access
from farshore.control.canary import CANARY_PREFIX
from farshore.core.policy import FENCE_SID, POLICY_BYTES_MAX, TRIAL_SID, Spared
from farshore.errors import BadRequest, ConfigError, Denied, Refused, Unreachable, Unsupported
from farshore.fence.barrier import PolicyBarrier
from farshore.fence.bite import Teeth
from farshore.fence.opening import buckets_at, fence_of, require_fence, spared
from farshore.fence.site import SiteFence, Toothless
from farshore.s3.store import Store
from farshore.testing.clock import ManualClock
from farshore.testing.store.faults import Crash, Crashed, Fail, Faulty, on
from farshore.testing.store.memory import MemoryStore
from farshore.testing.store.policed import Police, Policed
from tests.unit.sites import TOML, config_of

THEIRS = json.dumps(
    {
        "Version": "2012-10-17",
        "Id": "of others",
        "Statement": [
            {
                "Sid": "Public",
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::files/public/*",
            }
        ],
    },
    indent=3,
)


class Site(NamedTuple):
    """East in memory, its users, and what enforces its policies."""

    store: MemoryStore
    police: Police
    clock: ManualClock
    access: Access

    def app(self) -> Store:
        assert self.access.app is not None
        return self.access.app

    async def policy(self, bucket: str = "files") -> str:
        return await self.store.get_bucket_policy(bucket)

    def fence(self, *names: str, access: Access | None = None) -> SiteFence:
        barrier = PolicyBarrier(
            (access or self.access).operator, Spared.of(names or ("operator", "replicator"))
        )
        teeth = Teeth(access or self.access, self.clock, pause=self.clock.sleep)
        return SiteFence("east", ("files", "logs"), barrier, teeth)

    def left(self) -> list[str]:
        """Keys of canaries that were not purged."""
        held = [*self.store.dump("files"), *self.store.dump("logs")]
        return [h.version.key for h in held if h.version.key.startswith(CANARY_PREFIX)]


@pytest.fixture
async def site() -> Site:
    clock = ManualClock()
    store = MemoryStore("east", clock=clock)
    for bucket in ("files", "logs"):
        await store.create_bucket(bucket)
        await store.put_versioning(bucket, True)
    policies = store._buckets
    police = Police(lambda bucket: policies[bucket].policy)
    store.hook = police
    users = [Policed(store, user) for user in ("operator", "replicator", "app")]
    access = Access(config_of().source, users[0], users[1], users[2])
    return Site(store, police, clock, access)


async def test_a_fence_is_put_bites_and_is_taken_away(site: Site) -> None:
    await site.store.put_bucket_policy("files", THEIRS)
    fence = site.fence()
    bites = await fence.put()
    assert [(bite.bucket, bite.word) for bite in bites] == [("files", "bites"), ("logs", "bites")]
    for attempt in (
        site.app().put("files", "a", b"late"),
        site.app().delete("files", "a"),
        site.app().create_upload("files", "a"),
        site.app().put_versioning("files", False),
        site.app().delete_bucket_policy("files"),
    ):
        with pytest.raises(Denied):
            await attempt
    await site.app().list_versions("files")
    await site.access.replicator.put("files", "replica", b"1")
    assert await fence.look() == {"files": True, "logs": True}
    assert json.loads(await site.policy())["Statement"][0] == json.loads(THEIRS)["Statement"][0]

    again = await fence.put()
    assert {bite.word for bite in again} == {"bites"}
    opened = await fence.take()
    assert [(o.was, o.open) for o in opened] == [(True, True)] * 2
    assert await site.policy() == THEIRS
    assert await site.policy("logs") == ""
    assert [(o.was, o.open) for o in await fence.take()] == [(False, True)] * 2
    assert site.left() == []


async def test_a_policy_that_reaches_nobody_is_no_fence(site: Site) -> None:
    site.police.blind = True
    await site.store.put_bucket_policy("files", THEIRS)
    began = site.clock.monotonic()
    with pytest.raises(Toothless, match="the app could still write and delete") as caught:
        await site.fence().put()
    assert caught.value.exit_code == 5
    assert "command" in caught.value.hint
    assert site.clock.monotonic() - began >= OBEYED_SECONDS_MAX
    assert (await site.policy(), await site.policy("logs")) == (THEIRS, "")
    assert site.left() == []


@pytest.mark.parametrize("names", [("nobody",), ("operator",), ("arn:aws:iam::9:user/replicator",)])
async def test_names_that_match_nobody_are_found_out_on_canaries_alone(
    site: Site, names: tuple[str, ...]
) -> None:
    seen: list[str] = []

    class Watching(Policed):
        async def put_bucket_policy(self, bucket: str, document: str) -> None:
            seen.append(document)
            await super().put_bucket_policy(bucket, document)

    access = Access(
        site.access.site, Watching(site.store, "operator"), site.access.replicator, site.app()
    )
    with pytest.raises(Toothless, match="the replicator's writes are denied") as caught:
        await site.fence(*names, access=access).put()
    assert "spare" in caught.value.hint
    assert all(TRIAL_SID in text and f'"{FENCE_SID}"' not in text for text in seen)
    assert (await site.policy(), site.left()) == ("", [])


async def test_a_server_that_does_not_look_at_conditions_is_not_fenced(site: Site) -> None:
    site.police.deaf = True
    with pytest.raises(Toothless, match="replicator"):
        await site.fence().put()
    assert (await site.policy(), site.left()) == ("", [])


async def test_without_keys_of_the_app_nothing_is_proved(site: Site) -> None:
    access = Access(site.access.site, site.access.operator, site.access.replicator, None)
    bites = await site.fence(access=access).put()
    assert {bite.word for bite in bites} == {"unproved"}
    assert "no keys of the app" in bites[0].why
    assert await site.fence().look() == {"files": True, "logs": True}
    assert {o.open for o in await site.fence(access=access).take()} == {None}


async def test_an_app_that_never_could_write_proves_nothing(site: Site) -> None:
    site.police.refuses = frozenset({("app", "put")})
    bites = await site.fence().put()
    assert {bite.word for bite in bites} == {"unproved"}
    assert "before either" in bites[0].why


async def test_a_fence_must_let_the_app_read(site: Site) -> None:
    bites = await site.fence().put()
    assert {bite.word for bite in bites} == {"bites"}
    site.police.refuses = frozenset({("app", "get")})
    with pytest.raises(Toothless, match="reads are denied"):
        await site.fence().put()
    assert await site.fence().look() == {"files": True, "logs": True}, "what stood stays"


@pytest.mark.parametrize("sid", [TRIAL_SID, FENCE_SID])
@pytest.mark.parametrize("keep", [False, True])
async def test_one_bucket_that_does_not_bite(site: Site, sid: str, keep: bool) -> None:
    """Whether the trial shows it already, or the fence itself."""
    whole = site.police.policy_of

    def deaf_in_logs(bucket: str) -> str:
        document = whole(bucket)
        return "" if bucket == "logs" and f'"{sid}"' in document else document

    site.police.policy_of = deaf_in_logs
    with pytest.raises(Toothless, match="logs: the app could still") as caught:
        await site.fence().put(keep=keep)
    assert caught.value.bad == {"logs"}
    assert await site.fence().look() == {"files": keep, "logs": False}
    assert (await site.policy("logs"), site.left()) == ("", [])


async def test_the_trial_does_not_speak_for_the_fence(site: Site) -> None:
    """A server that goes on obeying the trial, and not the fence that replaced it."""
    seen: dict[str, str] = {}
    whole = site.police.policy_of

    def slow(bucket: str) -> str:
        document = whole(bucket)
        if TRIAL_SID in document:
            seen[bucket] = document
        return seen.get(bucket, document)

    site.police.policy_of = slow
    with pytest.raises(Toothless, match="the app could still"):
        await site.fence().put()
    assert await site.fence().look() == {"files": False, "logs": False}


async def test_a_check_leaves_nothing_behind(site: Site) -> None:
    await site.store.put_bucket_policy("files", THEIRS)
    assert {bite.word for bite in await site.fence().check()} == {"bites"}
    assert (await site.policy(), await site.policy("logs")) == (THEIRS, "")
    site.police.blind = True
    with pytest.raises(Toothless):
        await site.fence().check()
    assert (await site.policy(), await site.policy("logs"), site.left()) == (THEIRS, "", [])
    site.police.blind = False
    await site.fence().barrier.put(["logs"])
    for stands in (False, True):
        bites = await site.fence().check()
        assert [(b.bucket, b.word) for b in bites] == [("files", "bites"), ("logs", "bites")]
        assert await site.fence().look() == {"files": stands, "logs": True}
        await site.fence().put()


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ('{"Statement": "all of it"}', "no list"),
        (
            THEIRS.replace("of others", "x" * (POLICY_BYTES_MAX - len(THEIRS))),
            "20,480 are the limit",
        ),
    ],
)
async def test_a_policy_that_cannot_be_added_to_is_left_alone(
    site: Site, policy: str, why: str
) -> None:
    await site.store.put_bucket_policy("files", policy)
    with pytest.raises(Refused, match=why):
        await site.fence().put()
    assert await site.policy() == policy
    assert (await site.policy("logs"), site.left()) == ("", [])


async def test_a_server_that_refuses_rights_which_it_does_not_know(site: Site) -> None:
    class Narrow(Policed):
        async def put_bucket_policy(self, bucket: str, document: str) -> None:
            if "Replicate" in document:
                raise BadRequest("refused", status=400, code="MalformedPolicy")
            await super().put_bucket_policy(bucket, document)

    access = Access(
        site.access.site, Narrow(site.store, "operator"), site.access.replicator, site.app()
    )
    assert {bite.word for bite in await site.fence(access=access).put()} == {"bites"}


async def test_a_server_without_policies_says_what_else_there_is(site: Site) -> None:
    fault = on("get_bucket_policy", Fail(lambda a: Unsupported(a)), times=9)
    operator = Faulty(site.access.operator, fault)
    access = Access(site.access.site, operator, site.access.replicator, site.app())
    with pytest.raises(Refused, match="has no bucket policies") as caught:
        await site.fence(access=access).put()
    assert 'by = "command"' in caught.value.hint


@pytest.mark.parametrize("nth", range(1, 5))
@pytest.mark.parametrize("after", [False, True])
async def test_killed_anywhere_it_converges(site: Site, nth: int, after: bool) -> None:
    """Each of the four policy writes (two trials, two fences), killed before or after it."""
    await site.store.put_bucket_policy("files", THEIRS)
    operator = Faulty(site.access.operator, on("put_bucket_policy", Crash(after=after), nth=nth))
    access = Access(site.access.site, operator, site.access.replicator, site.app())
    with pytest.raises(Crashed):
        await site.fence(access=access).put()
    assert {bite.word for bite in await site.fence().put()} == {"bites"}
    await site.fence().take()
    assert (await site.policy(), await site.policy("logs"), site.left()) == (THEIRS, "", [])


async def test_a_line_that_breaks_leaves_the_fence_standing(site: Site) -> None:
    """Once it is put, only a proof that it does not bite takes it away again."""
    broken = Fail(lambda action: Unreachable(action))
    app = Faulty(site.app(), on("put", broken, nth=5, times=99))
    access = Access(site.access.site, site.access.operator, site.access.replicator, app)
    with pytest.raises(Unreachable):
        await site.fence(access=access).put()
    assert await site.fence().look() == {"files": True, "logs": True}


# -- from the configuration -----------------------------------------------------------


async def test_whom_the_fence_spares_is_learnt_from_the_server(site: Site) -> None:
    assert await spared(site.access) == Spared(("operator", "replicator"))
    alike = Access(site.access.site, site.app(), site.access.replicator, site.app())
    with pytest.raises(ConfigError, match='names the app as it names our own users \\("app"\\)'):
        await spared(alike)
    nameless = Policed(site.store, "")
    with pytest.raises(ConfigError, match="does not say"):
        await spared(Access(site.access.site, nameless, nameless, None))
    named = config_of(TOML.replace("[pair]", '[sites.east.fence]\nspare = ["a", "arn:b"]\n[pair]'))
    assert await spared(replace(alike, site=named.source)) == Spared(("a",), ("arn:b",))


PATTERNS = TOML + '[[pair.buckets]]\nsource = "prod-*"\ntarget = "copy-*"\n'


async def test_the_buckets_of_either_side(site: Site) -> None:
    for bucket in ("prod-1", "copy-1", "other", "farshore-control"):
        await site.store.create_bucket(bucket)
    config = config_of(PATTERNS)
    found = []
    for name in ("east", "west"):
        access = Access(config.site(name), site.access.operator, site.access.replicator, None)
        found.append(await buckets_at(config, access))
    assert found == [("files", "prod-1"), ("copy-1", "files")]


def test_one_key_for_the_app_and_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    for prefix, key in (("EAST_OPERATOR", "K1"), ("EAST", "K2"), ("EAST_APP", "K1")):
        monkeypatch.setenv(f"{prefix}_ACCESS_KEY_ID", key)
        monkeypatch.setenv(f"{prefix}_SECRET_ACCESS_KEY", "s")
    with pytest.raises(Refused, match="the app from the operator: both use one access key"):
        require_fence(config_of(), "east")
    monkeypatch.setenv("EAST_APP_ACCESS_KEY_ID", "K3")
    require_fence(config_of(), "east")


def test_a_site_that_cannot_be_fenced_says_so() -> None:
    config = config_of(TOML.replace("[pair]", '[sites.east.fence]\nby = "none"\n[pair]'))
    with pytest.raises(Refused, match=r'east cannot be fenced: .* says by = "none"'):
        require_fence(config, "east")


async def test_how_long_a_server_may_need_to_obey_is_configured(site: Site) -> None:
    text = TOML.replace("[pair]", '[sites.east.fence]\nobeyed_within = "3s"\n[pair]')
    config = config_of(text)
    access = replace(site.access, site=config.site("east"))
    assert (await fence_of(config, access, site.clock)).teeth.seconds_max == 3.0
    assert (await fence_of(config_of(), site.access, site.clock)).teeth.seconds_max == 15.0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('by = "wish"', "by"),
        ('by = "command"', "needs argv"),
        ('argv = ["x"]', "does not take argv"),
        ('by = "none"\nspare = ["x"]', "does not take spare"),
        ('by = "none"\nobeyed_within = 1', "does not take obeyed_within"),
        ("obeyed_within = 0", "obeyed_within"),
        ("spare = []", "spare"),
    ],
)
def test_a_wrong_fence_in_the_file(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(TOML.replace("[pair]", f"[sites.east.fence]\n{text}\n[pair]"))
    assert why in " ".join(caught.value.problems)


async def test_a_fence_made_from_its_configuration(site: Site) -> None:
    fence = await fence_of(config_of(), site.access, site.clock)
    assert (fence.site, fence.buckets) == ("east", ("files",))
    assert {bite.word for bite in await fence.put()} == {"bites"}
