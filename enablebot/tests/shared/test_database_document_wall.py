"""Documents in the database: what other workspaces reach of them, and what everybody at once makes of them."""

import asyncio
from typing import Any, TypeAlias

import asyncpg
import pytest

from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DatabaseError, DataRefused
from enablebot.tests.shared.documents import (
    add_ready,
    bring,
    claim_document,
    reading_of,
    settle,
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


@pytest.fixture
async def other(database: Database) -> Workspace:
    return await add_workspace(database)


async def count(admin: Admin, table: str, where: str = "true") -> int:
    return int(await admin.fetchval(f"select count(*) from enablebot.{table} where {where}"))


# The wall


async def test_another_workspace_sees_and_changes_nothing(
    database: Database, acme: Workspace, other: Workspace, admin: Admin
) -> None:
    document_id = await add_ready(database, acme, b"A", channels=["C1"])
    await bring(database, acme, b"B")
    claimed = await claim_document(database, document_id)
    await database.begin_reading(**of(claimed))

    async def everything() -> list[str]:
        return [
            str(
                await admin.fetchval(
                    "select coalesce(jsonb_agg(to_jsonb(t) order by to_jsonb(t)::text), '[]')::text "
                    f"from enablebot.{table} t"
                )
            )
            for table in (
                "documents",
                "document_versions",
                "document_channels",
                "document_pieces",
                "passages",
                "inbox",
                "lanes",
            )
        ]

    before = await everything()
    theirs: dict[str, Any] = {"tenant_id": other.tenant_id, "id": document_id}
    version: dict[str, Any] = {"tenant_id": other.tenant_id, "document_id": document_id, "version": 2}
    fenced = of(claimed) | {"tenant_id": other.tenant_id}
    assert await database.get_document(**theirs) is None
    assert await database.list_document_versions(**theirs) == []
    assert await database.list_deleted_documents(tenant_id=other.tenant_id, limit=9) == []
    assert not (await database.delete_document(**theirs, undo_seconds=0, actor="U9")).deleted
    assert not (await database.delete_document(**theirs, undo_seconds=9, actor="U9")).deleted
    assert not (await database.restore_document(**theirs, actor="U9")).restored
    assert (await database.reindex_document(**theirs, actor="U9")).gone
    assert not (await database.bind_document(**theirs, channels=[], actor="U9")).bound
    assert (await database.add_document_piece(**version, piece=5, sealed=b"x", data_key_id=other.data_key_id)).gone
    assert await database.read_document_piece(**version, piece=0) is None
    assert (await database.queue_document(**version)).gone
    assert (await database.begin_reading(**fenced)).gone
    assert (await database.note_progress(**fenced, progress=9)).gone
    assert (await database.publish_document(**fenced, pages=1, title="mine")).gone
    assert (await database.fail_document(**fenced, reason="mine")).gone
    for which in (None, 1, 2):
        purged = await database.purge_document(
            tenant_id=other.tenant_id, document_id=document_id, version=which, originals_gone=True
        )
        assert not purged.purged
    assert await everything() == before
    assert await count(admin, "audit", f"tenant_id = '{other.tenant_id}'") == 0


# All at once


async def test_whoever_does_what_at_the_same_time_nothing_is_torn(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    """Adding, reading, deleting, restoring and reading anew, all of three names; what is left must fit together."""

    async def upload(n: int) -> None:
        await bring(database, acme, bytes([n % 5]) * (n % 3 + 1), name=f"{n % 3}.txt")

    async def each(what: str, n: int) -> None:
        rows = await database.list_documents(tenant_id=acme.tenant_id, after=None, limit=9, contains=None)
        hidden = await database.list_deleted_documents(tenant_id=acme.tenant_id, limit=9)
        for row in rows:
            named: dict[str, Any] = {"tenant_id": acme.tenant_id, "id": row.id, "actor": "U1"}
            if what == "delete":
                await database.delete_document(**named, undo_seconds=n % 2 * 600)
            elif what == "reindex":
                await database.reindex_document(**named)
        for row in hidden if what == "restore" else ():
            await database.restore_document(tenant_id=acme.tenant_id, id=row.id, actor="U1")

    async def ingest() -> None:
        for claimed in await database.claim_documents(worker="w", limit=3, tenant_cap=9, lease_seconds=60):
            try:
                started = await database.begin_reading(**of(claimed))
                if not started.gone and started.already is None and await stage(database, reading_of(claimed), ["t"]):
                    await database.publish_document(**of(claimed), pages=1, title=None)
            finally:
                await settle(database, claimed)

    for turn in range(12):
        work = [upload(turn + n) for n in range(6)] + [ingest() for _ in range(3)]
        work += [each(what, turn) for what in ("delete", "restore", "reindex")]
        outcomes = await asyncio.gather(*work, return_exceptions=True)
        # A piece that is missing is what an upload finds whose document was erased under it and begun anew.
        assert {type(outcome) for outcome in outcomes} <= {type(None), DataRefused}, outcomes
        assert not [o for o in outcomes if isinstance(o, DatabaseError) and not isinstance(o, DataRefused)]
    for _ in range(20):
        await ingest()

    whole = """
        select
          (select count(*) from enablebot.document_versions v where v.status not in ('uploading')
             and not exists (select from enablebot.document_pieces p
                             where p.document_id = v.document_id and p.original = v.original)) as without_bytes,
          (select count(*) from enablebot.document_pieces p
             where not exists (select from enablebot.document_versions v
                               where v.document_id = p.document_id and v.original = p.original)) as bytes_of_none,
          (select count(*) from enablebot.passages p
             where not exists (select from enablebot.documents d
                               where d.id = p.document_id and d.live_version = p.version)) as passages_of_none,
          (select count(*) from enablebot.lanes l where l.live <> (
             select count(*) from enablebot.inbox i where i.lane = l.lane
               and i.state in ('ready', 'queued', 'claimed'))) as lanes_miscounted,
          (select count(*) from enablebot.documents d where d.deleted_at is null and d.latest_version is not null
             and exists (select from enablebot.document_versions v where v.document_id = d.id
                         and v.version = d.latest_version and v.status in ('queued', 'processing'))) as never_read,
          (select count(*) from (select from enablebot.documents d where d.deleted_at is null group by d.name
             having count(*) > 1) n) as names_twice"""
    assert dict(await admin.fetchrow(whole) or {}) == dict.fromkeys(
        ("without_bytes", "bytes_of_none", "passages_of_none", "lanes_miscounted", "never_read", "names_twice"), 0
    )
