"""Signatures against botocore's: same request, same second, same signature."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from farshore.core.model import Attributes, Lock
from farshore.credentials import Credentials
from farshore.errors import BadRequest
from farshore.s3 import wire
from farshore.s3.sigv4 import (
    EXPIRES_SECONDS_MAX,
    UNSIGNED_PAYLOAD,
    Signer,
    encode_path,
    encode_query,
)
from farshore.s3.store import Condition

NOW = 1_700_000_000.25
HOST = "127.0.0.1:9000"
KEYS = PLAIN, TOKEN = (
    Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "to/ken+=="),
)
ODD_KEYS = (
    "a.txt",
    "/leading",
    "//",
    "a//b",
    "a/../c",
    "..",
    ".",
    "%2e%2e",
    "100%",
    "a b",
    " a ",
    "a+b",
    "a=b&c=d",
    "a?b#c",
    "dir/",
    "~tilde_-.",
    "!*'()",
    "ünï/cödé",
    "日本語/ファイル",
    "😀",
    "a\nb",
    "tab\there",
    "\x01\x7f",
    "a\\b",
    "semi;colon:at@",
    '"quoted"',
    "x" * 1024,
)
ODD_METADATA: tuple[tuple[tuple[str, str], ...], ...] = (
    (),
    (("a", "plain"),),
    (("a", ""),),
    (("a", "two  inner   blanks"),),
    (("a", "  outer  "),),
    (("a", "tab\tin  between"),),
    (("a", "one"), ("a", "two")),
    (("a", "x  y"), ("a", "  z"), ("b", "")),
    (("a", "1"), ("a-b", "2"), ("a0", "3"), ("a.b", "4"), ("a_b", "5")),
    (("name", "größe".encode().decode("latin-1")),),
    (("name", "日本語".encode().decode("latin-1")),),
    (("blanks", "\u00a0a\u00a0\u3000 b\u0085c à\u2003".encode().decode("latin-1")),),
    (("farshore", "west/3HL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo"),),
    (("a", "colon: inside"), ("b", "a,b;c=d")),
)
FULL = Attributes(
    headers=(("cache-control", "no-cache"), ("content-type", "text/plain; charset=utf-8")),
    tags=(("a b", "c+d"), ("ü", "=&")),
    storage_class="STANDARD_IA",
    lock=Lock("GOVERNANCE", "2030-01-01T00:00:00Z", True),
    encryption="aws:kms",
    kms_key="arn:aws:kms:eu-west-1:123456789012:key/k",
)


def table() -> list[wire.Request]:
    """Every operation on every odd key, and every odd metadata on half of the keys."""
    found = [wire.list_buckets(), wire.get_versioning("bucket"), wire.put_versioning("b.c", True)]
    for key in ODD_KEYS:
        found += [
            wire.put("bucket", key, b"x", FULL, condition=Condition(absent=True)),
            wire.get("bucket", key, "v+/=1", first=5, last=9),
            wire.head("bucket", key, part_number=3),
            wire.delete("bucket", key, "null"),
            wire.get_tags("bucket", key, "v 1"),
            wire.put_tags("bucket", key, "v", (("a", "b"),)),
            wire.create_upload("bucket", key, FULL),
            wire.put_part("bucket", key, "up~load/1+2", 7, b"x", content_md5=bytes(16)),
            wire.complete_upload("bucket", key, "u", [(1, "e")], condition=Condition(etag="e")),
            wire.list_versions("bucket", prefix=key, key_marker=key, version_marker="v+"),
        ]
    for key in ODD_KEYS[::2]:
        found += [wire.put("bucket", key, b"", Attributes(metadata=m)) for m in ODD_METADATA]
    return found


TABLE = table()


class _Frozen(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """botocore's signer with the time as an argument."""

    def authorization(self, request: Any, now: float) -> str:
        request.context["timestamp"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        self._modify_request_before_signing(request)
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))
        found: str = request.headers["Authorization"]
        return found


