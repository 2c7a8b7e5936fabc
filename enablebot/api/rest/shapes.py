"""Documents and passages as /v1 shows them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from enablebot.shared.models.document import Document, DocumentStatus, Format, Source
from enablebot.shared.models.passage import Found, Passage

MOST_PASSAGES = 100


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class ReplacementShape(_Shape):
    """A newer version under the same name, while the old one is still what is found."""

    version: int
    status: DocumentStatus
    reason: str | None = Field(description="Why it failed, for a person.")
    progress: int = Field(description="Per cent read.")
    added_by: str
    added_at: datetime


class DocumentShape(_Shape):
    """A document of the workspace."""

    id: UUID
    title: str = Field(description="As given, or the document's own, or its name.")
    name: str = Field(description="File name; another file of this name is the document's next version.")
    status: DocumentStatus = Field(description="It is found once it is `ready`.")
    reason: str | None = Field(description="Why it failed, for a person.")
    progress: int = Field(description="Per cent read.")
    version: int = Field(description="From 1; one more for each file of the same name.")
    format: Format
    size_bytes: int
    pages: int | None = Field(description="For formats that have pages or slides.")
    passages: int | None = Field(description="How many pieces it is found by, once it is ready.")
    channels: tuple[str, ...] = Field(description="Slack channels that alone see it; empty: all of them.")
    source: Source
    added_by: str = Field(description="Slack user, or `api:` and how the key begins.")
    added_at: datetime
    replacement: ReplacementShape | None = Field(description="The next version, until it is ready.")


class DocumentsShape(_Shape):
    """A page of documents, newest first."""

    documents: tuple[DocumentShape, ...]
    next: str | None = Field(description="Send it as `cursor` for the next page; null: this was the last.")


class SearchShape(BaseModel):
    """What is looked for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    query: str = Field(description="In plain words; of more than 10,000 characters only the beginning counts.")
    limit: int = Field(10, ge=1, le=MOST_PASSAGES, description="At most so many passages.")


class PlaceShape(_Shape):
    """Where in its document a passage stands, in whatever the format counts."""

    page: int | None = None
    last_page: int | None = Field(None, description="Where it runs on beyond `page`.")
    slide: int | None = None
    sheet: str | None = None
    rows: tuple[int, int] | None = Field(None, description="First and last, numbered as the spreadsheet shows them.")
    line: int | None = None


class PassageShape(_Shape):
    """A passage that was found."""

    document_id: UUID
    title: str
    name: str
    version: int
    position: int = Field(description="Its number in the document, from 0.")
    text: str
    heading: tuple[str, ...] = Field(description="Headings above it, the outermost first.")
    place: PlaceShape
    where: str = Field(description="The place in words: “page 3”; may be empty.")
    score: float = Field(description="Higher is better; comparable within one answer only.")


class FoundShape(_Shape):
    """The passages found, the best first."""

    passages: tuple[PassageShape, ...]
    by: Literal["words", "words and meaning"] = Field(description="What was compared.")
    note: str | None = Field(description="What to know of this answer, for instance that the query was cut.")


def document_shape(document: Document) -> DocumentShape:
    """Show a document; what is sealed or ours alone is not among it."""
    return DocumentShape.model_validate(document)


def documents_shape(documents: Sequence[Document], following: str | None) -> DocumentsShape:
    """Show a page of documents."""
    return DocumentsShape(documents=tuple(map(document_shape, documents)), next=following)


def found_shape(found: Found) -> FoundShape:
    """Show what was found."""
    return FoundShape(passages=tuple(map(_passage_shape, found.passages)), by=found.by, note=found.note)


def _passage_shape(passage: Passage) -> PassageShape:
    return PassageShape(
        document_id=passage.document_id,
        title=passage.title,
        name=passage.name,
        version=passage.version,
        position=passage.position,
        text=passage.text,
        heading=passage.heading,
        place=PlaceShape.model_validate(passage.place),
        where=str(passage.place),
        score=passage.score,
    )
