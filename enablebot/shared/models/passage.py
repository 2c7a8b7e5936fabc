"""A passage of a document: what is found, quoted and cited, and where in the document it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from uuid import UUID

FoundBy = Literal["words", "words and meaning"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a passage stands, in whatever its format counts; nothing at all where only headings can say.

    `rows` are the first and the last one, numbered as the spreadsheet shows them. `last_page` is set when the passage
    runs on beyond `page`.
    """

    page: int | None = None
    last_page: int | None = None
    slide: int | None = None
    sheet: str | None = None
    rows: tuple[int, int] | None = None
    line: int | None = None

    @classmethod
    def from_json(cls, place: Mapping[str, Any]) -> Self:
        """Read what `as_json` wrote; what it does not know is ignored."""
        rows = place.get("rows")
        return cls(
            page=place.get("page"),
            last_page=place.get("last_page"),
            slide=place.get("slide"),
            sheet=place.get("sheet"),
            rows=None if rows is None else (int(rows[0]), int(rows[1])),
            line=place.get("line"),
        )

    def as_json(self) -> dict[str, Any]:
        """Return what is known, for JSON."""
        known = {name: getattr(self, name) for name in self.__slots__}
        return {name: list(value) if name == "rows" else value for name, value in known.items() if value is not None}

    def __str__(self) -> str:
        """Say it in words: “page 3”, “sheet Prices, rows 2–40”; empty when there is nothing to say."""
        if self.page is not None:
            runs_on = self.last_page is not None and self.last_page != self.page
            return f"pages {self.page}–{self.last_page}" if runs_on else f"page {self.page}"
        if self.slide is not None:
            return f"slide {self.slide}"
        words = [f"sheet {self.sheet}"] if self.sheet else []
        if self.rows is not None:
            first, last = self.rows
            words.append(f"row {first}" if first == last else f"rows {first}–{last}")
        if not words and self.line is not None:
            return f"line {self.line}"
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Passage:
    """One passage of a document that can be found, with the headings above it.

    `score` is what the found ones are ordered by: BM25 when words alone were compared, otherwise between 0 and 1.
    `words` is the BM25 score, `meaning` the cosine of the two vectors; None where it was not compared.
    """

    document_id: UUID
    version: int
    position: int
    name: str = field(repr=False)
    title: str = field(repr=False)
    text: str = field(repr=False)
    heading: tuple[str, ...] = field(default=(), repr=False)
    place: Place = field(default_factory=Place)
    score: float = 0.0
    words: float | None = None
    meaning: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, best first; `note` says what a reader of the result should know, if anything."""

    passages: tuple[Passage, ...]
    by: FoundBy
    note: str | None = None


def in_context(title: str, heading: Sequence[str], text: str) -> str:
    """Return what is indexed and embedded for a passage: its document's title and its headings above its text."""
    above = [part for part in (title, *heading) if part]
    # A document's title is often its first heading, too; said twice it would weigh twice.
    if len(above) > 1 and above[0].casefold() == above[1].casefold():
        above = above[1:]
    return f"{' > '.join(above)}\n{text}" if above else text
