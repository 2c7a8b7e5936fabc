"""Documents that wait in the inbox: what the tests of their claims and of the worker's slots stand on."""

from hashlib import sha256
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg

from enablebot.shared.database.models import ClaimedDocumentRow
from enablebot.shared.database.operations import Database
from enablebot.tests.shared.workspaces import Workspace

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def add_document(database: Database, workspace: Workspace, name: str = "handbook.txt", **changes: Any) -> UUID:
    """Store and queue a document of a few bytes."""
    content = f"{name} {uuid4()}".encode()
    values: dict[str, Any] = {
        "tenant_id": workspace.tenant_id,
        "id": uuid4(),
        "name": name,
        "title": None,
        "format": "text",
        "size_bytes": len(content),
        "content_hash": sha256(content).digest(),
        "source": "api",
        "added_by": "U1",
        "channels": [],
        "lane": None,
        "most_documents": 1000,
        "most_bytes": 10**9,
        **changes,
    }
    begun = await database.begin_document(**values)
    assert begun.id is not None
    assert begun.version is not None
    named: dict[str, Any] = {"tenant_id": workspace.tenant_id, "document_id": begun.id, "version": begun.version}
    await database.add_document_piece(**named, piece=0, sealed=content, data_key_id=workspace.data_key_id)
    assert (await database.queue_document(**named)).queued
    return begun.id


async def add_waiting(admin: Admin, workspace: Workspace, many: int) -> None:
    """Put documents into the inbox that are nowhere else."""
    await admin.execute(
        "with named as (select 'document:' || gen_random_uuid() as lane from generate_series(1, $2::int)), "
        "entered as (insert into enablebot.lanes (tenant_id, lane, live) select $1, lane, 1 from named) "
        "insert into enablebot.inbox (tenant_id, event_key, lane, kind, state) "
        "select $1, lane || ':1', lane, 'document', 'ready' from named",
        workspace.tenant_id,
        many,
    )


async def claim_documents(
    database: Database, *, limit: int = 10, tenant_cap: int = 10, worker: str = "worker"
) -> list[ClaimedDocumentRow]:
    return await database.claim_documents(worker=worker, limit=limit, tenant_cap=tenant_cap, lease_seconds=60)


def of(claimed: ClaimedDocumentRow) -> dict[str, Any]:
    """Return the arguments that name a claimed document and the claim."""
    return {
        "tenant_id": claimed.tenant_id,
        "document_id": claimed.document_id,
        "version": claimed.version,
        "event_id": claimed.id,
        "claim_token": claimed.claim_token,
    }
