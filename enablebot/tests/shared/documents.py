"""Documents in the database: brought piece by piece, read and published by the product's own calls."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg

from enablebot.shared.database.document_rows import BegunDocumentRow, DocumentRow
from enablebot.shared.database.models import ClaimedDocumentRow
from enablebot.shared.database.operations import Database
from enablebot.shared.models.document import PIECE_BYTES
from enablebot.tests.shared.queued_documents import claim_documents, of
from enablebot.tests.shared.shelf import Reading, stage
from enablebot.tests.shared.workspaces import Workspace

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True)
class Brought:
    """A version of a document that was brought to the inbox."""

    id: UUID
    version: int
    outcome: str
    queued: bool


async def begin(
    database: Database, workspace: Workspace, content: bytes = b"A", *, name: str = "a.txt", **changes: Any
) -> BegunDocumentRow:
    """Make room for a document."""
    values: dict[str, Any] = {
        "tenant_id": workspace.tenant_id,
        "id": uuid4(),
        "name": name,
        "title": None,
        "format": "text",
        "size_bytes": len(content),
        "content_hash": sha256(content).digest(),
        "source": "dashboard",
        "added_by": "U1",
        "channels": [],
        "lane": None,
        "most_documents": 1000,
        "most_bytes": 10**9,
        **changes,
    }
    return await database.begin_document(**values)


async def fill(
    database: Database, workspace: Workspace, begun: BegunDocumentRow, content: bytes = b"A", *, elsewhere: bool = False
) -> None:
    """Bring all pieces, as if they had been sealed; or say that they lie elsewhere."""
    for number, start in enumerate(range(0, len(content), PIECE_BYTES)):
        await database.add_document_piece(
            **version_of(workspace, begun),
            piece=number,
            sealed=None if elsewhere else content[start : start + PIECE_BYTES],
            data_key_id=workspace.data_key_id,
        )


async def bring(
    database: Database,
    workspace: Workspace,
    content: bytes = b"A",
    *,
    name: str = "a.txt",
    elsewhere: bool = False,
    **changes: Any,
) -> Brought:
    """Begin, fill and queue a document, as the library does."""
    begun = await begin(database, workspace, content, name=name, **changes)
    assert begun.id is not None
    assert begun.version is not None
    if begun.outcome == "same":
        return Brought(begun.id, begun.version, "same", False)
    await fill(database, workspace, begun, content, elsewhere=elsewhere)
    queued = await database.queue_document(**version_of(workspace, begun))
    return Brought(begun.id, begun.version, begun.outcome, queued.queued)


async def claim_document(database: Database, document_id: UUID, version: int | None = None) -> ClaimedDocumentRow:
    """Claim everything, and return the event of this document."""
    (claimed,) = [
        row
        for row in await claim_documents(database, limit=100, tenant_cap=100)
        if row.document_id == document_id and version in (None, row.version)
    ]
    return claimed


async def read(
    database: Database,
    claimed: ClaimedDocumentRow,
    texts: tuple[str, ...] = ("one", "two"),
    *,
    title: str | None = None,
) -> None:
    """Read a claimed version and publish it; its event is settled."""
    assert not (await database.begin_reading(**of(claimed))).gone
    assert await stage(database, reading_of(claimed), texts)
    assert not (await database.publish_document(**of(claimed), pages=1, title=title)).gone
    await settle(database, claimed)


async def settle(database: Database, claimed: ClaimedDocumentRow) -> None:
    """Settle the event of a document as done; one that went with its document is nobody's any more."""
    await database.settle_events(
        tenant_ids=[claimed.tenant_id],
        ids=[claimed.id],
        tokens=[claimed.claim_token],
        outcomes=["done"],
        reasons=[None],
        delays=[0],
    )


async def add_ready(
    database: Database, workspace: Workspace, content: bytes = b"A", *, name: str = "a.txt", **changes: Any
) -> UUID:
    """Return a document that is searchable."""
    brought = await bring(database, workspace, content, name=name, **changes)
    await read(database, await claim_document(database, brought.id))
    return brought.id


