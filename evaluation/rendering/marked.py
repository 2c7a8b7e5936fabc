"""The little Markdown that the documents use, as blocks: headings, paragraphs, list items and tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_HEADING = re.compile(r"(#{1,6}) +(.+)")
_ITEM = re.compile(r"(?:[-*]|\d+\.) +(.+)")
_RULE = re.compile(r"\|[-| :]+\|")
_MARKS = re.compile(r"\*\*|`|(?<!\w)\*(?=\w)|(?<=[\w.!?])\*(?!\w)")


@dataclass(frozen=True, slots=True)
class Heading:
    """Opens a section; 1 is the document's own title."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Prose, or one item of a list."""

    text: str
    kind: Literal["prose", "bullet", "number"] = "prose"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, the header first."""

    rows: tuple[tuple[str, ...], ...]


Block = Heading | Paragraph | Table


def blocks(markdown: str) -> Iterator[Block]:
    """Yield a document's blocks in their order, without marks for emphasis and code."""
    rows: list[tuple[str, ...]] = []
    for line in [*markdown.splitlines(), ""]:
        if line.startswith("|"):
            if not _RULE.fullmatch(line):
                rows.append(tuple(plain(cell.strip()) for cell in line.strip("|").split("|")))
            continue
        if rows:
            yield Table(tuple(rows))
            rows = []
        if heading := _HEADING.fullmatch(line):
            yield Heading(len(heading[1]), plain(heading[2]))
        elif item := _ITEM.fullmatch(line):
            yield Paragraph(plain(item[1]), "number" if line[0].isdigit() else "bullet")
        elif line.strip():
            yield Paragraph(plain(line.strip()))


def plain(text: str) -> str:
    """Return a line without marks for emphasis and code."""
    return _MARKS.sub("", text)