class _FrozenQuery(S3SigV4QueryAuth):  # type: ignore[misc]  # botocore has no types
    def url(self, request: Any, now: float) -> str:
        request.context["timestamp"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        self._modify_request_before_signing(request)
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))
        found: str = request.url
        return found


def boto_keys(credentials: Credentials) -> Any:
    token = credentials.session_token or None
    return BotoCredentials(credentials.access_key, credentials.secret_key, token)


def boto_url(request: wire.Request) -> str:
    """The URL by the standard library's quoting, not by ours."""
    path = f"/{request.bucket}" + (f"/{request.key}" if request.key else "")
    return f"http://{HOST}{quote(path, safe='/~')}"


def boto_request(request: wire.Request) -> Any:
    made = AWSRequest(request.method, boto_url(request), params=list(request.query) or None)
    for name, value in request.headers:
        # botocore signs text as UTF-8: give it the text whose UTF-8 is what we send.
        made.headers.add_header(name, value.encode("latin-1").decode())
    made.context["client_config"] = Config(s3={"payload_signing_enabled": False})
    return made


def signed(request: wire.Request, signer: Signer, now: float = NOW) -> dict[str, str]:
    path, query = encode_path(request.bucket, request.key), encode_query(request.query)
    headers = list(request.headers)
    sent = signer.sign(request.method, HOST, path, query, headers, UNSIGNED_PAYLOAD, now)
    assert len(dict(sent)) == len(sent), "a header goes out twice"
    return dict(sent)


def test_the_table_is_large() -> None:
    assert len(TABLE) >= 200
    assert len(set(TABLE)) == len(TABLE)


@pytest.mark.parametrize("credentials", KEYS, ids=["keys", "token"])
def test_header_signatures_are_those_of_botocore(credentials: Credentials) -> None:
    signer = Signer(credentials, "eu-west-1")
    reference = _Frozen(boto_keys(credentials), "s3", "eu-west-1")
    for request in TABLE:
        ours = signed(request, signer)["authorization"]
        assert ours == reference.authorization(boto_request(request), NOW), request


@pytest.mark.parametrize("credentials", KEYS, ids=["keys", "token"])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_presigned_urls_are_those_of_botocore(credentials: Credentials, method: str) -> None:
    signer = Signer(credentials, "us-east-1")
    reference = _FrozenQuery(boto_keys(credentials), "s3", "us-east-1", expires=60)
    for key in ODD_KEYS:
        for query in ((), (("versionId", "v+/= 1"),)):
            request = wire.Request(method, "bucket", key, query)
            path = encode_path("bucket", key)
            ours = signer.presign(method, "http", HOST, path, list(query), expires_s=60, now=NOW)
            theirs = reference.url(AWSRequest(method, boto_url(request), params=dict(query)), NOW)
            assert parse_qs(urlsplit(ours).query) == parse_qs(urlsplit(theirs).query), key
            assert urlsplit(ours).path == urlsplit(theirs).path


def test_paths_and_queries_are_quoted_once_as_the_standard_library_quotes() -> None:
    for key in ODD_KEYS:
        assert encode_path("bucket", key).decode() == "/bucket/" + quote(key, safe="/~")
        assert encode_query([("prefix", key)]).decode() == "prefix=" + quote(key, safe="~")
    assert encode_path("bucket", "") == b"/bucket"
    assert encode_path("", "") == b"/"


@given(st.lists(st.tuples(st.text("ab-=&.", max_size=3), st.text("a=-+ %é", max_size=3))))
def test_a_query_sorts_by_encoded_name_then_value(pairs: list[tuple[str, str]]) -> None:
    encoded = [(quote(n, safe="~"), quote(v, safe="~")) for n, v in pairs]
    assert encode_query(pairs).decode() == "&".join(f"{n}={v}" for n, v in sorted(encoded))