async def get(database: Database, workspace: Workspace, document_id: UUID) -> DocumentRow:
    """Return a document that is there."""
    found = await database.get_document(tenant_id=workspace.tenant_id, id=document_id)
    assert found is not None
    return found


def reading_of(claimed: ClaimedDocumentRow) -> Reading:
    """The claim in the form in which passages are staged."""
    return Reading(title="A document", **of(claimed))


def version_of(workspace: Workspace, begun: BegunDocumentRow) -> dict[str, Any]:
    """Return the arguments that name a version."""
    return {"tenant_id": workspace.tenant_id, "document_id": begun.id, "version": begun.version}


async def add_shelved(database: Database, workspace: Workspace) -> UUID:
    """Give a workspace a document that has rows in every table documents fill."""
    document_id = await add_ready(database, workspace, workspace.team_id.encode(), channels=["C1"])
    await add_vectors(database, workspace, document_id)
    return document_id


async def add_vectors(database: Database, workspace: Workspace, document_id: UUID) -> None:
    """Give the first version's passages vectors; there are some."""
    passages = await database.list_passages_without_vectors(
        tenant_id=workspace.tenant_id, model="m", document_id=document_id, version=1, after=None, limit=10
    )
    assert passages
    await database.add_vectors(
        tenant_id=workspace.tenant_id,
        model="m",
        passage_ids=[row.id for row in passages],
        vectors=[[0.1, 0.2] for _ in passages],
    )


async def fetched(admin: Admin, query: str) -> list[tuple[Any, ...]]:
    """Return rows as plain tuples."""
    return [tuple(row) for row in await admin.fetch(query)]


async def count_rows(admin: Admin, table: str, where: str = "true") -> int:
    """Count rows of a table, of whichever workspace."""
    return int(await admin.fetchval(f"select count(*) from enablebot.{table} where {where}"))


async def traces(admin: Admin, document_id: UUID) -> set[str]:
    """Return every table of the schema that has a row in which the document's id stands, in whatever column."""
    tables = await admin.fetch(
        "select relname from pg_class where relnamespace = 'enablebot'::regnamespace and relkind in ('r', 'p')"
    )
    assert len(tables) > 20
    found = set()
    for (table,) in tables:
        # As text, so that ids within keys and arrays show too.
        if await admin.fetchval(
            f"select exists (select from enablebot.{table} t where strpos(to_jsonb(t)::text, $1) > 0)", str(document_id)
        ):
            found.add(table)
    return found


async def rows_left(admin: Admin, workspace: Workspace) -> dict[str, int]:
    """Count what a workspace has in the tables that documents fill."""
    tables = (
        *("documents", "document_versions", "document_channels", "document_pieces"),
        *("passages", "passage_vectors", "terms", "corpora", "inbox", "lanes"),
    )
    return {
        table: await admin.fetchval(
            f"select count(*) from enablebot.{table} where tenant_id = $1"
            # One row a workspace that only counts, and terms that nothing counts any more, say nothing of anybody.
            + {"corpora": " and n <> 0", "terms": " and df <> 0"}.get(table, ""),
            workspace.tenant_id,
        )
        for table in tables
    }


async def make_due(admin: Admin) -> None:
    """Let everything that will be due be due."""
    await admin.execute("update enablebot.documents set due_at = now() - interval '1 second' where due_at is not null")
    await admin.execute(
        "update enablebot.document_versions set due_at = now() - interval '1 second' where due_at is not null"
    )


async def delete(database: Database, workspace: Workspace, document_id: UUID, undo_seconds: int = 0) -> bool:
    row = await database.delete_document(
        tenant_id=workspace.tenant_id, id=document_id, undo_seconds=undo_seconds, actor="U9"
    )
    return row.deleted


async def restore(database: Database, workspace: Workspace, document_id: UUID) -> tuple[bool, bool]:
    row = await database.restore_document(tenant_id=workspace.tenant_id, id=document_id, actor="U9")
    return row.restored, row.taken
