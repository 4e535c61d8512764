"""Access control lists of versions: what of them means the same on another store.

A grantee is a group that S3 has defined, or an account of one store. Account ids of two
stores have nothing to do with each other, so only grants to groups are carried over.
Source: "Access control list (ACL) overview" of the Amazon S3 user guide.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"

GROUPS = frozenset({ALL_USERS, AUTHENTICATED_USERS, LOG_DELIVERY})

FULL_CONTROL = "FULL_CONTROL"


class Grant(NamedTuple):
    """`grantee`: a group's URI, or an account's id at that store."""

    grantee: str
    permission: str


class Acl(NamedTuple):
    """`owner`: an account's id at that store."""

    owner: str
    grants: tuple[Grant, ...] = ()


def of_groups(acl: Acl) -> frozenset[Grant]:
    """The grants that mean the same everywhere."""
    return frozenset(grant for grant in acl.grants if grant.grantee in GROUPS)


def of_others(acl: Acl) -> frozenset[Grant]:
    """Grants to accounts beside the owner: nobody at another store is meant by them."""
    known = {*GROUPS, acl.owner}
    return frozenset(grant for grant in acl.grants if grant.grantee not in known)


def with_groups(acl: Acl, groups: Iterable[Grant]) -> Acl:
    """The same list with these grants to groups instead of its own."""
    kept = tuple(grant for grant in acl.grants if grant.grantee not in GROUPS)
    return acl._replace(grants=(*kept, *sorted(groups)))
