"""Checks that do what a failover will do: write, read, list, purge, presign, fence. On canaries."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

from farshore.control.bucket import Access
from farshore.control.canary import canary_key, prove, purge_key
from farshore.control.prepare import ENABLED
from farshore.control.sites import open_store
from farshore.core.checkup import Finding, Sighting, summed
from farshore.core.model import Version
from farshore.core.rules import OWN_PREFIX
from farshore.core.words import counted
from farshore.doctor.sides import Sides
from farshore.errors import BucketMissing, Corrupt, Denied, Gone, StoreError
from farshore.fence.trial import try_fence
from farshore.s3.by_url import by_url, context_of
from farshore.s3.store import Store

SAMPLE_MAX = 6
"""Objects of each bucket that are read: the first and the last changed of its first page."""

SAMPLE_BYTES = 1024
"""Of each of them. Encrypted objects are decrypted for one byte as for all."""

URL_SECONDS = 60
URL_SECONDS_MAX = 5.0

BITE_SECONDS = 8.0
"""How long a trial may wait for a server to obey: shorter than a fence's, somebody waits."""

_BODY = b"farshore doctor: written by a presigned URL, and purged at once.\n"
_NO_APP = "there are no keys of the app, so its path cannot be tried"
_NO_APP_REMEDY = "Give them: [sites.{site}.credentials] app, see docs/configuration.md."


async def versioning(sides: Sides) -> list[Finding]:
    """Every bucket of the pair, and the control buckets, keep versions."""

    async def at(access: Access) -> Finding:
        async def look(bucket: str) -> Sequence[Sighting]:
            try:
                state = await access.operator.get_versioning(bucket)
            except BucketMissing:
                return [Sighting("not ok", f"there is no bucket {bucket}")]
            if state == ENABLED:
                return [Sighting("ok")]
            return [Sighting("not ok", f"versioning of {bucket} is {state or 'off'}")]

        site = access.site.name
        names = [*sides.named(site), access.site.control_bucket]
        return summed(
            "versioning",
            await sides.each_bucket(names, look),
            well=f"on in {counted(len(names), 'bucket')}",
            remedy="Run `farshore apply`.",
            site=site,
        )

    return await sides.each_site("versioning", at)


async def control_bucket(sides: Sides) -> list[Finding]:
    """Records can be written on both sides, and the two agree."""

    async def at(access: Access) -> Finding:
        site, bucket = access.site.name, access.site.control_bucket
        shown = sides.view.of(site)
        troubles = [t for t in (shown.trouble, *sides.view.conflicts) if t and site in t]
        sightings = [Sighting("not ok", trouble.rstrip(".")) for trouble in troubles]
        sightings += await _proved(sides, access, bucket)
        return summed(
            "control-bucket",
            sightings,
            well=f"{bucket} was written, read and purged",
            remedy="Give the replicator its rights on it, and see `farshore status`.",
            site=site,
        )

    return await sides.each_site("control-bucket", at)


async def rights(sides: Sides) -> list[Finding]:
    """The replicator and the application do in every bucket what they must."""

    async def at(access: Access) -> Finding:
        site = access.site.name
        fenced = sides.is_fenced(site)
        tried = replace(access, app=None) if fenced else access

        async def look(bucket: str) -> Sequence[Sighting]:
            return await _proved(sides, tried, bucket)

        names = sides.named(site)
        found = await sides.each_bucket(names, look)
        if access.app is None and names:
            found.append(Sighting("could not tell", _NO_APP))
        who = "the replicator writes" if fenced else "the replicator and the app write"
        told = " (fenced: what the app may do is not tried)" if fenced else ""
        remedy = "Grant what is named, and try again: `farshore doctor --only rights`."
        if access.app is None and all(s.state != "not ok" for s in found):
            remedy = _NO_APP_REMEDY.format(site=site)
        well = f"{who} and read in {counted(len(names), 'bucket')}{told}"
        return summed("rights", found, well=well, remedy=remedy, site=site)

    return await sides.each_site("rights", at)


async def _proved(sides: Sides, access: Access, bucket: str) -> list[Sighting]:
    try:
        proofs = await prove([(access, [bucket])], sides.clock)
    except BucketMissing:
        return [Sighting("not ok", f"there is no bucket {bucket}")]
    return [
        Sighting("not ok", proof.error.message.rstrip(".")) if proof.error else Sighting("ok")
        for proof in proofs
    ]


async def replicas(sides: Sides) -> list[Finding]:
    """Objects that stand at the target are read there, decryption included."""
    site = sides.config.pair.target
    if site not in sides.open:
        return [sides.no_answer("replicas", site)]
    access = sides.open[site]
    reader, who = (access.app, "the app") if access.app else (access.replicator, "the replicator")
    names = sides.named(site)

    async def look(bucket: str) -> Sequence[Sighting]:
        return [
            await _read_one(reader, bucket, entry)
            for entry in await sample(access.replicator, bucket)
        ]

    found = await sides.each_bucket(names, look)
    read = sum(sighting.state == "ok" for sighting in found)
    return [
        summed(
            "replicas",
            found,
            well=f"{who} read {counted(read, 'object')} in {counted(len(names), 'bucket')}",
            remedy=f"Let {who} read them at {site}, with the keys of that region (KMS), too.",
            nothing=f"{site} has no object yet that could be read",
            site=site,
        )
    ]


