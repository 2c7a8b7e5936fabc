"""Documents that are due: erased on time and not before, with what lies outside the database."""

from typing import Any, TypeAlias

import asyncpg
import pytest

from enablebot.shared.database.operations import Database
from enablebot.tests.shared.documents import (
    add_ready,
    begin,
    bring,
    claim_document,
    delete,
    fetched,
    fill,
    get,
    make_due,
    read,
    restore,
    traces,
    version_of,
)
from enablebot.tests.shared.workspaces import Workspace, add_workspace

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

LANE = "D1:1700000000.000100"


@pytest.fixture
async def acme(database: Database) -> Workspace:
    return await add_workspace(database)


# What is due


async def test_only_what_is_due_is_erased(database: Database, acme: Workspace, admin: Admin) -> None:
    kept = await add_ready(database, acme, b"A")
    hidden = await add_ready(database, acme, b"B", name="b.txt")
    await delete(database, acme, hidden, 600)
    lane = (await bring(database, acme, b"C", lane=LANE)).id
    unfinished = await begin(database, acme, b"D", name="d.txt")
    await fill(database, acme, unfinished)
    replacing = await begin(database, acme, b"E", name="a.txt")
    assert await database.list_documents_to_purge(limit=9) == []
    for document_id, version in ((kept, None), (kept, 1), (hidden, None), (lane, None), (lane, 1), (unfinished.id, 1)):
        assert document_id is not None
        row = await database.purge_document(
            tenant_id=acme.tenant_id, document_id=document_id, version=version, originals_gone=True
        )
        assert not row.purged
    age = await admin.fetchval("select due_at - now() from enablebot.documents where id = $1", lane)
    assert age.days in (29, 30)

    await make_due(admin)
    assert await restore(database, acme, hidden) == (False, False)
    due = await database.list_documents_to_purge(limit=9)
    assert {(row.document_id, row.version) for row in due} == {
        *((hidden, None), (lane, None), (unfinished.id, 1), (replacing.id, 2)),
    }
    assert len(await database.list_documents_to_purge(limit=3)) == 3
    for each in due:
        purged = await database.purge_document(**each.model_dump(), originals_gone=False)
        assert (purged.purged, purged.originals) == (True, ())
    assert await database.list_documents_to_purge(limit=9) == []
    for gone in (hidden, lane, unfinished.id):
        assert gone is not None
        assert await traces(admin, gone) <= {"audit"}
    document = await get(database, acme, kept)
    assert (document.status, document.live_version, document.replacement) == ("ready", 1, None)
    assert await fetched(admin, "select document_id, version from enablebot.document_versions") == [(kept, 1)]


async def test_an_upload_that_still_brings_pieces_is_not_due(database: Database, acme: Workspace, admin: Admin) -> None:
    begun = await begin(database, acme)
    await make_due(admin)
    await fill(database, acme, begun)
    assert await database.list_documents_to_purge(limit=9) == []
    await make_due(admin)
    assert (await begin(database, acme)).id == begun.id
    assert await database.list_documents_to_purge(limit=9) == []


async def test_a_conversation_s_document_lives_on_with_its_newer_version(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    first = await bring(database, acme, b"A", lane=LANE)
    await make_due(admin)
    await bring(database, acme, b"B", lane=LANE)
    assert await database.list_documents_to_purge(limit=9) == []
    await delete(database, acme, first.id, 600)
    await restore(database, acme, first.id)
    left = await admin.fetchval("select due_at - now() from enablebot.documents")
    assert left.days in (29, 30)


async def test_the_router_sees_what_is_due_and_neither_names_nor_what_is_not(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    kept = await add_ready(database, acme, b"A")
    hidden = await add_ready(database, acme, b"B", name="b.txt")
    await delete(database, acme, hidden, 600)
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute("set local role enablebot_router")
    assert await fetched(admin, "select id from enablebot.documents") == [(hidden,)]
    assert await fetched(admin, "select document_id from enablebot.document_versions") == []
    await transaction.rollback()
    for statement in (
        "select name from enablebot.documents",
        "select * from enablebot.document_versions",
        "select from enablebot.document_pieces",
        "delete from enablebot.documents",
        "update enablebot.documents set due_at = null",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await admin.execute(f"begin; set local role enablebot_router; {statement}")
        await admin.execute("rollback")
    assert (await get(database, acme, kept)).status == "ready"


# Originals outside the database


async def test_a_document_whose_bytes_lie_elsewhere_is_remembered_until_they_are_removed(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    brought = await bring(database, acme, b"A", name="Secret plan.txt", elsewhere=True)
    await read(database, await claim_document(database, brought.id))
    row = await database.read_document_piece(tenant_id=acme.tenant_id, document_id=brought.id, version=1, piece=0)
    assert row is not None
    assert (row.sealed, row.original, row.pieces) == (None, 1, 1)

    deleted = await database.delete_document(tenant_id=acme.tenant_id, id=brought.id, undo_seconds=0, actor="U1")
    assert (deleted.deleted, deleted.erased, deleted.originals) == (True, False, (1,))
    assert await traces(admin, brought.id) == {"documents", "document_pieces", "audit"}
    assert await admin.fetchval("select name || title from enablebot.documents") == "erasederased"
    assert await database.get_document(tenant_id=acme.tenant_id, id=brought.id) is None
    assert await restore(database, acme, brought.id) == (False, False)
    assert not await delete(database, acme, brought.id)
    (due,) = await database.list_documents_to_purge(limit=9)
    assert (due.document_id, due.version) == (brought.id, None)
    named: dict[str, Any] = due.model_dump()
    assert (await database.purge_document(**named, originals_gone=False)).originals == (1,)
    assert (await database.purge_document(**named, originals_gone=True)).purged
    assert await traces(admin, brought.id) == {"audit"}


async def test_a_replaced_version_whose_bytes_lie_elsewhere_is_remembered_until_they_are_removed(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    brought = await bring(database, acme, b"A", elsewhere=True)
    await read(database, await claim_document(database, brought.id))
    await database.reindex_document(tenant_id=acme.tenant_id, id=brought.id, actor="U1")
    await read(database, await claim_document(database, brought.id))
    # The bytes are the same ones: nothing is due.
    assert await database.list_documents_to_purge(limit=9) == []
    await bring(database, acme, b"B", elsewhere=True)
    await read(database, await claim_document(database, brought.id))
    (due,) = await database.list_documents_to_purge(limit=9)
    assert (due.document_id, due.version) == (brought.id, 2)
    named: dict[str, Any] = due.model_dump()
    waiting = await database.purge_document(**named, originals_gone=False)
    assert (waiting.purged, waiting.originals) == (False, (1,))
    assert (await database.purge_document(**named, originals_gone=True)).purged
    assert await fetched(admin, "select original from enablebot.document_pieces") == [(3,)]
    assert await fetched(admin, "select version from enablebot.document_versions") == [(3,)]
    document = await get(database, acme, brought.id)
    assert (document.status, document.live_version) == ("ready", 3)


async def test_bytes_in_hand_are_kept_where_another_only_said_they_lie_elsewhere(
    database: Database, acme: Workspace
) -> None:
    begun = await begin(database, acme)
    for elsewhere in (True, False, True):
        await fill(database, acme, begun, elsewhere=elsewhere)
    await database.queue_document(**version_of(acme, begun))
    row = await database.read_document_piece(**version_of(acme, begun), piece=0)
    assert row is not None
    assert row.sealed == b"A"
