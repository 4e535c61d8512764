"""Rules: what is replicated, and what becomes of delete markers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

MarkerPolicy = Literal["replicate", "never", "after"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. It applies to keys below `prefix` that carry all of `tags`.

    `delete_markers`: "replicate" at once, "never", or "after" `delay_s` seconds (a key
    written again before that supersedes its marker). `exclude` keeps matching keys from
    being replicated at all; they are counted as EXCLUDED.
    """

    prefix: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    delete_markers: MarkerPolicy = "replicate"
    delay_s: float = 0.0
    priority: int = 0
    exclude: bool = False


EVERYTHING = Rule()
"""What holds when no rule is written: every key, delete markers at once."""


OWN_PREFIX = ".farshore-canary/"
"""Where `farshore apply` puts objects that prove rights, and takes them away again."""


def candidates(rules: Sequence[Rule], key: str) -> list[Rule]:
    """Rules whose prefix covers the key, the strongest first.

    The higher priority wins; then the longer prefix; then the one written first.
    """
    matching = (rule for rule in rules if key.startswith(rule.prefix))
    return sorted(matching, key=lambda rule: (-rule.priority, -len(rule.prefix)))


def choose(rules: Sequence[Rule], key: str, tags: Iterable[tuple[str, str]] = ()) -> Rule | None:
    """The rule for a key with these tags; None when rules exist and none applies.

    Our own canaries are never replicated.
    """
    if key.startswith(OWN_PREFIX):
        return None
    if not rules:
        return EVERYTHING
    carried = set(tags)
    return next((r for r in candidates(rules, key) if carried.issuperset(r.tags)), None)


def asks_for_tags(rules: Sequence[Rule], key: str) -> bool:
    """Whether the choice for this key depends on its tags."""
    return any(rule.tags and key.startswith(rule.prefix) for rule in rules)


def marker_due(rule: Rule, age_s: float, *, is_current: bool) -> bool:
    """Whether a delete marker must be on the target by now.

    Under "after", only a marker that is still the key's current entry counts: one that
    has been written over was superseded, or had its time before that.
    """
    if rule.delete_markers == "replicate":
        return True
    return rule.delete_markers == "after" and is_current and age_s >= rule.delay_s
