"""Documents deleted, restored and erased: nothing of them stays anywhere, and nothing of others goes."""

import asyncio
from typing import Any, TypeAlias

import asyncpg
import pytest

from enablebot.shared.database.operations import Database
from enablebot.tests.database import postgres_versions
from enablebot.tests.shared.documents import (
    add_ready,
    add_vectors,
    begin,
    bring,
    claim_document,
    delete,
    get,
    read,
    reading_of,
    restore,
    rows_left,
    settle,
    traces,
)
from enablebot.tests.shared.queued_documents import of
from enablebot.tests.shared.shelf import stage
from enablebot.tests.shared.workspaces import Workspace, add_workspace

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

LANE = "D1:1700000000.000100"


@pytest.fixture
async def acme(database: Database) -> Workspace:
    return await add_workspace(database)


# For good


@postgres_versions
@pytest.mark.parametrize("moment", ["queued", "processing", "ready", "failed", "replaced", "hidden", "read anew"])
async def test_an_erased_document_leaves_no_row_in_any_table(
    database: Database, acme: Workspace, admin: Admin, moment: str
) -> None:
    before = await rows_left(admin, acme)
    brought = await bring(database, acme, b"A", channels=["C1"])
    if moment != "queued":
        claimed = await claim_document(database, brought.id)
        await database.begin_reading(**of(claimed))
        await stage(database, reading_of(claimed), ["one", "two"])
        await add_vectors(database, acme, brought.id)
        if moment == "failed":
            await database.fail_document(**of(claimed), reason="no")
        elif moment != "processing":
            await database.publish_document(**of(claimed), pages=1, title=None)
            await settle(database, claimed)
    if moment == "replaced":
        await bring(database, acme, b"B")
        claimed = await claim_document(database, brought.id)
        await database.begin_reading(**of(claimed))
        await stage(database, reading_of(claimed), ["three"])
        await begin(database, acme, b"C")
    if moment == "read anew":
        await database.reindex_document(tenant_id=acme.tenant_id, id=brought.id, actor="U1")
    if moment == "hidden":
        await delete(database, acme, brought.id, undo_seconds=600)
    assert {"documents", "document_versions", "document_pieces", "inbox", "lanes"} <= await traces(admin, brought.id)

    assert await delete(database, acme, brought.id)
    # Who deleted what stays written, and nothing else.
    assert await traces(admin, brought.id) == {"audit"}
    assert await rows_left(admin, acme) == before
    assert not await delete(database, acme, brought.id)
    assert (await database.verify_audit(tenant_id=acme.tenant_id)).ok


async def test_what_others_have_stays(database: Database, acme: Workspace, admin: Admin) -> None:
    other = await add_workspace(database)
    kept = [await add_ready(database, who, b"A", name=name) for who, name in ((acme, "b.txt"), (other, "a.txt"))]
    gone = await add_ready(database, acme, b"B", name="a.txt")
    before = [await rows_left(admin, who) for who in (acme, other)]
    await delete(database, acme, gone)
    assert {
        row.id for row in await database.list_documents(tenant_id=acme.tenant_id, after=None, limit=9, contains=None)
    } == {kept[0]}
    after = [await rows_left(admin, who) for who in (acme, other)]
    assert after[1] == before[1]
    assert (after[0]["passages"], after[0]["documents"], after[0]["document_pieces"]) == (2, 1, 1)
    assert {
        await admin.fetchval("select sum(df) from enablebot.terms where tenant_id = $1", who.tenant_id)
        for who in (acme, other)
    } != {None}


@postgres_versions
@pytest.mark.parametrize("undo_seconds", [0, 600])
async def test_deleting_wins_over_reading(database: Database, acme: Workspace, admin: Admin, undo_seconds: int) -> None:
    brought = await bring(database, acme)
    claimed = await claim_document(database, brought.id)
    await database.begin_reading(**of(claimed))
    assert await stage(database, reading_of(claimed), ["one"])
    await delete(database, acme, brought.id, undo_seconds)
    assert not await stage(database, reading_of(claimed), ["two"], first_position=1)
    assert (await database.begin_reading(**of(claimed))).gone
    assert (await database.note_progress(**of(claimed), progress=5)).gone
    assert (await database.publish_document(**of(claimed), pages=1, title=None)).gone
    assert (await database.fail_document(**of(claimed), reason="no")).gone
    await settle(database, claimed)
    if undo_seconds == 0:
        assert await traces(admin, brought.id) == {"audit"}


