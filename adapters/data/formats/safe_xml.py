"""XML without entities of its own: a file can neither grow without bounds nor name another file."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.parsers import expat

from adapters.data.formats.text import LIMIT_BYTES
from adapters.errors import DatasetError
from adapters.system import open_regular_file, read_regular_bytes

_ENCODING = re.compile(rb"""encoding=["'][A-Za-z0-9 ._-]+["']""")
_MAX_DEPTH = 100
_MAX_ELEMENTS = 20_000_000


class XmlElement(ElementTree.Element):
    """An element that knows its line.

    Attributes:
        line: Of its start tag, from 1.
    """

    line = 0


def parse_xml(path: Path, on_end: Mapping[str, Callable[[XmlElement], None]] | None = None) -> XmlElement:
    """Parse an XML file of any encoding that expat knows.

    Args:
        path: The file.
        on_end: By the name of an element, what to call when it has been read; it is emptied afterwards, so that a
            large file needs little memory.

    Returns:
        The root element.

    Raises:
        DatasetError: The file cannot be read, is not XML, is nested too deeply, or declares an entity. Names the line.
    """
    try:
        data = read_regular_bytes(path, LIMIT_BYTES, DatasetError)
    except OSError as error:
        raise DatasetError(f"{path}: could not be read ({error.strerror or error})") from None
    except ValueError as error:
        raise DatasetError(f"{path}: could not be read ({error})") from None
    return _Builder(path, on_end or {}).parse(data)


class _Builder:
    """Builds the tree of one file from expat's events."""

    def __init__(self, path: Path, on_end: Mapping[str, Callable[[XmlElement], None]]) -> None:
        self._path = path
        self._on_end = on_end
        self._open: list[XmlElement] = []
        self._last: XmlElement | None = None  # the element that closed last, for the text after it
        self._root: XmlElement | None = None
        self._text: list[str] = []
        self._count = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text.append
        self._parser.EntityDeclHandler = self._refuse
        self._parser.UnparsedEntityDeclHandler = self._refuse
        self._parser.ExternalEntityRefHandler = self._refuse

    def parse(self, data: bytes) -> XmlElement:
        try:
            # Comskip writes its chapters with "ISO - 8859 - 1".
            head = _ENCODING.sub(lambda found: found[0].replace(b" ", b""), data[:200], count=1)
            self._parser.Parse(head, False)
            self._parser.Parse(data[200:], True)
        except expat.ExpatError as error:
            raise DatasetError(
                f"{self._path}, line {error.lineno}: is not valid XML ({expat.ErrorString(error.code)})"
            ) from None
        except (ValueError, LookupError) as error:  # an encoding that Python does not know either
            raise DatasetError(f"{self._path}: is not valid XML ({error})") from None
        if self._root is None:
            raise DatasetError(f"{self._path}: has no XML element")
        return self._root

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._open) >= _MAX_DEPTH or self._count > _MAX_ELEMENTS:
            raise DatasetError(
                f"{self._path}, line {self._parser.CurrentLineNumber}: more than {_MAX_DEPTH} nested "
                f"elements, or {_MAX_ELEMENTS:,} in all; annotations need fewer"
            )
        self._close_text()
        element = XmlElement(name, attributes)
        element.line = self._parser.CurrentLineNumber
        if self._open:
            self._open[-1].append(element)
        elif self._root is None:
            self._root = element
        self._open.append(element)

    def _end(self, name: str) -> None:
        self._close_text()
        element = self._open.pop()
        if (callback := self._on_end.get(name)) is not None:
            callback(element)
            element.clear()
            if self._open:  # also the place that it had
                del self._open[-1][-1]

    def _close_text(self) -> None:
        if self._open and self._text and not len(self._open[-1]):
            self._open[-1].text = (self._open[-1].text or "") + "".join(self._text)
        self._text.clear()

    def _refuse(self, *declared: object) -> int:
        raise DatasetError(
            f"{self._path}, line {self._parser.CurrentLineNumber}: declares or uses an entity, which annotations do "
            "not need and which can name other files or grow without bounds. Remove the declaration."
        )


def text_of(element: XmlElement | ElementTree.Element | None, default: str = "") -> str:
    """The text of an element without spaces around it; the default where there is none.

    Args:
        element: An element, or None.
        default: For an element that is missing or empty.
    """
    return ((element.text or "").strip() if element is not None else "") or default


def root_name(path: Path) -> str | None:
    """The name of the first element of an XML file, found in its first 64 KiB; None where there is none.

    Args:
        path: The file.
    """
    found: list[str] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, attributes: found.append(name)
    try:
        with open_regular_file(path, DatasetError) as file:
            head = file.read(2**16)
            parser.Parse(_ENCODING.sub(lambda found: found[0].replace(b" ", b""), head, count=1), False)
    except (expat.ExpatError, DatasetError, OSError, ValueError, LookupError):
        pass
    return found[0] if found else None
