"""Rows of documents, exactly as the SQL functions return them."""

from typing import Literal
from uuid import UUID

from enablebot.shared.database.models import Bytes, Row
from enablebot.shared.models.document import Document, DocumentVersion, Format, Source


class DocumentRow(Document):
    """A document with its place in the list."""

    cursor: str


class DocumentVersionRow(DocumentVersion):
    """A version that is stored."""


class BegunDocumentRow(Row):
    """Where the bytes belong. Over quota there is no id, and `documents` and `bytes` are what there is already."""

    outcome: Literal["new", "replaces", "same", "over_quota"]
    id: UUID | None
    version: int | None
    documents: int | None = None
    bytes: int | None = None


class DocumentPieceRow(Row):
    """A sealed piece, and of how many; `original` is the version that it was sealed for."""

    original: int
    pieces: int
    sealed: Bytes | None
    data_key_id: UUID


class GoneRow(Row):
    """Whether the document, or this version of it, is there no longer."""

    gone: bool


class QueuedDocumentRow(Row):
    gone: bool = False
    queued: bool
    superseded: bool = False
    version: int | None = None


class DeletedDocumentRow(Row):
    """Not `deleted`: there is no such document."""

    deleted: bool
    erased: bool
    originals: tuple[int, ...] = ()


class RestoredDocumentRow(Row):
    restored: bool
    taken: bool = False


class BoundDocumentRow(Row):
    bound: bool


class ReadingRow(Row):
    """A version to read. `title` is what a person called it, if anybody did."""

    gone: bool
    already: Literal["ready", "failed"] | None = None
    name: str = ""
    title: str | None = None
    format: Format = "text"
    size_bytes: int = 0
    pieces: int = 0
    source: Source = "api"
    added_by: str = ""
    lane: str | None = None


class PurgeRow(Row):
    tenant_id: UUID
    document_id: UUID
    version: int | None


class PurgedDocumentRow(Row):
    purged: bool
    originals: tuple[int, ...] = ()