async def test_deleting_and_publishing_at_the_same_moment_leave_nothing(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    for n in range(15):
        brought = await bring(database, acme, bytes([n]))
        claimed = await claim_document(database, brought.id)
        await database.begin_reading(**of(claimed))
        work = [stage(database, reading_of(claimed), ["one"]), delete(database, acme, brought.id)]
        if n % 2:
            await stage(database, reading_of(claimed), ["two"], first_position=1)
            work.append(_publish(database, claimed))
        await asyncio.gather(*work)
        assert await traces(admin, brought.id) == {"audit"}, n


async def _publish(database: Database, claimed: Any) -> bool:
    return not (await database.publish_document(**of(claimed), pages=1, title=None)).gone


# With time to undo


async def test_a_hidden_document_is_gone_from_lists_and_comes_back_as_it_was(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    document_id = await add_ready(database, acme, b"A", channels=["C1"])
    before = await get(database, acme, document_id)
    assert await delete(database, acme, document_id, 600)
    assert await delete(database, acme, document_id, 600)
    assert await database.list_documents(tenant_id=acme.tenant_id, after=None, limit=9, contains=None) == []
    assert (
        await database.read_document_piece(tenant_id=acme.tenant_id, document_id=document_id, version=1, piece=0)
        is None
    )
    (hidden,) = await database.list_deleted_documents(tenant_id=acme.tenant_id, limit=9)
    assert hidden.deleted_at is not None
    assert hidden.undo_until is not None
    assert 590 <= (hidden.undo_until - hidden.deleted_at).total_seconds() <= 601
    named: dict[str, Any] = {"tenant_id": acme.tenant_id, "id": document_id, "actor": "U1"}
    assert (await database.reindex_document(**named)).gone
    assert not (await database.bind_document(**named, channels=["C9"])).bound
    assert await restore(database, acme, document_id) == (True, False)
    assert await restore(database, acme, document_id) == (False, False)
    assert await get(database, acme, document_id) == before
    assert await database.list_deleted_documents(tenant_id=acme.tenant_id, limit=9) == []
    actions = await admin.fetch("select action from enablebot.audit where actor = 'U9' order by seq")
    assert [row["action"] for row in actions] == ["document.delete", "document.restore"]


async def test_what_was_hidden_while_it_was_read_is_read_once_it_is_back(database: Database, acme: Workspace) -> None:
    brought = await bring(database, acme)
    claimed = await claim_document(database, brought.id)
    await delete(database, acme, brought.id, 600)
    assert (await database.begin_reading(**of(claimed))).gone
    await settle(database, claimed)
    assert await restore(database, acme, brought.id) == (True, False)
    await read(database, await claim_document(database, brought.id))
    assert (await get(database, acme, brought.id)).status == "ready"


async def test_whoever_missed_that_it_was_hidden_and_back_leaves_it_to_the_next(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    brought = await bring(database, acme)
    claimed = await claim_document(database, brought.id)
    await database.begin_reading(**of(claimed))
    await delete(database, acme, brought.id, 600)
    await restore(database, acme, brought.id)
    assert await database.claim_documents(worker="w", limit=9, tenant_cap=9, lease_seconds=60) == []
    assert not await stage(database, reading_of(claimed), ["one"])
    assert (await database.note_progress(**of(claimed), progress=9)).gone
    assert not await _publish(database, claimed)
    await settle(database, claimed)
    await read(database, await claim_document(database, brought.id))
    assert (await get(database, acme, brought.id)).status == "ready"
    assert await admin.fetchval("select count(*) from enablebot.passages") == 2
    assert await admin.fetchval("select sum(live) from enablebot.lanes") == 0


async def test_a_hidden_document_whose_place_is_taken_stays_hidden(database: Database, acme: Workspace) -> None:
    first = await add_ready(database, acme, b"A")
    await delete(database, acme, first, 600)
    by_name = await bring(database, acme, b"B")
    assert (by_name.outcome, by_name.id == first) == ("new", False)
    assert await restore(database, acme, first) == (False, True)
    await delete(database, acme, by_name.id)
    by_bytes = await bring(database, acme, b"A", name="b.txt")
    assert by_bytes.outcome == "new"
    assert await restore(database, acme, first) == (False, True)
    await delete(database, acme, by_bytes.id, 600)
    assert await restore(database, acme, first) == (True, False)
    assert await restore(database, acme, by_bytes.id) == (False, True)


async def test_two_who_want_the_same_place_back_do_not_both_get_it(database: Database, acme: Workspace) -> None:
    ids = []
    for n in range(6):
        ids.append((await bring(database, acme, bytes([n]))).id)
        await delete(database, acme, ids[-1], 600)
    outcomes = await asyncio.gather(
        *(restore(database, acme, one) for one in ids), *(bring(database, acme, b"new") for _ in range(2))
    )
    assert len(await database.list_documents(tenant_id=acme.tenant_id, after=None, limit=9, contains=None)) == 1
    assert outcomes[:6].count((True, False)) <= 1
