"""`farshore fence` and `farshore unfence`: a site's storage refuses clients' writes, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from farshore.cli.console import Console, JsonOption, YesOption, load_config, run
from farshore.cli.orders import (
    ByOption,
    ConfirmOption,
    WhyOption,
    author,
    reason,
    require_named,
)
from farshore.errors import Unreachable, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farshore.config import Config
    from farshore.control.record import ControlPlane
    from farshore.core.record import Fence
    from farshore.fence.recorded import Raised
    from farshore.fence.site import Opened
    from farshore.fence.trial import Tried

PENDING = 3
"""Exit code of `fence` where the site does not answer: it is at risk until it does."""

UNPROVED = 6
"""Exit code of `fence` where it stands and nobody could try whether it bites."""

SiteArgument = Annotated[str, typer.Argument(help="The site.")]


def fence(
    context: typer.Context,
    site: Annotated[str, typer.Argument(help="The site; none with --pending.")] = "",
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Only try whether it would bite, on canaries; no client notices."
        ),
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Only show what stands there.")] = False,
    pending: Annotated[
        bool, typer.Option("--pending", help="Carry out what waits for sites that were down.")
    ] = False,
    why: WhyOption = "",
    by: ByOption = "",
    confirm: ConfirmOption = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a site's storage refuse clients' writes, until `farshore unfence`.

    The replicator and the operator go on writing; everybody goes on reading. It is tried at
    once as the application. A site that does not answer is fenced by `farshore run` the moment
    it does. Exit code 0: it bites; 3: it waits for the site; 5: it does not bite, and nothing
    of it was left; 6: it stands, and nobody could try it.
    """
    config = load_config(context)
    console = Console(as_json=as_json)
    if (check, show, pending).count(True) > 1 or bool(site) == pending:
        raise UsageError(
            "Name one site to fence, or give --pending; with a site one of --check and --show."
        )
    if pending:
        _finish(console, run(_carry_out(config)))
        return
    config.site(site)
    if check:
        _say_check(console, site, run(_check(config, site)))
    elif show:
        _say_look(console, site, *run(_look(config, site)))
    else:
        given = reason(console, why)
        if not yes:
            require_named(console, site, confirm, f"Clients can no longer write to {site}.")
        _finish(console, [run(_fence(config, site, author(by), given))])


