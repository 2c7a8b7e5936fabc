"""Word documents: paragraphs, headings by style, lists and tables, in the order of the page."""

import io
import re
from collections.abc import Iterator
from typing import Any

import docx
from docx.document import Document
from docx.oxml import parse_xml

from enablebot.reader.blocks import Block, Blocks, Heading, Titled
from enablebot.reader.cleaning import one_line, paragraph
from enablebot.reader.packages import inspect
from enablebot.reader.tables import as_lines

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_FOOTNOTES = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
_VALUE = f"{_W}val"
_TEXT = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
# Wrappers that hold blocks as the body does: content controls, tracked insertions, custom XML.
_WRAPPERS = {f"{_W}sdt", f"{_W}sdtContent", f"{_W}customXml", f"{_W}ins", f"{_W}moveTo", f"{_W}smartTag"}
_SKIPPED = {f"{_W}del", f"{_W}moveFrom", f"{_W}instrText", f"{_W}txbxContent", f"{_W}tbl", _FALLBACK}
_HEADING = re.compile(r"heading\s*([1-9])$", re.IGNORECASE)
_LONGEST_HEADING = 250


def prepare(content: bytes) -> None:
    """Load the library's own files before the walls stand."""
    docx.Document()


def read(content: bytes) -> Blocks:
    """Blocks without places: where a page ends only Word itself knows."""
    inspect(content, "docx")
    document = docx.Document(io.BytesIO(content))
    if title := _title(document):
        yield Titled(title)
    styles = _Styles(document)
    yield from _blocks(document.element.body, styles)
    yield from _footnotes(document, styles)


def _title(document: Document) -> str:
    title = one_line(document.core_properties.title or "")
    return "" if title.lower() in ("word document", "microsoft word", "untitled") else title


class _Styles:
    """What paragraph styles mean: a heading's level, and whether it is a list's; looked up once for each."""

    def __init__(self, document: Document) -> None:
        self._styles = {style.style_id: style for style in document.styles}
        self._levels: dict[str, int] = {}

    def level(self, style_id: str) -> int:
        """1 to 9 for headings, 0 for text."""
        if style_id not in self._levels:
            self._levels[style_id] = self._look_up(style_id)
        return self._levels[style_id]

    def is_list(self, style_id: str) -> bool:
        """Whether this style makes list items."""
        style = self._styles.get(style_id)
        return style is not None and (style.name or "").lower().startswith("list")

    def _look_up(self, style_id: str) -> int:
        style, steps = self._styles.get(style_id), 0
        while style is not None and steps < 10:
            name = (style.name or "").strip()
            if match := _HEADING.match(name):
                return int(match[1])
            if name.lower() == "title":
                return 1
            outline = style.element.find(f"{_W}pPr/{_W}outlineLvl")
            if outline is not None and (outline.get(_VALUE) or "9").isdigit() and int(outline.get(_VALUE) or 9) < 9:
                return int(outline.get(_VALUE)) + 1
            style, steps = getattr(style, "base_style", None), steps + 1
        return 0


def _blocks(parent: Any, styles: _Styles) -> Blocks:
    for element in parent:
        if element.tag == f"{_W}p":
            yield from _paragraph(element, styles)
        elif element.tag == f"{_W}tbl":
            yield from _table(element, styles)
        elif element.tag in _WRAPPERS:
            yield from _blocks(element, styles)


def _paragraph(element: Any, styles: _Styles) -> Blocks:
    text = paragraph(_text(element))
    if text:
        style_id = _of(element, f"{_W}pPr/{_W}pStyle") or ""
        level = _own_level(element) or styles.level(style_id)
        if level and len(text) <= _LONGEST_HEADING:
            yield Heading(level, text)
        elif element.find(f"{_W}pPr/{_W}numPr") is not None or styles.is_list(style_id):
            yield Block(f"- {text}", kind="item")
        else:
            yield Block(text)
    for box in _boxes(element):
        yield from _blocks(box, styles)


def _own_level(element: Any) -> int:
    value = _of(element, f"{_W}pPr/{_W}outlineLvl") or "9"
    return int(value) + 1 if value.isdigit() and int(value) < 9 else 0


def _of(element: Any, path: str) -> str | None:
    found = element.find(path)
    return None if found is None else found.get(_VALUE)


def _text(element: Any) -> str:
    """All that a paragraph shows: runs, links, fields, insertions; not what was deleted, nor what floats beside it."""
    parts: list[str] = []
    waiting = list(reversed(element))
    while waiting:
        child = waiting.pop()
        if child.tag == f"{_W}t":
            parts.append(child.text or "")
        elif child.tag in _TEXT:
            parts.append(_TEXT[child.tag])
        elif child.tag not in _SKIPPED and child.tag != f"{_W}pPr":
            waiting.extend(reversed(child))
    return "".join(parts)


def _boxes(element: Any) -> Iterator[Any]:
    """Text boxes anchored in a paragraph; older programs' copies of them are left out."""
    for box in element.iter(f"{_W}txbxContent"):
        if not any(above.tag == _FALLBACK for above in box.iterancestors()):
            yield box


def _table(element: Any, styles: _Styles) -> Blocks:
    rows, nested = list[list[str]](), list[Any]()
    merged: dict[int, str] = {}
    for row in element.iter(f"{_W}tr"):
        if _table_of(row) is not element:
            continue
        cells: list[str] = []
        for cell in row.iter(f"{_W}tc"):
            if _table_of(cell) is element:
                cells += _cell(cell, len(cells), merged)
                nested += [inner for inner in cell.iter(f"{_W}tbl") if _table_of(inner.getparent()) is element]
        rows.append(cells)
    is_layout = max(map(len, rows), default=0) == 1
    has_header = element.find(f"{_W}tr/{_W}trPr/{_W}tblHeader") is not None
    for line in as_lines(rows, has_header=True if has_header else None):
        yield Block(line, kind="prose" if is_layout else "row")
    for inner in nested:
        yield from _table(inner, styles)


def _table_of(element: Any) -> Any:
    while element is not None and element.tag != f"{_W}tbl":
        element = element.getparent()
    return element


def _cell(cell: Any, at: int, merged: dict[int, str]) -> list[str]:
    """A cell's text; below a merged one the same again, and nothing in the columns it spans besides its first."""
    text = "\n".join(filter(None, (_text(part) for part in cell.iter(f"{_W}p") if _cell_of(part) is cell)))
    merge = cell.find(f"{_W}tcPr/{_W}vMerge")
    if merge is not None and merge.get(_VALUE) != "restart":
        text = text or merged.get(at, "")
    merged[at] = text
    span = _of(cell, f"{_W}tcPr/{_W}gridSpan") or "1"
    return [text, *[""] * (min(int(span), 100) - 1 if span.isdigit() else 0)]


def _cell_of(element: Any) -> Any:
    while element is not None and element.tag != f"{_W}tc":
        element = element.getparent()
    return element


def _footnotes(document: Document, styles: _Styles) -> Blocks:
    for relation in document.part.rels.values():
        if relation.reltype == _FOOTNOTES and not relation.is_external:
            for note in parse_xml(relation.target_part.blob):
                if note.get(f"{_W}type") is None:
                    yield from _blocks(note, styles)
