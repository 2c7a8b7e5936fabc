"""Documents: their versions, their sealed bytes, and what becomes of them.

Methods that take a claim token raise StaleClaim once the inbox event's claim is no longer that one. `gone` in what they
return means that the document or this version of it was deleted or replaced: there is nothing left to do.
"""

from base64 import b64encode
from collections.abc import Sequence
from uuid import UUID

from enablebot.shared.database.document_rows import (
    BegunDocumentRow,
    BoundDocumentRow,
    DeletedDocumentRow,
    DocumentPieceRow,
    DocumentRow,
    DocumentVersionRow,
    GoneRow,
    PurgedDocumentRow,
    PurgeRow,
    QueuedDocumentRow,
    ReadingRow,
    RestoredDocumentRow,
)
from enablebot.shared.database.operations.call import Calls
from enablebot.shared.models.document import Format, Source


class DocumentCalls(Calls):
    async def begin_document(
        self,
        *,
        tenant_id: UUID,
        id: UUID,  # noqa: A002 - as the column
        name: str,
        title: str | None,
        format: Format,  # noqa: A002 - as the column
        size_bytes: int,
        content_hash: bytes,
        source: Source,
        added_by: str,
        channels: Sequence[str],
        lane: str | None,
        most_documents: int,
        most_bytes: int,
    ) -> BegunDocumentRow:
        """Make room for a document's bytes, and say which version of which document they are.

        `id` is used only for a new document. The same bytes in the same scope, whatever their name, are the `same`
        document; bytes under a name that is there `replaces` it, as a version that nobody sees before it is queued.
        Of two who begin with the same bytes at once both are told the same version, and either may bring its pieces.
        `channels` binds a new document at once and replaces an old one's when the new version is published; none
        leaves an old one's as they are. `over_quota` stores nothing, and says what there is already.
        """
        return BegunDocumentRow.model_validate(
            await self._call(
                "begin_document",
                tenant_id=tenant_id,
                id=id,
                name=name,
                title=title,
                format=format,
                size_bytes=size_bytes,
                content_hash=content_hash,
                source=source,
                added_by=added_by,
                channels=list(channels),
                lane=lane,
                most_documents=most_documents,
                most_bytes=most_bytes,
            )
        )

    async def add_document_piece(
        self,
        *,
        tenant_id: UUID,
        document_id: UUID,
        version: int,
        piece: int,
        sealed: bytes | None,
        data_key_id: UUID,
    ) -> GoneRow:
        """Store a sealed piece of 1 MB, counted from 0; safe to repeat, and the first of two stays.

        It is sealed for document_pieces/sealed/`document_id`:`version`:`piece`. `sealed` None records that the piece
        lies outside the database, before it is put there.
        """
        return GoneRow.model_validate(
            await self._call(
                "add_document_piece",
                tenant_id=tenant_id,
                document_id=document_id,
                version=version,
                piece=piece,
                # As text: the Data API would write bytes as hexadecimal, twice their size.
                sealed=None if sealed is None else b64encode(sealed).decode("ascii"),
                data_key_id=data_key_id,
            )
        )

    async def read_document_piece(
        self, *, tenant_id: UUID, document_id: UUID, version: int, piece: int
    ) -> DocumentPieceRow | None:
        """Return a piece; its `original` is the version it was sealed for, `sealed` None when it lies elsewhere."""
        found = await self._call(
            "read_document_piece", tenant_id=tenant_id, document_id=document_id, version=version, piece=piece
        )
        return None if found is None else DocumentPieceRow.model_validate(found)

    async def queue_document(self, *, tenant_id: UUID, document_id: UUID, version: int) -> QueuedDocumentRow:
        """Hand a version whose pieces are all there to the inbox; audited.

        Not `queued` when a twin has done it, or a newer version has been queued meanwhile (`superseded`). Older
        versions that are not live yet go. Raises DataRefused when a piece is missing.
        """
        return QueuedDocumentRow.model_validate(
            await self._call("queue_document", tenant_id=tenant_id, document_id=document_id, version=version)
        )

    async def get_document(self, *, tenant_id: UUID, id: UUID) -> DocumentRow | None:  # noqa: A002 - as the column
        """Return a document of any scope that is queued or further, one whose deletion may be undone included."""
        found = await self._call("get_document", tenant_id=tenant_id, id=id)
        return None if found is None else DocumentRow.model_validate(found)

    async def list_documents(
        self, *, tenant_id: UUID, after: str | None, limit: int, contains: str | None
    ) -> list[DocumentRow]:
        """Return the workspace's own documents, newest first, from the one behind the row with that `cursor` on.

        `contains` is a part of the name or title, in any case. Raises DataRefused for what is no cursor.
        """
        found = await self._call("list_documents", tenant_id=tenant_id, after=after, limit=limit, contains=contains)
        return [DocumentRow.model_validate(row) for row in found]

    async def list_deleted_documents(self, *, tenant_id: UUID, limit: int) -> list[DocumentRow]:
        """Return the workspace's own documents whose deletion may still be undone, the last deleted first."""
        found = await self._call("list_deleted_documents", tenant_id=tenant_id, limit=limit)
        return [DocumentRow.model_validate(row) for row in found]

    async def list_document_versions(
        self,
        *,
        tenant_id: UUID,
        id: UUID,  # noqa: A002 - as the column
    ) -> list[DocumentVersionRow]:
        """Return what is stored of a document, newest first."""
        found = await self._call("list_document_versions", tenant_id=tenant_id, id=id)
        return [DocumentVersionRow.model_validate(row) for row in found]

    async def delete_document(
        self,
        *,
        tenant_id: UUID,
        id: UUID,  # noqa: A002 - as the column
        undo_seconds: int,
        actor: str,
    ) -> DeletedDocumentRow:
        """Hide a document at once, and erase it after `undo_seconds`, with 0 now; audited.

        `originals` are versions whose pieces lie outside the database: remove those, then call `purge_document`.
        """
        return DeletedDocumentRow.model_validate(
            await self._call("delete_document", tenant_id=tenant_id, id=id, undo_seconds=undo_seconds, actor=actor)
        )

    async def restore_document(
        self,
        *,
        tenant_id: UUID,
        id: UUID,  # noqa: A002 - as the column
        actor: str,
    ) -> RestoredDocumentRow:
        """Undo a deletion; audited. `taken`: another document has that name or those bytes by now."""
        return RestoredDocumentRow.model_validate(
            await self._call("restore_document", tenant_id=tenant_id, id=id, actor=actor)
        )

    async def reindex_document(
        self,
        *,
        tenant_id: UUID,
        id: UUID,  # noqa: A002 - as the column
        actor: str,
    ) -> QueuedDocumentRow:
        """Have a document read anew beside what is searchable; audited. A version under way is left to finish."""
        return QueuedDocumentRow.model_validate(
            await self._call("reindex_document", tenant_id=tenant_id, id=id, actor=actor)
        )

    async def bind_document(
        self,
        *,
        tenant_id: UUID,
        id: UUID,  # noqa: A002 - as the column
        channels: Sequence[str],
        actor: str,
    ) -> BoundDocumentRow:
        """Let only these channels see a document, with none all of them; audited."""
        return BoundDocumentRow.model_validate(
            await self._call("bind_document", tenant_id=tenant_id, id=id, channels=list(channels), actor=actor)
        )

    async def begin_reading(
        self, *, tenant_id: UUID, document_id: UUID, version: int, event_id: int, claim_token: UUID
    ) -> ReadingRow:
        """Begin to read a version, forgetting what an earlier attempt had staged of it.

        `already` says that an earlier attempt has published or failed it: nothing is touched then.
        """
        return ReadingRow.model_validate(
            await self._call(
                "begin_reading",
                tenant_id=tenant_id,
                document_id=document_id,
                version=version,
                event_id=event_id,
                claim_token=claim_token,
            )
        )

    async def note_progress(
        self, *, tenant_id: UUID, document_id: UUID, version: int, event_id: int, claim_token: UUID, progress: int
    ) -> GoneRow:
        """Record how far reading is, in percent; it never goes back."""
        return GoneRow.model_validate(
            await self._call(
                "note_progress",
                tenant_id=tenant_id,
                document_id=document_id,
                version=version,
                event_id=event_id,
                claim_token=claim_token,
                progress=progress,
            )
        )

    async def publish_document(
        self,
        *,
        tenant_id: UUID,
        document_id: UUID,
        version: int,
        event_id: int,
        claim_token: UUID,
        pages: int | None,
        title: str | None,
    ) -> GoneRow:
        """Make the staged passages of a version what is searchable of its document, and drop the version before.

        `title` is the document's own, used when nobody gave it one. Safe to repeat.
        """
        return GoneRow.model_validate(
            await self._call(
                "publish_document",
                tenant_id=tenant_id,
                document_id=document_id,
                version=version,
                event_id=event_id,
                claim_token=claim_token,
                pages=pages,
                title=title,
            )
        )

    async def fail_document(
        self, *, tenant_id: UUID, document_id: UUID, version: int, event_id: int, claim_token: UUID, reason: str
    ) -> GoneRow:
        """End reading with a reason for people; what was staged goes, an older live version stays."""
        return GoneRow.model_validate(
            await self._call(
                "fail_document",
                tenant_id=tenant_id,
                document_id=document_id,
                version=version,
                event_id=event_id,
                claim_token=claim_token,
                reason=reason,
            )
        )

    async def list_documents_to_purge(self, *, limit: int) -> list[PurgeRow]:
        """Return what is due to be erased, of all tenants: documents, or single versions of them."""
        return [PurgeRow.model_validate(row) for row in await self._call("list_documents_to_purge", limit=limit)]

    async def purge_document(
        self, *, tenant_id: UUID, document_id: UUID, version: int | None, originals_gone: bool
    ) -> PurgedDocumentRow:
        """Erase a document, or one version, that is due.

        While pieces of `originals` lie outside the database nothing can bring it back, but it stays until they have
        been removed and this is called again with `originals_gone`.
        """
        return PurgedDocumentRow.model_validate(
            await self._call(
                "purge_document",
                tenant_id=tenant_id,
                document_id=document_id,
                version=version,
                originals_gone=originals_gone,
            )
        )