def test_the_key_is_renewed_when_the_utc_day_turns() -> None:
    """One signer over midnight signs like two fresh ones, whichever way the clock moves."""
    midnight = 1_700_006_400.0
    worn = Signer(PLAIN, "us-east-1")
    request = wire.get("bucket", "a")
    for now in (midnight - 0.5, midnight, midnight + 1, midnight - 0.5):
        fresh = Signer(PLAIN, "us-east-1")
        assert signed(request, worn, now) == signed(request, fresh, now)
    before, after = (signed(request, worn, midnight + s)["authorization"] for s in (-1, 0))
    assert "/20231114/" in before
    assert "/20231115/" in after


def test_blanks_are_folded_for_the_signature_and_sent_as_they_are() -> None:
    sent = signed(
        wire.put("b1", "k", b"", Attributes(metadata=(("a", " x  y\tz "),))), Signer(PLAIN, "r")
    )
    assert sent["x-amz-meta-a"] == "x  y\tz"


def test_doubled_names_go_out_as_one_header() -> None:
    attributes = Attributes(metadata=(("A", "1"), ("a", " 2 ")))
    sent = signed(wire.put("b1", "k", b"", attributes), Signer(PLAIN, "r"))
    assert sent["x-amz-meta-a"] == "1,2"


@pytest.mark.parametrize("poison", ["\r\nx-evil: 1", "\n", "\r", "\0", "a\nb", "日"])
def test_a_value_that_could_leave_its_line_is_refused(poison: str) -> None:
    for value in (poison, f"a{poison}", f"a  {poison}b"):
        for attributes in (
            Attributes(metadata=(("a", value),)),
            Attributes(headers=(("content-type", value),)),
            Attributes(storage_class=value),
            Attributes(lock=Lock("GOVERNANCE", value)),
            Attributes(metadata=(("a", "b"), ("a", value))),
        ):
            with pytest.raises(BadRequest):
                signed(wire.put("bucket", "k", b"", attributes), Signer(PLAIN, "r"))


@pytest.mark.parametrize("name", ["a b", "a:b", "a\r\nb", "a\nb", "a;b", "ü", "a\0", 'a"b'])
def test_a_name_that_is_no_header_name_is_refused(name: str) -> None:
    with pytest.raises(BadRequest):
        signed(
            wire.put("bucket", "k", b"", Attributes(metadata=((name, "v"),))), Signer(PLAIN, "r")
        )


@given(st.text(), st.text())
def test_no_header_can_be_injected(name: str, value: str) -> None:
    """Whatever the metadata: refused, or every header sent is one clean line."""
    request = wire.put("bucket", "k", b"", Attributes(metadata=((name, value),)))
    try:
        sent = signed(request, Signer(TOKEN, "r"))
    except BadRequest:
        return
    assert len(sent) == 6
    for line in (f"{n}: {v}" for n, v in sent.items()):
        assert not set(line) & set("\r\n\0")
        line.encode("latin-1")


@pytest.mark.parametrize(
    "bucket", ["a/b", "..", "a..b", "-a", "a\n", "a b", "a?x", "ü", "a", "b" * 256, "a%2f", "."]
)
def test_a_bucket_name_that_is_not_sane_is_refused(bucket: str) -> None:
    for key in ("", "key"):
        with pytest.raises(BadRequest):
            encode_path(bucket, key)


def test_a_key_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(BadRequest):
        encode_path("bucket", "a\udc80")
    with pytest.raises(BadRequest):
        encode_query([("prefix", "a\udc80")])


@pytest.mark.parametrize("seconds", [0, -1, EXPIRES_SECONDS_MAX + 1])
def test_a_url_cannot_live_for_ever(seconds: int) -> None:
    with pytest.raises(BadRequest):
        Signer(PLAIN, "r").presign("GET", "http", HOST, b"/b/k", [], expires_s=seconds, now=NOW)


def test_a_signer_shows_no_secret() -> None:
    shown = repr(Signer(TOKEN, "r")) + str(Signer(TOKEN, "r"))
    assert TOKEN.secret_key not in shown
    assert TOKEN.session_token not in shown
