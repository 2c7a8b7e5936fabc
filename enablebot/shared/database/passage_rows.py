"""Rows about passages, exactly as the SQL functions return them."""

from typing import Any
from uuid import UUID

from enablebot.shared.database.models import Row


class StagedRow(Row):
    """`gone` when the document or this version of it is: its reader may stop."""

    gone: bool


class PassageRow(Row):
    """A passage as it stands in its document."""

    position: int
    text: str
    heading: tuple[str, ...]
    place: dict[str, Any]
    tokens: int


class RankedPassageRow(Row):
    """A passage that was found; `words` and `meaning` are what `score` was made of, where they were compared."""

    document_id: UUID
    version: int
    position: int
    name: str
    title: str
    text: str
    heading: tuple[str, ...]
    place: dict[str, Any]
    score: float
    words: float | None
    meaning: float | None


class RankedRow(Row):
    """What a search found, best first; `unembedded` of the passages it compared have no vector of the model."""

    found: tuple[RankedPassageRow, ...]
    unembedded: int


class PassageTextRow(Row):
    """What is embedded of a passage: its document's title, its headings and its text."""

    id: int
    document_id: UUID
    version: int
    title: str
    heading: tuple[str, ...]
    text: str


class UnembeddedRow(Row):
    tenant_id: UUID
    passages: int
