"""What an authority may say that real BIND does not say on demand."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rrset
import dns.tsig
import pytest

from farshore.config.switches import DnsSwitch, Record
from farshore.switch.dns import DnsDriver, tsig_key
from farshore.switch.driver import DriverPlan, SwitchError, SwitchUnknown

SECRET = base64.b64encode(b"a secret of thirty-two characters").decode()
VALUES = {"east": "east.example.net", "west": "west.example.net"}
RECORD = Record("s3.example.net", "CNAME", 5, VALUES, ())

Say = Callable[[dns.message.Message], bytes]


def source(port: int) -> DnsSwitch:
    address = f"127.0.0.1:{port}"
    return DnsSwitch("dns", address, "example.net", RECORD, "switch", "hmac-sha256", "A_VARIABLE")


KEY = tsig_key(source(1), SECRET)


def answer(
    message: dns.message.Message,
    *,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    signed: bool = True,
    authoritative: bool = True,
) -> bytes:
    made = dns.message.make_response(message)
    made.set_rcode(rcode)
    if authoritative:
        made.flags |= dns.flags.AA
    if message.opcode() == dns.opcode.QUERY:
        made.answer.append(
            dns.rrset.from_text("s3.example.net.", 5, "IN", "CNAME", VALUES["east"] + ".")
        )
    if not signed:
        made.tsig = None
    return made.to_wire()


@asynccontextmanager
async def authority(update: Say, query: Say = answer) -> AsyncIterator[DnsDriver]:
    """A driver before a server that says what it is told to say."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        wire = await reader.readexactly(size)
        message = dns.message.from_wire(wire, keyring=KEY)
        said = (update if message.opcode() == dns.opcode.UPDATE else query)(message)
        writer.write(len(said).to_bytes(2, "big") + said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield DnsDriver(source(server.sockets[0].getsockname()[1]), KEY, 60.0)


def plan(driver: DnsDriver, expected: str) -> DriverPlan:
    vantage = driver._vantage
    return DriverPlan("dns", "west", ((vantage, expected),), ("a line",))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (lambda m: answer(m, rcode=dns.rcode.SERVFAIL), "it answered SERVFAIL"),
        (lambda m: answer(m, signed=False), "FormError"),
        (lambda m: b"rubbish", "ShortHeader"),
        (
            lambda m: answer(dns.message.make_query("a.example.net.", "A"), signed=False),
            "FormError",
        ),
        (answer, "now shows 'east.example.net'"),
    ],
)
async def test_after_an_unclear_answer_the_change_may_stand(said: Say, why: str) -> None:
    async with authority(said) as driver:
        with pytest.raises(SwitchUnknown, match="It may stand") as caught:
            await driver.apply(plan(driver, VALUES["east"]))
    assert why in caught.value.message


@pytest.mark.parametrize("rcode", [dns.rcode.REFUSED, dns.rcode.NOTIMP, dns.rcode.NOTZONE])
async def test_after_a_refusal_it_is_untouched(rcode: dns.rcode.Rcode) -> None:
    async with authority(lambda m: answer(m, rcode=rcode)) as driver:
        with pytest.raises(SwitchError, match=dns.rcode.to_text(rcode)) as caught:
            await driver.apply(plan(driver, VALUES["east"]))
    assert not isinstance(caught.value, SwitchUnknown)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (lambda m: answer(m, rcode=dns.rcode.SERVFAIL), "it answers SERVFAIL"),
        (lambda m: answer(m, authoritative=False), "it is no authority for this record"),
        (lambda m: b"rubbish", "its answer cannot be used"),
    ],
)
async def test_what_is_no_answer_is_a_reading_with_its_error(said: Say, error: str) -> None:
    async with authority(answer, said) as driver:
        (reading,) = (await driver.current()).readings
    assert error in reading.error
    assert (reading.site, reading.raw) == ("", "")


async def test_an_answer_that_is_not_signed_is_not_believed() -> None:
    async with authority(answer, lambda m: answer(m, signed=False)) as driver:
        (reading,) = (await driver.current()).readings
    assert "cannot be used" in reading.error


def test_a_secret_that_is_not_base64_is_told_without_it() -> None:
    with pytest.raises(ValueError, match="not base64") as caught:
        tsig_key(source(1), "hunter2!")
    assert "hunter2" not in str(caught.value)


def test_the_plan_of_another_place_is_refused() -> None:
    driver = DnsDriver(source(1), KEY, 60.0)
    other = DriverPlan("dns", "west", (("authority 10.0.0.9:53", "x"),), ("a line",))
    with pytest.raises(SwitchError, match="another place"):
        asyncio.run(driver.apply(other))
