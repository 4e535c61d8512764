"""Keys that are legal on S3 and odd, and what each server under test does to them."""

from __future__ import annotations

import unicodedata
from enum import Enum
from typing import NamedTuple


class Fate(Enum):
    """KEPT: listed and read under its own name. REFUSED: the PUT fails. EMPTIED: listed
    under its name without its body. ELSEWHERE: accepted, and not listed under its name.
    UNLISTABLE: accepted, and a listing that holds it cannot be read.
    """

    KEPT = "kept"
    REFUSED = "refused"
    EMPTIED = "emptied"
    ELSEWHERE = "elsewhere"
    UNLISTABLE = "unlistable"


class OddKey(NamedTuple):
    """A key, what is odd about it, and its fate on servers that do not keep it."""

    key: str
    why: str
    seaweed: Fate = Fate.KEPT
    moto: Fate = Fate.KEPT

    def fate(self, column: str) -> Fate:
        """The fate in a column: "memory" keeps everything."""
        return {"memory": Fate.KEPT, "seaweed": self.seaweed, "moto": self.moto}[column]


ODD_KEYS = (
    OddKey("plain.txt", "nothing"),
    OddKey("with space", "a space"),
    OddKey(" leading space", "a space first"),
    OddKey("trailing space ", "a space last"),
    OddKey("two  spaces", "two spaces"),
    OddKey("a+b", "a plus sign"),
    OddKey("a%b", "a lone percent sign"),
    OddKey("a%20b", "an encoded space, literally"),
    OddKey("a%2Fb", "an encoded slash, literally"),
    OddKey("%2e%2e/c", "encoded dots, literally"),
    OddKey("%%", "two percent signs"),
    OddKey("?q=1&r=2", "a query"),
    OddKey("#fragment", "a fragment"),
    OddKey("?versionId=null", "a version id"),
    OddKey("semi;colon,comma", "delimiters"),
    OddKey("a:b@c", "an authority"),
    OddKey("=equals", "an equals sign"),
    OddKey("!$'()*", "sub-delimiters"),
    OddKey('"quotes"', "quotes"),
    OddKey("<a>&amp;</a>", "markup"),
    OddKey("]]>", "the end of a CDATA section"),
    OddKey("{}|^`~[]", "what URLs must escape"),
    OddKey("back\\slash", "a backslash inside", seaweed=Fate.ELSEWHERE),
    OddKey("\\first", "a backslash first", seaweed=Fate.ELSEWHERE),
    OddKey("ümlaut", "Latin"),
    OddKey("日本語/ファイル", "two planes of scripts"),
    OddKey("عربي", "right to left"),
    OddKey("\U0001f600.txt", "an emoji, four bytes"),
    OddKey("\U0001d4d0", "mathematical, four bytes"),
    OddKey("\U0001f468\u200d\U0001f469\u200d\U0001f467", "joined emoji"),
    OddKey("zero\u200bwidth", "a zero width space"),
    OddKey("\ufeffbom", "a byte order mark first"),
    OddKey("\uffeehalf", "the end of the first plane"),
    OddKey(unicodedata.normalize("NFC", "café"), "composed"),
    OddKey(unicodedata.normalize("NFD", "café"), "decomposed"),
    OddKey("Case", "an upper case letter"),
    OddKey("case", "the same in lower case"),
    OddKey("n/b", "a plain nested key"),
    OddKey("n//b2", "an empty segment", seaweed=Fate.ELSEWHERE),
    OddKey("n///b3", "two empty segments", seaweed=Fate.ELSEWHERE),
    OddKey("/leading", "a slash first", seaweed=Fate.ELSEWHERE),
    OddKey("//leading2", "two slashes first", seaweed=Fate.ELSEWHERE),
    OddKey("trailing/", "a slash last", seaweed=Fate.EMPTIED),
    OddKey("trailing2//", "two slashes last", seaweed=Fate.ELSEWHERE),
    OddKey("up/../up2", "a parent segment", seaweed=Fate.REFUSED),
    OddKey("../above", "a parent segment first", seaweed=Fate.REFUSED),
    OddKey("below/..", "a parent segment last", seaweed=Fate.REFUSED),
    OddKey("here/./now", "a dot segment", seaweed=Fate.REFUSED),
    OddKey("./here2", "a dot segment first", seaweed=Fate.REFUSED),
    OddKey(".", "a dot alone", seaweed=Fate.REFUSED),
    OddKey("..", "two dots alone", seaweed=Fate.REFUSED),
    OddKey("...", "three dots alone"),
    OddKey(".hidden", "a dot first"),
    OddKey("dot.", "a dot last"),
    OddKey("deep/.hidden/x.", "dots first and last"),
    OddKey("object.versions", "the name of a directory of SeaweedFS"),
    OddKey("w.versions/x", "below such a directory", seaweed=Fate.ELSEWHERE),
    OddKey(".versions/y", "below the bare one", seaweed=Fate.ELSEWHERE),
    OddKey(".uploads/z", "below the directory of uploads", seaweed=Fate.ELSEWHERE),
    OddKey("a\ttab", "a tab"),
    OddKey("a\nnewline", "a newline", moto=Fate.REFUSED),
    OddKey("a\rreturn", "a carriage return", moto=Fate.ELSEWHERE),
    OddKey("a\x01control", "a control character", seaweed=Fate.ELSEWHERE, moto=Fate.UNLISTABLE),
    OddKey("a\x7fdelete", "the delete character"),
    OddKey("a\x85next", "a control character of two bytes"),
    OddKey("l" * 255, "a name of 255 bytes"),
    OddKey("m" * 256, "a name of 256 bytes"),
    OddKey("x" * 1024, "the longest key, one segment"),
    OddKey("/".join(["s" * 99] * 10) + "/" + "t" * 24, "the longest key, in segments"),
    OddKey("é" * 512, "the longest key, in two byte characters"),
)