def unfence(
    context: typer.Context,
    site: SiteArgument,
    why: WhyOption = "",
    by: ByOption = "",
    confirm: ConfirmOption = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let clients write to a site again; nothing else ever does.

    What else stands in the buckets' policies is given back byte for byte.
    """
    config = load_config(context)
    config.site(site)
    console = Console(as_json=as_json)
    given = reason(console, why)
    if not yes:
        require_named(console, site, confirm, run(_question(config, site)))
    opened = run(_unfence(config, site, author(by), given))
    _say_opened(console, site, opened)


# -- doing ---------------------------------------------------------------------------


async def _fence(config: Config, site: str, by: str, why: str) -> Raised:
    from farshore.clock import SystemClock
    from farshore.control.record import open_plane
    from farshore.fence.recorded import Fences

    clock = SystemClock()
    async with open_plane(config, clock) as plane:
        return await Fences(config, plane, clock).raise_(site, by, why)


async def _carry_out(config: Config) -> list[Raised]:
    from farshore.clock import SystemClock
    from farshore.control.record import open_plane
    from farshore.fence.recorded import Fences

    clock = SystemClock()
    async with open_plane(config, clock) as plane:
        fences = Fences(config, plane, clock)
        return [await fences.carry_out(fence) for fence in await _pending(plane)]


async def _pending(plane: ControlPlane) -> list[Fence]:
    from farshore.fence.waiting import waiting

    view = await plane.read()
    if not view.answering:
        raise Unreachable("Neither control bucket answers: what waits is not known.")
    return list(waiting(view))


async def _unfence(config: Config, site: str, by: str, why: str) -> list[Opened]:
    from farshore.clock import SystemClock
    from farshore.control.record import open_plane
    from farshore.fence.recorded import Fences

    clock = SystemClock()
    async with open_plane(config, clock) as plane:
        return await Fences(config, plane, clock).lower(site, by, why)


async def _question(config: Config, site: str) -> str:
    """What a person should know before clients may write there again."""
    from farshore.clock import SystemClock
    from farshore.control.record import open_plane

    async with open_plane(config, SystemClock()) as plane:
        view = await plane.read()
    primary = view.record.primary
    if view.answering and primary != site:
        return (
            f"Clients can write to {site} again, and {primary} is the primary: what they write "
            f"to {site} is not copied to {primary}."
        )
    return f"Clients can write to {site} again."


async def _check(config: Config, site: str) -> Tried:
    from farshore.clock import SystemClock
    from farshore.control.contact import make_contact
    from farshore.control.sites import open_access
    from farshore.fence.trial import try_fence

    async with open_access(config, site) as access:
        await make_contact(access.operator, access.site, "operator")
        return await try_fence(config, access, SystemClock())


async def _look(config: Config, site: str) -> tuple[Fence | None, dict[str, bool] | None, str]:
    """(what is recorded, what stands by bucket, why that is not known)."""
    from farshore.clock import SystemClock
    from farshore.control.record import open_plane
    from farshore.fence.opening import open_fence

    clock = SystemClock()
    async with open_plane(config, clock) as plane:
        recorded = (await plane.read()).record.fence_of(site)
    try:
        async with open_fence(config, site, clock) as found:
            return recorded, await found.look(), ""
    except Unreachable as error:
        return recorded, None, error.message


# -- saying --------------------------------------------------------------------------


def _finish(console: Console, raised: Sequence[Raised]) -> None:
    """Say what became of every fence; the worst decides the exit code."""
    if not raised:
        console.say("No fence waits.")
    for one in raised:
        console.say(_sentence(one))
        if one.bites:
            console.table(("bucket", "fence", ""), one.bites)
    console.document({"fences": [_document(one) for one in raised]})
    if any(one.fence.state == "pending" for one in raised):
        raise typer.Exit(PENDING)
    if not all(one.proved for one in raised):
        raise typer.Exit(UNPROVED)


def _sentence(one: Raised) -> str:
    site = one.fence.site
    if one.trouble and one.fence.state != "pending":
        return f"{site} was fenced by {one.fence.by}; now it cannot be tried: {one.trouble}"
    match one.fence.state:
        case "standing":
            return f"{site} is fenced: clients' writes are refused, reads and the replicator pass."
        case "unproved":
            return f"{site} is fenced as far as is written; nobody could try whether it bites."
        case "pending":
            return (
                f"{site} is to be fenced, and is not: it does not answer. `farshore run` does it "
                "the moment it does, or `farshore fence --pending`. Keep clients away from it "
                f"until then. ({one.trouble})"
            )


def _document(one: Raised) -> dict[str, Any]:
    from farshore.control.status import moment_text

    fence = one.fence
    return {
        "site": fence.site,
        "state": fence.state,
        "by": fence.by,
        "why": fence.why,
        "at": moment_text(fence.at),
        "buckets": [bite._asdict() for bite in one.bites],
        "trouble": one.trouble,
    }


def _say_check(console: Console, site: str, tried: Tried) -> None:
    if tried.refusal is not None:
        raise tried.refusal
    proved = tried.would_bite
    would = "would bite" if proved else "could be written; nobody can tell whether it would bite"
    console.say(f"A fence at {site} {would}.")
    console.table(("bucket", "fence", ""), tried.bites)
    buckets = [bite._asdict() for bite in tried.bites]
    console.document({"site": site, "would_bite": proved, "buckets": buckets})
    if not proved:
        raise typer.Exit(UNPROVED)


def _say_look(
    console: Console, site: str, fence: Fence | None, stands: dict[str, bool] | None, trouble: str
) -> None:
    from farshore.control.status import moment_text

    if fence is None:
        console.say(f"{site}: no fence is recorded.")
    else:
        when = moment_text(fence.at)
        console.say(f"{site}: recorded as {fence.state}, by {fence.by}, {when}: {fence.why}")
    if stands is None:
        console.say(f"What stands there is not known: {trouble}")
    else:
        rows = [(bucket, "stands" if there else "none") for bucket, there in stands.items()]
        console.table(("bucket", "fence"), rows)
    recorded = None
    if fence is not None:
        recorded = {"state": fence.state, "by": fence.by, "why": fence.why}
        recorded["at"] = moment_text(fence.at)
    console.document({"site": site, "recorded": recorded, "stands": stands, "trouble": trouble})


def _say_opened(console: Console, site: str, opened: Sequence[Opened]) -> None:
    if not opened:
        console.say(
            f"The fence that waited for {site} is taken back. {site} does not answer: should one "
            f"stand there all the same, run `farshore unfence {site}` again when it does."
        )
    elif not any(one.was for one in opened):
        console.say(f"There was no fence at {site}.")
    else:
        console.say(f"{site} is open: clients can write to it again.")
    shut = [one.bucket for one in opened if one.open is False]
    if shut:
        console.say(
            f"The app is still denied in {', '.join(shut)}: something else than farshore's fence "
            "denies it; see the buckets' policies and the app's own rights."
        )
    console.document(
        {"site": site, "answers": bool(opened), "buckets": [one._asdict() for one in opened]}
    )
