"""What every format turns a document into: a stream of blocks, in reading order."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Place = dict[str, int | str | tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Titled:
    """The document's own title; it comes before the first block, or not at all."""

    text: str


@dataclass(frozen=True, slots=True)
class Pages:
    """How many pages or slides there are."""

    count: int


@dataclass(frozen=True, slots=True)
class Passed:
    """How far the reading is, in percent."""

    percent: int


@dataclass(frozen=True, slots=True)
class Heading:
    """Opens a section; 1 is the highest level."""

    level: int
    text: str
    place: Place = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Block:
    """One paragraph, list item, piece of code or row of a table. Rows and items stand on adjacent lines."""

    text: str
    place: Place = field(default_factory=dict)
    kind: Literal["prose", "item", "code", "row"] = "prose"


@dataclass(frozen=True, slots=True)
class Break:
    """Nothing is packed together across this: another slide, another sheet. Headings before it no longer count."""


Said = Titled | Pages | Passed | Heading | Block | Break
Blocks = Iterator[Said]
