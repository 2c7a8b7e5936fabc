"""The library: documents taken in, sealed and queued, listed, bound, deleted, and opened again."""

from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import sha256
from typing import Literal
from uuid import UUID, uuid4

from enablebot.shared.database.document_rows import BegunDocumentRow
from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.encryption import Place
from enablebot.shared.errors import (
    Conflict,
    EnableBotError,
    FileEmpty,
    NotFound,
    OriginalUnreachable,
    OverQuota,
)
from enablebot.shared.installations import Installations
from enablebot.shared.knowledge.formats import sniff
from enablebot.shared.knowledge.names import clean_name, clean_title
from enablebot.shared.knowledge.originals import Originals
from enablebot.shared.knowledge.spool import Spool
from enablebot.shared.models.document import (
    PIECE_BYTES,
    Added,
    Document,
    DocumentPage,
    DocumentVersion,
    Source,
)

# Whose documents a call may touch: the workspace's knowledge only, or those given for one conversation as well.
Reach = Literal["workspace", "conversations too"]

_PURGED_AT_ONCE = 200


class DocumentGone(Conflict):
    """A document was deleted while something was done to it."""

    code = "document_gone"


class NameTaken(Conflict):
    """A deletion cannot be undone, because another document stands in that place."""

    code = "name_taken"


class Library:
    """The documents of all workspaces. `most_documents` and `most_bytes` are what one workspace may keep.

    Every method raises NotFound alike for what is missing, erased, another workspace's, or given for a conversation
    only, unless `reach` says otherwise; and DatabaseError when the database fails.
    """

    def __init__(
        self,
        database: Database,
        installations: Installations,
        originals: Originals,
        *,
        most_documents: int,
        most_bytes: int,
    ) -> None:
        self._database = database
        self._installations = installations
        self._originals = originals
        self._most_documents = most_documents
        self._most_bytes = most_bytes

    async def add(
        self,
        tenant_id: UUID,
        *,
        name: str,
        content: AsyncIterator[bytes] | bytes,
        source: Source,
        added_by: str,
        title: str | None | Callable[[], str | None] = None,
        channels: Sequence[str] | Callable[[], Sequence[str]] = (),
        lane: str | None = None,
    ) -> Added:
        """Take a document in: its bytes sealed and kept, its reading queued.

        `content` may come in chunks of any size; `title` and `channels` may be callables, asked after its end. Nothing
        is stored before that, so that whatever it raises leaves nothing behind. Raises FileEmpty, TooLarge,
        UnsupportedFormat and OverQuota.
        """
        raise NotImplementedError

    async def get(self, tenant_id: UUID, document_id: UUID, *, reach: Reach = "workspace") -> Document:
        """Return a document that is not deleted."""
        raise NotImplementedError

    async def list(
        self, tenant_id: UUID, *, after: str | None = None, limit: int = 50, contains: str | None = None
    ) -> DocumentPage:
        """Return the workspace's documents, newest first; `contains` is a part of the name or title.

        Raises BadRequest for an `after` that no page gave.
        """
        raise NotImplementedError

    async def list_deleted(self, tenant_id: UUID) -> tuple[Document, ...]:
        """Return the documents whose deletion may still be undone, the last deleted first."""
        raise NotImplementedError

    async def versions(self, tenant_id: UUID, document_id: UUID) -> tuple[DocumentVersion, ...]:
        """Return what is stored of a document, newest first."""
        raise NotImplementedError

    async def delete(
        self, tenant_id: UUID, document_id: UUID, *, undo_seconds: int, actor: str, reach: Reach = "workspace"
    ) -> None:
        """Hide a document from lists and search at once, and erase it after `undo_seconds`; with 0 now."""
        raise NotImplementedError

    async def restore(
        self, tenant_id: UUID, document_id: UUID, *, actor: str, reach: Reach = "workspace"
    ) -> Document:
        """Undo a deletion while there is time; NameTaken when another document stands in its place by now."""
        raise NotImplementedError

    async def reindex(
        self, tenant_id: UUID, document_id: UUID, *, actor: str, reach: Reach = "workspace"
    ) -> Document:
        """Have a document read anew; what is searchable of it stays so until that is done."""
        raise NotImplementedError

    async def bind(self, tenant_id: UUID, document_id: UUID, *, channels: Sequence[str], actor: str) -> Document:
        """Let only these channels see a document; with none, all of them."""
        raise NotImplementedError

    def open_original(self, tenant_id: UUID, document: Document) -> AsyncIterator[bytes]:
        """Yield the bytes of a document as they were added, a piece at a time."""
        return self.open_version(tenant_id, document.id, document.version)

    async def open_version(self, tenant_id: UUID, document_id: UUID, version: int) -> AsyncIterator[bytes]:
        """Yield the bytes of one version, live or not, a piece at a time; NotFound once it is gone."""
        raise NotImplementedError
        yield b""

    async def purge(self) -> int:
        """Erase what is due, of all workspaces; returns how many documents and versions went."""
        raise NotImplementedError
