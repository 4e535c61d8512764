"""Two buckets that should be told the same: what differs, in words. Pure.

A configuration is compared as facts: one for each of its rules, tags or statements, as a line of
text in which order does not count. What belongs to one bucket or region alone is no part of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from farshore.core.policy import FENCE_SID, TRIAL_SID, VERSION, without

Facts = frozenset[str]

NAMED_MAX = 3
"""How many differing facts a sentence names."""

FACT_CHARACTERS_MAX = 100
"""Of each of them: statements of policies are long."""


class Difference(NamedTuple):
    """What only the one or only the other bucket was told, sorted."""

    only_here: tuple[str, ...]
    only_there: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.only_here or self.only_there)


def differing(here: Facts, there: Facts) -> Difference:
    """What the two do not share."""
    return Difference(tuple(sorted(here - there)), tuple(sorted(there - here)))


def sentence(difference: Difference, here: str, there: str) -> str:
    """ "only at east: AllowedMethod PUT; only at west: …"."""
    parts = [
        f"only at {site}: {_named(facts)}"
        for site, facts in ((here, difference.only_here), (there, difference.only_there))
        if facts
    ]
    return "; ".join(parts)


def _named(facts: Sequence[str]) -> str:
    more = f" and {len(facts) - NAMED_MAX:,} more" if len(facts) > NAMED_MAX else ""
    return ", ".join(_short(fact) for fact in facts[:NAMED_MAX]) + more


def _short(fact: str) -> str:
    return fact if len(fact) <= FACT_CHARACTERS_MAX else f"{fact[:FACT_CHARACTERS_MAX]}…"


def theirs(policy: str) -> str:
    """A bucket's policy without our statements; "" where nothing else stands there.

    `BadPolicy` for a text that is none.
    """
    return without(without(policy, TRIAL_SID), FENCE_SID)


def policy_facts(policy: str, bucket: str) -> Facts:
    """The statements that are not ours; the bucket's own name is left out of account."""
    rest = theirs(policy)
    if not rest:
        return frozenset()
    return frozenset(_statement(statement, bucket) for statement in _listed(json.loads(rest)))


def _statement(statement: Mapping[str, Any], bucket: str) -> str:
    text = _renamed(json.dumps(_plain(statement), sort_keys=True), bucket, "BUCKET")
    sid = statement.get("Sid", "")
    return f'statement "{sid}" {text}' if sid else f"statement {text}"


def _plain(value: Any) -> Any:
    """One name alone is a list of it; lists have no order."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted(str(inner) for inner in value)
    return [str(value)]


def carried_policy(policy: str, bucket: str, other: str, standing: str) -> str:
    """The other bucket's policy with the statements of this one that it lacks.

    `standing`: its policy now, of which nothing is taken away. `BadPolicy` for texts that are none.
    """
    there = policy_facts(standing, other)
    rest = theirs(policy)
    lacking = [
        json.loads(_renamed(json.dumps(one), bucket, other))
        for one in _listed(json.loads(rest) if rest else {})
        if _statement(one, bucket) not in there
    ]
    body = json.loads(standing) if standing.strip() else {"Version": VERSION}
    return json.dumps({**body, "Statement": [*_listed(body), *lacking]})


def _renamed(text: str, bucket: str, other: str) -> str:
    text = text.replace(f":::{bucket}/", f":::{other}/")
    return text.replace(f':::{bucket}"', f':::{other}"')


def _listed(body: Mapping[str, Any]) -> list[Any]:
    """The statements, also where one stands alone."""
    found = body.get("Statement", [])
    return found if isinstance(found, list) else [found]
