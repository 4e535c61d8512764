"""Small XML, read strictly and written plainly.

Servers' answers are not trusted: a document type, an entity of its own, an over-large
body, too many or too deep elements are refused (`Corrupt`), so nothing here can be made to
expand or to read a file. Names lose their namespace prefix; attributes are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.parsers.expat import ExpatError, ParserCreate
from xml.sax.saxutils import escape

from farshore.errors import BadRequest, Corrupt

BODY_BYTES_MAX = 32 * 1024 * 1024
"""More than any page of 1,000 entries with the longest keys, percent-encoded."""

ELEMENTS_MAX = 200_000
DEPTH_MAX = 16
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]").search


class Element:
    """An element: its local name, its own text, its children in document order."""

    __slots__ = ("children", "name", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""
        self.children: list[Element] = []

    def find(self, name: str) -> str:
        """The text of the first child of that name, or ""."""
        for child in self.children:
            if child.name == name:
                return child.text
        return ""

    def each(self, name: str) -> Iterator[Element]:
        """The children of that name, in order."""
        return (child for child in self.children if child.name == name)


class _Builder:
    """Expat's callbacks. Bounded in depth and in number of elements."""

    def __init__(self) -> None:
        self.top = Element("")
        self.open = [self.top]
        self.texts: list[list[str]] = [[]]
        self.count = 0

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        self.count += 1
        if self.count > ELEMENTS_MAX or len(self.open) > DEPTH_MAX:
            raise Corrupt("an XML answer has too many elements, or too deep ones")
        element = Element(name.rpartition(":")[2])
        self.open[-1].children.append(element)
        self.open.append(element)
        self.texts.append([])

    def characters(self, text: str) -> None:
        self.texts[-1].append(text)

    def end(self, _name: str) -> None:
        """Pieces are joined once: text between many children would be copied for each of them."""
        self.open.pop().text = "".join(self.texts.pop())


def read(body: bytes, *, bytes_max: int = BODY_BYTES_MAX) -> Element:
    """The root element of a document; `Corrupt` when it is not one that we accept."""
    if len(body) > bytes_max:
        raise Corrupt(f"an XML answer of {len(body)} bytes is over the limit of {bytes_max}")
    builder = _Builder()
    parser = ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.characters
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(body, True)
    except ExpatError as error:
        raise Corrupt(f"an answer is not well-formed XML: {error}") from None
    except (LookupError, ValueError):  # of Python's codecs, for a declared encoding
        raise Corrupt("an XML answer is in an encoding that cannot be read") from None
    return builder.top.children[0]


def _refuse_doctype(*_declaration: object) -> None:
    raise Corrupt("an XML answer declares a document type, which S3 never does")


def document(root: str, content: str) -> bytes:
    """A request body: `content` is markup made by `tag`."""
    return f'<{root} xmlns="{_NAMESPACE}">{content}</{root}>'.encode()


def tag(name: str, text: str) -> str:
    """One leaf element. `BadRequest` for text that XML 1.0 cannot hold."""
    if _ILLEGAL(text):
        raise BadRequest(
            f"{text!a} cannot be written as XML",
            hint="XML has no form for control characters",
        )
    # A carriage return must be a reference: parsers turn a bare one into a line feed.
    return f"<{name}>{escape(text, {chr(13): '&#13;'})}</{name}>"