async def sample(store: Store, bucket: str) -> list[Version]:
    """Visible objects of the first page: those changed last, and its first ones."""
    page = await store.list_versions(bucket)
    visible = [
        entry
        for entry in page.entries
        if entry.is_latest and not entry.is_marker and not entry.key.startswith(OWN_PREFIX)
    ]
    half = SAMPLE_MAX // 2
    latest = sorted(visible, key=lambda entry: entry.modified, reverse=True)[:half]
    return list(dict.fromkeys([*latest, *visible[:half]]))


async def _read_one(store: Store, bucket: str, entry: Version) -> Sighting:
    last = min(entry.size, SAMPLE_BYTES) - 1 if entry.size else None
    try:
        async with store.get(bucket, entry.key, last=last) as answer:
            await answer.read()
    except Gone:
        return Sighting("ok")  # deleted meanwhile
    except (Denied, Corrupt) as error:
        return Sighting("not ok", error.message.rstrip("."))
    return Sighting("ok")


async def presign(sides: Sides) -> list[Finding]:
    """A client that knows nothing but a URL writes and reads."""

    async def at(access: Access) -> Finding:
        site = access.site.name
        signer, who = (
            (access.app, "the app") if access.app else (access.replicator, "the replicator")
        )
        if sides.is_fenced(site):
            signer, who = access.replicator, "the replicator (fenced: the app's are not tried)"

        async def look(bucket: str) -> Sequence[Sighting]:
            return [await _by_url_works(sides, access, signer, bucket)]

        assert signer is not None
        names = sides.named(site)
        return summed(
            "presign",
            await sides.each_bucket(names, look),
            well=f"PUT and GET in {counted(len(names), 'bucket')}, by URLs of {who}",
            remedy="See that the endpoint, its region and the app's rights are right; a proxy "
            "must not change the Host header.",
            site=site,
        )

    return await sides.each_site("presign", at)


async def front(sides: Sides) -> list[Finding]:
    """The same by the URL that applications use, whatever the switch shows."""
    switch, primary = sides.config.switch, sides.view.record.primary
    if not switch.endpoint or primary not in sides.open:
        return []
    access = sides.open[primary]
    if access.app is None or sides.is_fenced(primary) or not sides.named(primary):
        return []
    site = replace(access.site, endpoint=switch.endpoint, ca_file=switch.ca_file)
    config = replace(sides.config, sites={**sides.config.sites, primary: site})
    bucket = sides.named(primary)[0]
    async with aclosing(open_store(config, primary, "app")) as client:
        at_front = replace(access, site=site)

        async def look(bucket: str) -> Sequence[Sighting]:
            return [await _by_url_works(sides, at_front, client, bucket)]

        found = await sides.each_bucket([bucket], look)
    return [
        summed(
            "front",
            found,
            well=f"PUT and GET in {bucket} by {switch.endpoint}",
            remedy="See whether the proxies run, and `farshore switch show`.",
        )
    ]


async def _by_url_works(sides: Sides, access: Access, signer: Store, bucket: str) -> Sighting:
    """The site answers otherwise: whatever keeps a URL from working is "not ok"."""
    try:
        await presigned(sides, access, signer, bucket)
    except StoreError as error:
        return Sighting("not ok", error.message.rstrip("."))
    return Sighting("ok")


async def presigned(sides: Sides, access: Access, signer: Store, bucket: str) -> None:
    """Write a canary by one URL and read it by another; nothing is left. Raises what it meets."""
    context = context_of(access.site.ca_file)
    key = canary_key(sides.clock)
    try:
        url = signer.presign("PUT", bucket, key, expires_s=URL_SECONDS)
        await by_url("PUT", url, _BODY, context=context, seconds_max=URL_SECONDS_MAX)
        url = signer.presign("GET", bucket, key, expires_s=URL_SECONDS)
        found = await by_url("GET", url, context=context, seconds_max=URL_SECONDS_MAX)
        if found != _BODY:
            raise Corrupt(f"{bucket}/{key} does not hold what the presigned URL wrote.")
    finally:
        await purge_key(access.replicator, bucket, key)


async def fence(sides: Sides) -> list[Finding]:
    """A fence would bite: tried on canaries, while clients go on writing."""

    async def at(access: Access) -> Finding:
        site = access.site.name
        try:
            tried = await try_fence(sides.config, access, sides.clock, seconds_max=BITE_SECONDS)
        except BucketMissing as error:
            return Finding("fence", "not ok", error.message, "Run `farshore apply`.", site)
        except StoreError as error:
            return Finding("fence", "could not tell", error.message, error.hint, site)
        if tried.refusal is not None:
            return Finding("fence", "not ok", tried.refusal.message, tried.refusal.hint, site)
        unproved = [f"{bite.bucket}: {bite.why}" for bite in tried.bites if bite.word != "bites"]
        sightings = [Sighting("could not tell", why) for why in unproved]
        sightings += [Sighting("ok")] * (len(tried.bites) - len(unproved))
        return summed(
            "fence",
            sightings,
            well=f"it would bite in {counted(len(tried.bites), 'bucket')}",
            remedy="Give the app keys and rights there, so that a fence can be tried.",
            site=site,
        )

    return await sides.each_site("fence", at)
