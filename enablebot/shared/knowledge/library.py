"""The library: documents taken in, sealed and queued, listed, bound, deleted, and opened again."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Literal
from uuid import UUID, uuid4

from enablebot.shared.database.document_rows import BegunDocumentRow, QueuedDocumentRow
from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.encryption import Place
from enablebot.shared.errors import (
    BadRequest,
    Conflict,
    DatabaseError,
    DataRefused,
    NotFound,
    OriginalUnreachable,
    OverQuota,
)
from enablebot.shared.installations import Installations
from enablebot.shared.knowledge.arrival import Arrived, known_channels, receive
from enablebot.shared.knowledge.originals import Originals, open_originals
from enablebot.shared.knowledge.spool import Spool
from enablebot.shared.models.document import (
    Added,
    Document,
    DocumentPage,
    DocumentVersion,
    Source,
)

if TYPE_CHECKING:
    from enablebot.config.settings import Settings

# Whose documents a call may touch: the workspace's knowledge only, or those given for one conversation as well.
Reach = Literal["workspace", "conversations too"]

_log = logging.getLogger(__name__)

_PURGED_AT_ONCE = 200
_DELETED_SHOWN = 100


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
        self._storing: set[asyncio.Task[Added]] = set()

    async def add(
        self,
        tenant_id: UUID,
        *,
        name: str,
        content: AsyncIterator[bytes] | bytes,
        source: Source,
        added_by: str,
        title: str | Callable[[], str | None] | None = None,
        channels: Sequence[str] | Callable[[], Sequence[str]] = (),
        lane: str | None = None,
    ) -> Added:
        """Take a document in: its bytes sealed and kept, its reading queued.

        `content` may come in chunks of any size; `title` and `channels` may be callables, asked after its end. Nothing
        is stored before that, so that whatever it raises leaves nothing behind. Raises FileEmpty, TooLarge,
        UnsupportedFormat, OverQuota, and BadRequest for channels that are none.
        """
        arrived = await receive(
            tenant_id,
            name=name,
            content=content,
            source=source,
            added_by=added_by,
            title=title,
            channels=channels,
            lane=lane,
        )
        # All of it is here: whoever hangs up now has added it, and nothing is left half stored.
        storing = asyncio.create_task(self._store(arrived))
        self._storing.add(storing)
        storing.add_done_callback(self._storing.discard)
        return await asyncio.shield(storing)

    async def get(self, tenant_id: UUID, document_id: UUID, *, reach: Reach = "workspace") -> Document:
        """Return a document that is not deleted."""
        document = await self._database.get_document(tenant_id=tenant_id, id=document_id)
        if document is None or document.deleted_at is not None or not _is_within(document, reach):
            raise _not_found()
        return document

    async def list(
        self, tenant_id: UUID, *, after: str | None = None, limit: int = 50, contains: str | None = None
    ) -> DocumentPage:
        """Return the workspace's documents, newest first; `contains` is a part of the name or title.

        Raises BadRequest for an `after` that no page gave.
        """
        try:
            rows = await self._database.list_documents(
                tenant_id=tenant_id, after=after, limit=limit + 1, contains=contains or None
            )
        except DataRefused as error:
            raise BadRequest("This page of the list does not exist. Begin with the first one.") from error
        return DocumentPage(tuple(rows[:limit]), rows[limit - 1].cursor if len(rows) > limit else None)

    async def list_deleted(self, tenant_id: UUID) -> tuple[Document, ...]:
        """Return the documents whose deletion may still be undone, the last deleted first."""
        return tuple(await self._database.list_deleted_documents(tenant_id=tenant_id, limit=_DELETED_SHOWN))

    async def versions(self, tenant_id: UUID, document_id: UUID) -> tuple[DocumentVersion, ...]:
        """Return what is stored of a document, newest first."""
        await self.get(tenant_id, document_id)
        return tuple(await self._database.list_document_versions(tenant_id=tenant_id, id=document_id))

    async def delete(
        self, tenant_id: UUID, document_id: UUID, *, undo_seconds: int, actor: str, reach: Reach = "workspace"
    ) -> None:
        """Hide a document from lists and search at once, and erase it after `undo_seconds`; with 0 now.

        One that is hidden already is erased by 0, and otherwise left as it is.
        """
        await self._known(tenant_id, document_id, reach)
        row = await self._database.delete_document(
            tenant_id=tenant_id, id=document_id, undo_seconds=undo_seconds, actor=actor
        )
        if not row.deleted:
            raise _not_found()
        if row.originals:
            try:
                await self._remove_originals(tenant_id, document_id, None, row.originals)
            except OriginalUnreachable as error:
                # Nothing shows it any more, and the upkeep comes back for its bytes.
                _log.warning("Bytes of a deleted document are still stored: %s", error.message)

    async def restore(self, tenant_id: UUID, document_id: UUID, *, actor: str, reach: Reach = "workspace") -> Document:
        """Undo a deletion while there is time; NameTaken when another document stands in its place by now.

        A document that is not deleted is returned as it is.
        """
        before = await self._known(tenant_id, document_id, reach)
        if before.deleted_at is None:
            return before
        row = await self._database.restore_document(tenant_id=tenant_id, id=document_id, actor=actor)
        if row.taken:
            raise NameTaken(
                f"“{before.name}” cannot be restored: a document with this name or the same content was added "
                "meanwhile. Delete that one first, or keep it."
            )
        # Somebody else may have undone it a moment earlier, which `get` tells.
        return await self.get(tenant_id, document_id, reach=reach)

    async def reindex(self, tenant_id: UUID, document_id: UUID, *, actor: str, reach: Reach = "workspace") -> Document:
        """Have a document read anew; what is searchable of it stays so until that is done."""
        await self.get(tenant_id, document_id, reach=reach)
        row = await self._database.reindex_document(tenant_id=tenant_id, id=document_id, actor=actor)
        if row.gone:
            raise _not_found()
        return await self.get(tenant_id, document_id, reach=reach)

    async def bind(self, tenant_id: UUID, document_id: UUID, *, channels: Sequence[str], actor: str) -> Document:
        """Let only these channels see a document; with none, all of them. BadRequest for what is no channel."""
        wanted = known_channels(channels)
        await self.get(tenant_id, document_id)
        row = await self._database.bind_document(tenant_id=tenant_id, id=document_id, channels=wanted, actor=actor)
        if not row.bound:
            raise _not_found()
        return await self.get(tenant_id, document_id)

    def open_original(self, tenant_id: UUID, document: Document) -> AsyncIterator[bytes]:
        """Yield the bytes of a document as they were added, a piece at a time."""
        return self.open_version(tenant_id, document.id, document.version)

    async def open_version(self, tenant_id: UUID, document_id: UUID, version: int) -> AsyncIterator[bytes]:
        """Yield the bytes of one version, live or not, a piece at a time; NotFound once it is gone.

        Raises OriginalUnreachable when they lie where we cannot reach them, SealBroken when they were tampered with.
        """
        key = (await self._installations.route_of_tenant(tenant_id)).key
        piece, pieces = 0, 1
        while piece < pieces:
            row = await self._database.read_document_piece(
                tenant_id=tenant_id, document_id=document_id, version=version, piece=piece
            )
            if row is None:
                raise _not_found()
            sealed = row.sealed
            if sealed is None:
                sealed = await self._originals.get(tenant_id, document_id, row.original, piece)
            pieces = row.pieces
            yield key.open(_place(tenant_id, document_id, row.original, piece), sealed)
            piece += 1

    async def purge(self) -> int:
        """Erase what is due, of all workspaces; returns how many documents and versions went."""
        purged = 0
        for due in await self._database.list_documents_to_purge(limit=_PURGED_AT_ONCE):
            try:
                row = await self._database.purge_document(
                    tenant_id=due.tenant_id, document_id=due.document_id, version=due.version, originals_gone=False
                )
                if row.originals:
                    await self._remove_originals(due.tenant_id, due.document_id, due.version, row.originals)
            except (DatabaseError, OriginalUnreachable) as error:
                # The next turn tries again; the others need not wait for it.
                _log.warning(
                    "A document could not be erased yet: %s", error.message, extra={"tenant_id": str(due.tenant_id)}
                )
            else:
                purged += row.purged or bool(row.originals)
        return purged

    async def aclose(self) -> None:
        """Let documents that are all here be stored to the end, and close what leads to their originals."""
        if self._storing:
            await asyncio.wait(self._storing)
        await self._originals.aclose()

    async def _store(self, arrived: Arrived) -> Added:
        tenant_id, spool = arrived.tenant_id, arrived.spool
        try:
            # One time more than a deletion in between can take away.
            for _ in range(2):
                begun = await self._database.begin_document(
                    tenant_id=tenant_id,
                    id=uuid4(),
                    name=arrived.name,
                    title=arrived.title,
                    format=arrived.format,
                    size_bytes=spool.size,
                    content_hash=spool.content_hash,
                    source=arrived.source,
                    added_by=arrived.added_by,
                    channels=arrived.channels,
                    lane=arrived.lane,
                    most_documents=self._most_documents,
                    most_bytes=self._most_bytes,
                )
                outcome = begun.outcome
                if outcome == "over_quota":
                    raise self._over_quota(begun)
                assert begun.id is not None
                assert begun.version is not None
                is_there = outcome == "same"
                if not is_there:
                    queued = await self._fill(tenant_id, begun.id, begun.version, spool)
                    is_there = queued is not None
                    if queued is not None and not queued.queued and not queued.superseded:
                        # A twin that came at the same moment was faster.
                        outcome = "same"
                if is_there:
                    document = await self._database.get_document(tenant_id=tenant_id, id=begun.id)
                    if document is not None and document.deleted_at is None:
                        return Added(document, outcome)
            raise DocumentGone(f"“{arrived.name}” was deleted while it was being added. Add it again to keep it.")
        finally:
            spool.close()

    async def _fill(self, tenant_id: UUID, document_id: UUID, version: int, spool: Spool) -> QueuedDocumentRow | None:
        """Bring the pieces of a version that was begun, and queue it; None when it was deleted meanwhile."""
        key = (await self._installations.route_of_tenant(tenant_id)).key
        number = 0
        async for piece in spool.pieces():
            sealed = key.seal(_place(tenant_id, document_id, version, number), piece)
            row = await self._database.add_document_piece(
                tenant_id=tenant_id,
                document_id=document_id,
                version=version,
                piece=number,
                sealed=None if self._originals.is_elsewhere else sealed,
                data_key_id=key.id,
            )
            if row.gone:
                return None
            if self._originals.is_elsewhere:
                await self._originals.put(tenant_id, document_id, version, number, sealed)
            number += 1
        queued = await self._database.queue_document(tenant_id=tenant_id, document_id=document_id, version=version)
        return None if queued.gone else queued

    async def _known(self, tenant_id: UUID, document_id: UUID, reach: Reach) -> Document:
        """Return a document, also one that is hidden until its deletion cannot be undone any more."""
        document = await self._database.get_document(tenant_id=tenant_id, id=document_id)
        if document is None or not _is_within(document, reach):
            raise _not_found()
        return document

    async def _remove_originals(
        self, tenant_id: UUID, document_id: UUID, version: int | None, originals: Sequence[int]
    ) -> None:
        await self._originals.remove(tenant_id, document_id, originals)
        await self._database.purge_document(
            tenant_id=tenant_id, document_id=document_id, version=version, originals_gone=True
        )

    def _over_quota(self, begun: BegunDocumentRow) -> OverQuota:
        if (begun.documents or 0) >= self._most_documents:
            return OverQuota(
                f"This workspace keeps {begun.documents} documents, the most it may. Delete some that nobody needs "
                "any more, or ask whoever runs EnableBot to raise KNOWLEDGE_MOST_DOCUMENTS."
            )
        return OverQuota(
            f"This file does not fit: the workspace's documents may weigh {self._most_bytes // 2**20} MB together. "
            "Delete some that nobody needs any more, or ask whoever runs EnableBot to raise KNOWLEDGE_MOST_MEGABYTES."
        )


async def open_library(settings: "Settings", database: Database, installations: Installations) -> Library:
    """Return the library as the settings want it; close it before the database."""
    return Library(
        database,
        installations,
        await open_originals(settings.database),
        most_documents=settings.knowledge.most_documents,
        most_bytes=settings.knowledge.most_bytes,
    )


def _is_within(document: Document, reach: Reach) -> bool:
    return document.lane is None or reach == "conversations too"


def _place(tenant_id: UUID, document_id: UUID, original: int, piece: int) -> Place:
    return Place(tenant_id, "document_pieces", "sealed", f"{document_id}:{original}:{piece}")


def _not_found() -> NotFound:
    return NotFound("There is no such document. It may have been deleted; the list shows what is there.")
