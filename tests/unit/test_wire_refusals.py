"""What servers refuse, and which of our errors it becomes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore import errors
from farshore.s3 import wire
from farshore.s3.store import Condition
from farshore.s3.wire import refusals

GET = wire.get("bkt", "k", "v")
HEAD = wire.head("bkt", "k")
PUT = wire.put("bkt", "k", b"x")
PUT_IF = wire.put("bkt", "k", b"x", condition=Condition(etag="e"))
COMPLETE = wire.complete_upload("bkt", "k", "u", [(1, "e")])


def refusal(
    status: int,
    code: str = "",
    request: wire.Request = PUT,
    *,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> errors.StoreError:
    document = f"<Error><Code>{code}</Code><Message>words</Message></Error>" if code else ""
    answer = wire.Answer(status, headers or {}, document.encode() if body is None else body)
    with pytest.raises(errors.StoreError) as caught:
        wire.raise_for_status(answer, request, "west")
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "BadDigest", errors.Corrupt),
        (400, "ExpiredToken", errors.Denied),
        (400, "RequestTimeout", errors.ServerFault),
        (400, "InvalidStorageClass", errors.Unsupported),
        (400, "EntityTooLarge", errors.BadRequest),
        (400, "KMS.DisabledException", errors.Denied),
        (400, "InvalidRequest", errors.BadRequest),
        (400, "", errors.BadRequest),
        (403, "AccessDenied", errors.Denied),
        (403, "SignatureDoesNotMatch", errors.Denied),
        (403, "RequestTimeTooSkewed", errors.ClockSkew),
        (403, "InvalidObjectState", errors.Unsupported),
        (403, "", errors.Denied),
        (404, "NoSuchBucket", errors.BucketMissing),
        (404, "NoSuchKey", errors.Gone),
        (404, "NoSuchVersion", errors.Gone),
        (404, "NoSuchUpload", errors.Gone),
        (404, "", errors.Gone),
        (405, "MethodNotAllowed", errors.Unsupported),
        (409, "ConditionalRequestConflict", errors.Precondition),
        (409, "OperationAborted", errors.Throttled),
        (409, "BucketAlreadyOwnedByYou", errors.Unsupported),
        (412, "PreconditionFailed", errors.Precondition),
        (429, "", errors.Throttled),
        (500, "InternalError", errors.ServerFault),
        (501, "NotImplemented", errors.Unsupported),
        (502, "", errors.ServerFault),
        (503, "SlowDown", errors.Throttled),
        (503, "", errors.Throttled),
        (507, "XMinioStorageFull", errors.ServerFault),
        (301, "PermanentRedirect", errors.BadRequest),
        (418, "", errors.BadRequest),
    ],
)
def test_status_and_code_choose_the_class(
    status: int, code: str, kind: type[errors.StoreError]
) -> None:
    error = refusal(status, code)
    assert type(error) is kind
    assert (error.status, error.code) == (status, code)
    assert error.action == "PutObject bkt/k at west"
    assert str(status) in str(error)


def test_every_code_of_the_table_is_raised_as_it_says() -> None:
    for code, kind in refusals.CODES.items():
        assert type(refusal(400, code)) is kind


@given(st.integers(300, 599), st.sampled_from(["", "Strange", *refusals.CODES]))
def test_no_refusal_passes(status: int, code: str) -> None:
    for request in (GET, HEAD, PUT, PUT_IF, COMPLETE):
        refusal(status, code, request)


def test_a_marker_is_told_apart() -> None:
    marker = {"x-amz-delete-marker": "true"}
    cases = [
        (refusal(404, "", HEAD, headers=marker), True),
        (refusal(404, "", HEAD), False),
        (refusal(405, "MethodNotAllowed", GET, headers=marker), True),
        (refusal(405, "MethodNotAllowed", GET), True),
        (refusal(405, "", HEAD), False),
    ]
    for error, is_marker in cases:
        assert isinstance(error, errors.Gone)
        assert error.is_marker is is_marker


def test_if_match_on_what_is_not_there_is_a_precondition() -> None:
    assert type(refusal(404, "NoSuchKey", PUT_IF)) is errors.Precondition
    assert type(refusal(404, "NoSuchBucket", PUT_IF)) is errors.BucketMissing
    condition = Condition(etag="e")
    complete = wire.complete_upload("bkt", "k", "u", [(1, "e")], condition=condition)
    assert type(refusal(404, "NoSuchUpload", complete)) is errors.Gone
    assert type(refusal(404, "NoSuchKey", complete)) is errors.Precondition


def test_a_read_that_is_invalid_only_for_its_key_is_unsupported() -> None:
    assert type(refusal(400, "InvalidRequest", GET)) is errors.Unsupported
    assert type(refusal(400, "InvalidRequest", wire.get_tags("bkt", "k"))) is errors.BadRequest


def test_an_error_inside_a_200_is_an_error() -> None:
    error = refusal(200, "InternalError", COMPLETE)
    assert type(error) is errors.ServerFault
    padded = b"\n\n  <?xml version='1.0'?><Error><Code>SlowDown</Code></Error>".strip()
    assert type(refusal(200, "", COMPLETE, body=b"  \n" + padded)) is errors.Throttled


def test_what_was_done_passes() -> None:
    done = wire.Answer(200, {}, b"<CompleteMultipartUploadResult/>")
    for request in (COMPLETE, PUT, GET):
        wire.raise_for_status(done, request, "west")
    # Only Complete can fail inside a 200: an object's bytes may look like an error.
    looks = wire.Answer(200, {}, b"<Error><Code>AccessDenied</Code></Error>")
    wire.raise_for_status(looks, GET, "west")
    wire.raise_for_status(wire.Answer(204, {}, b""), wire.delete("bkt", "k"), "west")


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (wire.create_bucket("bkt"), 409, "BucketAlreadyOwnedByYou"),
        (wire.abort_upload("bkt", "k", "u"), 404, "NoSuchUpload"),
        (wire.get_tags("bkt", "k"), 404, "NoSuchTagSet"),
    ],
)
def test_what_was_so_already_passes(request_: wire.Request, status: int, code: str) -> None:
    body = f"<Error><Code>{code}</Code></Error>".encode()
    wire.raise_for_status(wire.Answer(status, {}, body), request_, "west")
    refusal(status, "AccessDenied", request_)


def test_retry_after_is_bounded() -> None:
    assert refusal(503, "SlowDown", headers={"retry-after": "7"}).retry_after == 7.0
    assert refusal(503, "SlowDown", headers={"retry-after": "9" * 30}).retry_after == 3600.0
    date = {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert refusal(503, "SlowDown", headers=date).retry_after == 0.0


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>Bad gateway</body></html>",
        b"<Error><Code>AccessDen",
        b"\xff\xfe",
        b"<!DOCTYPE a [<!ENTITY x 'y'>]><Error><Code>AccessDenied</Code></Error>",
        b"<Error><Code>AccessDenied</Code>" + b" " * refusals.ERROR_BYTES_MAX + b"</Error>",
    ],
)
def test_a_body_that_is_not_an_s3_error_leaves_the_status(body: bytes) -> None:
    error = refusal(502, body=body)
    assert type(error) is errors.ServerFault
    assert error.code == ""


def test_a_servers_words_are_one_bounded_line() -> None:
    words = "a\nINFO forged \x1b[31m" + "x" * 10_000
    body = f"<Error><Code>Odd</Code><Message>{words}</Message></Error>".replace("\x1b", "&#155;")
    error = refusal(400, body=body.encode())
    assert "\n" not in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 500


KMS_WORDS = (
    "User: arn:aws:iam::111122223333:user/replicator is not authorized to perform: {} on "
    "resource: arn:aws:kms:eu-west-1:111122223333:key/k because no policy allows it"
)


@pytest.mark.parametrize(
    ("code", "words", "request_", "hint"),
    [
        ("AccessDenied", KMS_WORDS.format("kms:Decrypt"), GET, "allow kms:Decrypt on the"),
        ("AccessDenied", KMS_WORDS.format("kms:Decrypt"), PUT, "allow kms:Decrypt on the"),
        ("KMS.AccessDeniedException", "no", GET, "allow kms:Decrypt on the"),
        ("KMS.AccessDeniedException", "no", PUT, "allow kms:GenerateDataKey on the"),
    ],
)
def test_a_key_that_may_not_be_used_is_told_from_an_object_that_may_not_be_read(
    code: str, words: str, request_: wire.Request, hint: str
) -> None:
    body = f"<Error><Code>{code}</Code><Message>{words}</Message></Error>".encode()
    error = refusal(403, request=request_, body=body)
    assert (type(error), error.code) == (errors.Denied, refusals.KMS_DENIED)
    assert hint in error.hint
    assert f"403 {code}" in str(error), "the server's own word stays"


def test_an_object_that_is_named_after_a_kms_action_is_no_key() -> None:
    words = "not authorized to perform: s3:GetObject on resource: arn:aws:s3:::b/kms:Decrypt"
    body = f"<Error><Code>AccessDenied</Code><Message>{words}</Message></Error>".encode()
    assert refusal(403, request=GET, body=body).code == "AccessDenied"


def test_an_unknown_word_of_kms_is_a_denial_and_no_defect_of_ours() -> None:
    assert type(refusal(400, "KMS.SomethingNew")) is errors.Denied


def test_a_redirect_says_where_to() -> None:
    error = refusal(301, "PermanentRedirect", headers={"x-amz-bucket-region": "eu-west-1"})
    assert "eu-west-1" in error.hint


def test_a_refused_head_says_how_to_learn_more() -> None:
    assert "GET" in refusal(400, "", HEAD).hint
