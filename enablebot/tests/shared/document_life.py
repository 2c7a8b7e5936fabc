"""The life of a document, call by call, with the answers each must give over every transport."""

from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest

from enablebot.shared.database.models import ClaimedDocumentRow
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DataRefused, StaleClaim
from enablebot.shared.models.document import PIECE_BYTES
from enablebot.tests.shared.passage_life import passage_life
from enablebot.tests.shared.queued_documents import of

PLAN, PRICES, NOTE = (UUID(int=number) for number in range(500, 503))
CONTENT = bytes(range(256)) * (PIECE_BYTES // 256) + b"the rest"
LANE = "D1:1700000000.000100"
# What search finds in it, in three words of three passages.
TEXTS = ("The plan is to ship in spring.", "Prices: 4 € a seat.", "\u202eodd\u202c \U0001f600 text")


async def document_life(database: Database, tenant_id: UUID, stranger: UUID, key: UUID) -> None:
    """Add, read, replace, read anew, bind, hide, restore, delete and purge."""
    claimed = await come_in(database, tenant_id, key)
    await be_read(database, claimed)
    await passage_life(database, tenant_id, stranger, PLAN, TEXTS)
    await change(database, tenant_id, stranger, key)
    await end(database, tenant_id, key)


async def come_in(database: Database, tenant_id: UUID, key: UUID) -> ClaimedDocumentRow:
    """Begin, bring the pieces, queue and claim."""
    begun = await begin(database, tenant_id, PLAN, CONTENT, name="Plän\u202e.md", channels=["C1", "C2"])
    assert (begun.outcome, begun.id, begun.version) == ("new", PLAN, 1)
    assert (await begin(database, tenant_id, PRICES, b"x" * 99, name="p.csv", most_bytes=99)).outcome == "over_quota"
    version: dict[str, Any] = {"tenant_id": tenant_id, "document_id": PLAN, "version": 1}
    with pytest.raises(DataRefused):
        await database.queue_document(**version)
    pieces = (CONTENT[:PIECE_BYTES], CONTENT[PIECE_BYTES:])
    for piece, sealed in enumerate(pieces):
        assert not (await database.add_document_piece(**version, piece=piece, sealed=sealed, data_key_id=key)).gone
    assert (await database.queue_document(**version)).queued
    for piece, sealed in enumerate(pieces):
        row = await database.read_document_piece(**version, piece=piece)
        assert row is not None
        assert (row.sealed, row.pieces, row.original) == (sealed, 2, 1)
    assert await database.read_document_piece(**version, piece=2) is None
    assert (await begin(database, tenant_id, PRICES, CONTENT, name="other.md")).outcome == "same"
    (claimed,) = await database.claim_documents(worker="w1", limit=5, tenant_cap=5, lease_seconds=60)
    assert (claimed.document_id, claimed.version) == (PLAN, 1)
    return claimed


async def be_read(database: Database, claimed: ClaimedDocumentRow) -> None:
    """Read it: begin, note, stage, publish; nobody without the claim may."""
    with pytest.raises(StaleClaim):
        await database.begin_reading(**of(claimed) | {"claim_token": UUID(int=9)})
    started = await database.begin_reading(**of(claimed))
    assert (started.gone, started.name, started.pieces, started.lane) == (False, "Plän\u202e.md", 2, None)
    assert not (await database.note_progress(**of(claimed), progress=50)).gone
    staged = await database.stage_passages(
        **of(claimed),
        positions=[0, 1, 2],
        texts=TEXTS,
        headings=[(), ("Prices",), ("Odd", "Ends")],
        places=[{"page": 1}, {"page": 2, "last_page": 3}, {}],
        tokens=[7, 6, 3],
        term_ids=[(1, 5), (5, 9), (11,)],
        weights=[(1.5, 0.5), (1.0, 2.0), (0.25,)],
    )
    assert not staged.gone
    assert not (await database.publish_document(**of(claimed), pages=3, title="The plan")).gone
    await settle(database, claimed)


async def change(database: Database, tenant_id: UUID, stranger: UUID, key: UUID) -> None:
    """Show, bind, read anew, and fail to replace."""
    named: dict[str, Any] = {"tenant_id": tenant_id, "id": PLAN}
    document = await database.get_document(**named)
    assert document is not None
    assert (document.title, document.status, document.passages) == ("The plan", "ready", 3)
    assert document.content_hash == sha256(CONTENT).hexdigest()
    assert await database.get_document(tenant_id=stranger, id=PLAN) is None
    page: dict[str, Any] = {"tenant_id": tenant_id, "limit": 5}
    assert await database.list_documents(**page, after=None, contains="PLAN") == [document]
    assert await database.list_documents(**page, after=document.cursor, contains=None) == []
    with pytest.raises(DataRefused):
        await database.list_documents(**page, after="no cursor", contains=None)
    assert (await database.bind_document(**named, channels=["C3"], actor="U1")).bound
    assert (await database.reindex_document(**named, actor="U1")).version == 2
    (claimed,) = await database.claim_documents(worker="w1", limit=5, tenant_cap=5, lease_seconds=60)
    await database.begin_reading(**of(claimed))
    assert not (await database.fail_document(**of(claimed), reason="It is damaged.")).gone
    await settle(database, claimed)
    versions = await database.list_document_versions(**named)
    assert [(row.version, row.status, row.is_live) for row in versions] == [(2, "failed", False), (1, "ready", True)]


async def end(database: Database, tenant_id: UUID, key: UUID) -> None:
    """Hide and restore, then delete; what lies elsewhere and what was never finished are purged."""
    named: dict[str, Any] = {"tenant_id": tenant_id, "id": PLAN, "actor": "U1"}
    assert (await database.delete_document(**named, undo_seconds=600)).deleted
    assert [row.id for row in await database.list_deleted_documents(tenant_id=tenant_id, limit=5)] == [PLAN]
    assert (await database.restore_document(**named)).restored
    assert (await database.delete_document(**named, undo_seconds=0)).erased
    assert not (await database.delete_document(**named, undo_seconds=0)).deleted

    note: dict[str, Any] = {"tenant_id": tenant_id, "document_id": NOTE, "version": 1}
    await begin(database, tenant_id, NOTE, b"elsewhere", name="note.txt", lane=LANE)
    await database.add_document_piece(**note, piece=0, sealed=None, data_key_id=key)
    await database.queue_document(**note)
    (claimed,) = await database.claim_documents(worker="w1", limit=5, tenant_cap=5, lease_seconds=60)
    deleted = await database.delete_document(tenant_id=tenant_id, id=NOTE, undo_seconds=0, actor="U1")
    assert (deleted.erased, deleted.originals) == (False, (1,))
    assert (await database.begin_reading(**of(claimed))).gone
    (due,) = await database.list_documents_to_purge(limit=5)
    assert (due.document_id, due.version) == (NOTE, None)
    assert (await database.purge_document(**due.model_dump(), originals_gone=True)).purged


async def begin(
    database: Database, tenant_id: UUID, document_id: UUID, content: bytes, *, name: str, **changes: Any
) -> Any:
    values: dict[str, Any] = {
        "title": None,
        "format": "markdown",
        "source": "api",
        "added_by": "key é",
        "channels": [],
        "lane": None,
        "most_documents": 10,
        "most_bytes": 2 * len(CONTENT),
        **changes,
    }
    return await database.begin_document(
        tenant_id=tenant_id,
        id=document_id,
        name=name,
        size_bytes=len(content),
        content_hash=sha256(content).digest(),
        **values,
    )


async def settle(database: Database, claimed: ClaimedDocumentRow) -> None:
    outcome = await database.settle_events(
        tenant_ids=[claimed.tenant_id],
        ids=[claimed.id],
        tokens=[claimed.claim_token],
        outcomes=["done"],
        reasons=[None],
        delays=[0],
    )
    assert outcome == ["settled"]
