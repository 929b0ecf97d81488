"""XML files of annotation tools, read without the parts of XML by which a small file fills the memory."""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from competition.errors import CompetitionError
from competition.files import read_text


class _WithoutDoctype(TreeBuilder):
    """Reject a document type, in which entities are defined that expand to entities; no annotation tool writes one."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Raise ParseError; the parser calls this before it reads a definition."""
        raise ParseError("it defines a document type, which is not read")


def read_xml(path: Path, root: str, repair: str) -> Element:
    """Read an XML file whose outermost element is called ``root``.

    Raises:
        CompetitionError: It is missing, is not XML, defines a document type or has another root; ``repair`` makes it
            again.
    """
    try:
        parser = XMLParser(target=_WithoutDoctype())
        parser.feed(read_text(path).encode())
        element: Element = parser.close()
    except FileNotFoundError as error:
        raise CompetitionError("file not found", path, repair) from error
    except (OSError, ValueError, ParseError, LookupError) as error:  # LookupError of an unknown encoding
        raise CompetitionError(f"can't be read as XML ({' '.join(str(error).split())[:200]})", path, repair) from error
    if element.tag != root:
        raise CompetitionError(f"its outermost element is <{element.tag[:40]}>, not <{root}>", path, repair)
    return element
