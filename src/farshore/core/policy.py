"""A bucket's policy as text: one statement of ours put in, and taken out again.

Statements of others are never touched, not even their white space: the text is cut and
joined, not written anew, so that taking our statement out gives back what stood there.

    merged("",  ours)          {"Version": …, "Statement": [ours]}
    merged(theirs, ours)       theirs, with ours behind their last statement
    without(merged(…), SID)    theirs, byte for byte; "" where nothing else stood there
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json.decoder import JSONDecodeError, JSONDecoder
from typing import Any, NamedTuple

FENCE_SID = "FarshoreFence"
TRIAL_SID = "FarshoreFenceTrial"
"""A fence around our canaries alone: it shows whether a whole one would bite."""

POLICY_BYTES_MAX = 20 * 1024
"""S3's limit for a bucket's policy."""

VERSION = "2012-10-17"
ARN = "arn:"

WRITES: tuple[str, ...] = (
    "s3:Put*",
    "s3:Delete*",
    "s3:AbortMultipartUpload",
    "s3:RestoreObject",
    "s3:Replicate*",
    "s3:BypassGovernanceRetention",
)
"""All that changes a bucket or what is in it. Multipart uploads and copies need PutObject."""

PLAIN_WRITES: tuple[str, ...] = ("s3:Put*", "s3:Delete*", "s3:AbortMultipartUpload")
"""The same for servers that refuse rights which they do not know."""

Statement = Mapping[str, Any]


class BadPolicy(ValueError):
    """The text is no policy that a statement could be put into; says why."""


@dataclass(frozen=True, slots=True)
class Spared:
    """Whom a fence lets through: names of users, and ARNs of users or roles."""

    users: tuple[str, ...] = ()
    arns: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Sequence[str]) -> Spared:
        """Names and ARNs as they stand in the configuration, each once, sorted."""
        found = sorted(set(names))
        return cls(
            tuple(name for name in found if not name.startswith(ARN)),
            tuple(name for name in found if name.startswith(ARN)),
        )

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.users, *self.arns)


def deny_writes(
    bucket: str, spared: Spared, actions: Sequence[str] = WRITES, *, below: str | None = None
) -> Statement:
    """The fence of one bucket; with `below` only of the keys below that prefix, as a trial.

    A caller that is none of the spared users and none of the spared ARNs is denied. Where
    the server does not know the name of a caller, that caller is denied, too.
    """
    condition: dict[str, dict[str, list[str]]] = {}
    if spared.users:
        condition["StringNotEquals"] = {"aws:username": list(spared.users)}
    if spared.arns:
        condition["ArnNotLike"] = {"aws:PrincipalArn": list(spared.arns)}
    if not condition:
        raise ValueError("a fence that spares nobody would lock everybody out")
    whole = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    return {
        "Sid": FENCE_SID if below is None else TRIAL_SID,
        "Effect": "Deny",
        "Principal": "*",
        "Action": list(actions),
        "Resource": whole if below is None else f"arn:aws:s3:::{bucket}/{below}*",
        "Condition": condition,
    }


def merged(document: str, statement: Statement) -> str:
    """The policy with the statement in it, once, whatever stood under its Sid before."""
    rest = without(document, str(statement["Sid"]))
    ours = json.dumps(statement)
    if not rest:
        text = f'{{"Version": "{VERSION}", "Statement": [{ours}]}}'
    else:
        block = _block(rest)
        if block.single:
            text = f"{rest[: block.start]}[{rest[block.start : block.end]}, {ours}]"
            text += rest[block.end :]
        else:
            at = block.statements[-1].end
            text = f"{rest[:at]}, {ours}{rest[at:]}"
    size = len(text.encode())
    if size > POLICY_BYTES_MAX:
        raise BadPolicy(
            f"with the fence in it, it would have {size:,} bytes, and {POLICY_BYTES_MAX:,} are "
            "the limit"
        )
    return text


def without(document: str, sid: str) -> str:
    """The policy without the statements of that Sid; "" where no other stands there."""
    if not document.strip():
        return ""
    text = document
    for _ in range(len(_block(document).statements) + 1):
        pieces = _block(text).statements
        ours = [index for index, piece in enumerate(pieces) if piece.sid == sid]
        if len(pieces) == len(ours):
            return ""
        if not ours:
            break
        start, end = _cut(pieces, ours[0])
        text = text[:start] + text[end:]
    return text


def found(document: str, sid: str) -> Statement | None:
    """The statement of that Sid; None where there is none."""
    if not document.strip():
        return None
    pieces = [piece for piece in _block(document).statements if piece.sid == sid]
    return pieces[0].value if pieces else None


def same(one: Statement, other: Statement) -> bool:
    """Whether two statements say the same; servers write one name alone without its list,
    and lists in another order."""
    return bool(_plain(one) == _plain(other))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return tuple(sorted(str(inner) for inner in value))
    return (str(value),)


# Where the statements stand in the text.


class _Piece(NamedTuple):
    start: int
    end: int
    value: Mapping[str, Any]

    @property
    def sid(self) -> Any:
        return self.value.get("Sid")


class _Block(NamedTuple):
    """The value of "Statement". `single`: an object alone, without a list around it."""

    start: int
    end: int
    statements: list[_Piece]
    single: bool


_DECODER = JSONDecoder()
_SPACE = " \t\n\r"


def _cut(pieces: Sequence[_Piece], index: int) -> tuple[int, int]:
    """What to cut for one of several statements: with the comma before it, or, for the first
    one, behind it."""
    if index:
        return pieces[index - 1].end, pieces[index].end
    return pieces[0].start, pieces[1].start


def _block(document: str) -> _Block:
    """Find the statements; `BadPolicy` for a text that is no policy."""
    try:
        start, end = _statement_value(document)
    except (JSONDecodeError, IndexError, RecursionError):
        raise BadPolicy("it is not JSON") from None
    if document[start] == "{":
        value = _DECODER.raw_decode(document, start)[0]
        return _Block(start, end, [_Piece(start, end, value)], single=True)
    if document[start] != "[":
        raise BadPolicy('its "Statement" is no list')
    return _Block(start, end, _elements(document, start), single=False)


def _statement_value(document: str) -> tuple[int, int]:
    """(start, end) of the value of the one key "Statement" of the one object."""
    _DECODER.decode(document)  # the whole of it is JSON: what follows may rely on that
    spans: list[tuple[int, int]] = []
    at = _past_space(document, 0)
    if document[at] != "{":
        raise BadPolicy("it is no JSON object")
    at = _past_space(document, at + 1)
    while document[at] != "}":
        name, at = _DECODER.raw_decode(document, at)
        start = _past_space(document, _past_space(document, at) + 1)
        _, end = _DECODER.raw_decode(document, start)
        if name == "Statement":
            spans.append((start, end))
        at = _past_space(document, end)
        if document[at] == ",":
            at = _past_space(document, at + 1)
    if len(spans) != 1:
        raise BadPolicy(f'it has {len(spans)} keys "Statement" instead of one')
    return spans[0]


def _elements(document: str, start: int) -> list[_Piece]:
    pieces: list[_Piece] = []
    at = _past_space(document, start + 1)
    while document[at] != "]":
        value, end = _DECODER.raw_decode(document, at)
        if not isinstance(value, dict):
            raise BadPolicy("one of its statements is no JSON object")
        pieces.append(_Piece(at, end, value))
        at = _past_space(document, end)
        if document[at] == ",":
            at = _past_space(document, at + 1)
    return pieces


def _past_space(document: str, at: int) -> int:
    while document[at] in _SPACE:
        at += 1
    return at
