"""What a bucket was told, as facts: CORS, lifecycle, encryption, notifications, tags, lock."""

from __future__ import annotations

from collections.abc import Iterator

from farshore.core.lifecycle import LifecycleRule
from farshore.core.parity import Facts
from farshore.s3 import xml
from farshore.s3.store import BucketConfig
from farshore.s3.xml import Element

OF_ONE_REGION = frozenset({"ID", "Id", "KMSMasterKeyID", "Queue", "Topic", "CloudFunction"})
"""Elements that servers make up, or that name what one region alone has."""

EXPIRING = frozenset({"Expiration", "NoncurrentVersionExpiration"})
"""Clauses of a lifecycle rule that take something away."""


def facts_of(kind: BucketConfig, document: str) -> Facts:
    """One line for each rule or tag; lifecycle rules that expire anything are left out."""
    if not document:
        return frozenset()
    top = xml.read(document.encode()).children
    if kind == "tagging":
        top = [tag for tag_set in top for tag in tag_set.children]
    if kind == "lifecycle":
        top = [rule for rule in top if not expires(rule)]
    return frozenset(_line(element) for element in top)


def _line(element: Element) -> str:
    inner = sorted(_line(child) for child in element.children if child.name not in OF_ONE_REGION)
    if inner:
        return f"{element.name} ({', '.join(inner)})"
    return f"{element.name} {element.text.strip()}".rstrip()


def expires(rule: Element) -> bool:
    """Whether a lifecycle rule takes anything away but unfinished uploads."""
    return any(child.name in EXPIRING for child in rule.children)


def lifecycle_rules(document: str) -> Iterator[LifecycleRule]:
    """The enabled rules of a lifecycle configuration."""
    if not document:
        return
    for rule in xml.read(document.encode()).each("Rule"):
        if rule.find("Status") == "Enabled":
            yield _rule(rule)


def _rule(rule: Element) -> LifecycleRule:
    prefix = rule.find("Prefix")
    for scope in rule.each("Filter"):
        prefix = prefix or scope.find("Prefix")
        prefix = prefix or next((both.find("Prefix") for both in scope.each("And")), "")
    expires_in, markers = 0, False
    for clause in rule.each("Expiration"):
        expires_in = -1 if clause.find("Date") else _days(clause.find("Days"))
        markers = clause.find("ExpiredObjectDeleteMarker") == "true"
    noncurrent = 0
    for clause in rule.each("NoncurrentVersionExpiration"):
        noncurrent = _days(clause.find("NoncurrentDays"))
    return LifecycleRule(rule.find("ID"), prefix, expires_in, noncurrent, markers)


def _days(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else 0


def without_expiring(document: str) -> str:
    """A lifecycle configuration without the rules that take anything away; "" for none left."""
    root = xml.read(document.encode())
    kept = [_markup(child) for child in root.children if not expires(child)]
    return xml.document(root.name, "".join(kept)).decode() if kept else ""


def _markup(element: Element) -> str:
    if not element.children:
        return xml.tag(element.name, element.text)
    inner = "".join(_markup(child) for child in element.children)
    return f"<{element.name}>{inner}</{element.name}>"


def names_a_region(kind: BucketConfig, document: str) -> str:
    """What of it belongs to one region alone, so that it cannot be carried over; "" for nothing."""
    if not document:
        return ""
    texts = list(_texts(xml.read(document.encode())))
    keys = [text for name, text in texts if name == "KMSMasterKeyID" and text]
    if keys:
        return "it names a KMS key of that region"
    arns = [text for name, text in texts if name in ("Queue", "Topic", "CloudFunction")]
    if kind == "notification" and any(_region_of(arn) for arn in arns):
        return "it names receivers of that region"
    return ""


def _texts(element: Element) -> Iterator[tuple[str, str]]:
    yield element.name, element.text.strip()
    for child in element.children:
        yield from _texts(child)


REGION_PLACE = 3


def _region_of(arn: str) -> str:
    """arn:partition:service:REGION:…; MinIO's receivers have none."""
    parts = arn.split(":")
    return parts[REGION_PLACE] if len(parts) > REGION_PLACE else ""
