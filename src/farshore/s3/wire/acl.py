"""A version's access control list: read it, replace it."""

from __future__ import annotations

from farshore.core.acl import GROUPS, Acl, Grant
from farshore.s3 import xml
from farshore.s3.wire.request import Answer, Request, action, named, version_query, xml_headers

_TYPED = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type'


def get_acl(bucket: str, key: str, version_id: str = "") -> Request:
    """The version's list."""
    query = (("acl", ""), *version_query(version_id))
    return Request("GET", bucket, named(key), query, action=action("GetObjectAcl", bucket, key))


def parse_acl(answer: Answer) -> Acl:
    """Owner and grants, in the order of the answer."""
    root = xml.read(answer.body)
    owners = [owner.find("ID") for owner in root.each("Owner")]
    grants = [grant for rows in root.each("AccessControlList") for grant in rows.each("Grant")]
    return Acl(owners[0] if owners else "", tuple(_grant(grant) for grant in grants))


def _grant(element: xml.Element) -> Grant:
    grantees = list(element.each("Grantee"))
    who = grantees[0] if grantees else xml.Element("Grantee")
    grantee = who.find("URI") or who.find("ID") or who.find("EmailAddress")
    return Grant(grantee, element.find("Permission"))


def put_acl(bucket: str, key: str, version_id: str, acl: Acl) -> Request:
    """Replace the version's list."""
    owner = f"<Owner>{xml.tag('ID', acl.owner)}</Owner>"
    rows = "".join([_grant_markup(grant) for grant in acl.grants])
    body = xml.document(
        "AccessControlPolicy", f"{owner}<AccessControlList>{rows}</AccessControlList>"
    )
    query = (("acl", ""), *version_query(version_id))
    name = action("PutObjectAcl", bucket, key)
    return Request("PUT", bucket, named(key), query, xml_headers(body), body, name)


def _grant_markup(grant: Grant) -> str:
    group = grant.grantee in GROUPS
    kind, leaf = ("Group", "URI") if group else ("CanonicalUser", "ID")
    grantee = f'<Grantee {_TYPED}="{kind}">{xml.tag(leaf, grant.grantee)}</Grantee>'
    return f"<Grant>{grantee}{xml.tag('Permission', grant.permission)}</Grant>"
