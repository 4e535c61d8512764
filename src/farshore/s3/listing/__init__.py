"""Listings that can be trusted: whole histories, from servers that lose keys between pages."""

from farshore.s3.listing.histories import Batch
from farshore.s3.listing.lister import Lister, lister_for

__all__ = ["Batch", "Lister", "lister_for"]
