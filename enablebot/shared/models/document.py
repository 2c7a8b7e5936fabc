"""A document people gave to be known, and what may be said of it."""

from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict

# What one document may weigh, and the pieces its bytes are sealed in; documents.sql counts in the same pieces.
MOST_BYTES = 20 * 1024 * 1024
PIECE_BYTES = 1024 * 1024

Format = Literal["pdf", "docx", "pptx", "xlsx", "csv", "html", "markdown", "text"]
DocumentStatus = Literal["queued", "processing", "ready", "failed"]
Source = Literal["dashboard", "api", "slack"]
AddOutcome = Literal["new", "replaces", "same"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Replacement(_Frozen):
    """The newer version of a document that is still searchable in its old one: being read, or failed with a reason."""

    version: int
    status: DocumentStatus
    reason: str | None
    progress: int
    format: Format
    size_bytes: int
    added_by: str
    added_at: datetime


class Document(_Frozen):
    """A document as people see it: its live version, or, before there is one, the newest.

    `lane` is None for the workspace's knowledge, else the one conversation it was given for. No `channels` means that
    every channel sees it. `progress` is 0 to 100; `content_hash` the SHA-256 of its bytes. `deleted_at` and
    `undo_until` are set while a deletion may still be undone.
    """

    id: UUID
    name: str
    title: str
    lane: str | None
    channels: tuple[str, ...]
    status: DocumentStatus
    reason: str | None
    progress: int
    version: int
    live_version: int | None
    format: Format
    size_bytes: int
    content_hash: str
    pages: int | None
    passages: int | None
    source: Source
    added_by: str
    added_at: datetime
    created_at: datetime
    replacement: Replacement | None = None
    deleted_at: datetime | None = None
    undo_until: datetime | None = None


class DocumentVersion(_Frozen):
    """One version of a document's content that is stored."""

    version: int
    status: DocumentStatus
    reason: str | None
    progress: int
    format: Format
    size_bytes: int
    pages: int | None
    passages: int | None
    source: Source
    added_by: str
    added_at: datetime
    is_live: bool


class Added(NamedTuple):
    """What adding came to: a new document, a new version of the one by that name, or the same bytes as before."""

    document: Document
    outcome: AddOutcome


class DocumentPage(NamedTuple):
    """Some of a workspace's documents, newest first, and the cursor behind the last; None when that was all."""

    documents: tuple[Document, ...]
    next: str | None
