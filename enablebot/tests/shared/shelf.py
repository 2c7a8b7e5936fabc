"""Documents to search in: their rows are put there by the superuser, their passages by the product's own calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg

from enablebot.shared.database.operations import Database
from enablebot.shared.knowledge.terms import Weighed, weigh
from enablebot.shared.models.passage import in_context

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

BATCH = 100


@dataclass(frozen=True)
class Reading:
    """A version of a document that is being read, with the claim it is read under."""

    tenant_id: UUID
    document_id: UUID
    version: int
    event_id: int
    claim_token: UUID
    title: str


async def begin(
    admin: Admin,
    tenant_id: UUID,
    *,
    title: str = "A document",
    channels: Sequence[str] = (),
    lane: str | None = None,
    replaces: UUID | None = None,
) -> Reading:
    """Put a document, or the next version of one, where ingest begins to read it."""
    document_id, token = replaces or uuid4(), uuid4()
    async with admin.transaction():
        if replaces is None:
            await admin.execute(
                "insert into enablebot.documents "
                "(tenant_id, id, name, title, has_given_title, lane, latest_version, begun_versions) "
                "values ($1, $2, $3, $4, true, $5, 1, 1)",
                *(tenant_id, document_id, f"{document_id}.txt", title, lane),
            )
        version = await admin.fetchval(
            "select 1 + count(*)::int from enablebot.document_versions where tenant_id = $1 and document_id = $2",
            *(tenant_id, document_id),
        )
        await admin.execute(
            "insert into enablebot.document_versions (tenant_id, document_id, version, original, status, format, "
            "size_bytes, content_hash, title, source, added_by) "
            "values ($1, $2, $3, $3, 'processing', 'text', 1, $4, $5, 'api', 'U1')",
            *(tenant_id, document_id, version, uuid4().bytes * 2, title),
        )
        await admin.execute(
            "update enablebot.documents set begun_versions = $3, latest_version = $3 where tenant_id = $1 and id = $2",
            *(tenant_id, document_id, version),
        )
        for channel in channels:
            await admin.execute(
                "insert into enablebot.document_channels values ($1, $2, $3)", tenant_id, document_id, channel
            )
        event_id = await admin.fetchval(
            "insert into enablebot.inbox (tenant_id, event_key, lane, kind, state, claim_token, lease_until) "
            "values ($1, $2, $3, 'document', 'claimed', $4, now() + interval '1 hour') returning id",
            *(tenant_id, f"document:{document_id}:{version}", f"document:{document_id}", token),
        )
    return Reading(tenant_id, document_id, version, event_id, token, title)


async def stage(
    database: Database,
    reading: Reading,
    texts: Sequence[str],
    *,
    headings: Sequence[Sequence[str]] | None = None,
    places: Sequence[Mapping[str, Any]] | None = None,
    first_position: int = 0,
    weighed: Sequence[Weighed] | None = None,
) -> bool:
    """Stage passages in batches, as ingest does; False when the document was gone."""
    headings = headings or [()] * len(texts)
    places = places or [{}] * len(texts)
    weighed = weighed or [
        weigh(reading.tenant_id, in_context(reading.title, heading, text))
        for heading, text in zip(headings, texts, strict=True)
    ]
    for start in range(0, len(texts), BATCH):
        these = slice(start, start + BATCH)
        staged = await database.stage_passages(
            tenant_id=reading.tenant_id,
            document_id=reading.document_id,
            version=reading.version,
            event_id=reading.event_id,
            claim_token=reading.claim_token,
            positions=range(first_position + start, first_position + start + len(texts[these])),
            texts=texts[these],
            headings=headings[these],
            places=places[these],
            tokens=[each.count for each in weighed[these]],
            term_ids=[each.ids for each in weighed[these]],
            weights=[each.weights for each in weighed[these]],
        )
        if staged.gone:
            return False
    return True


async def publish(admin: Admin, reading: Reading) -> None:
    """Make a version the live one; the one before it goes, with its passages."""
    async with admin.transaction():
        await admin.execute("select enablebot.work_for(array[$1::uuid])", reading.tenant_id)
        before = await admin.fetchval(
            "select live_version from enablebot.documents where tenant_id = $1 and id = $2 for update",
            *(reading.tenant_id, reading.document_id),
        )
        await admin.execute(
            "update enablebot.documents set live_version = $3 where tenant_id = $1 and id = $2",
            *(reading.tenant_id, reading.document_id, reading.version),
        )
        if before is not None:
            await admin.execute(
                "select enablebot.inner_drop_passages($1, $2, $3)", reading.tenant_id, reading.document_id, before
            )


async def drop(admin: Admin, reading: Reading) -> None:
    """Erase a document with all its versions."""
    async with admin.transaction():
        await admin.execute("select enablebot.work_for(array[$1::uuid])", reading.tenant_id)
        await admin.execute(
            "select from enablebot.documents where tenant_id = $1 and id = $2 for update",
            *(reading.tenant_id, reading.document_id),
        )
        await admin.execute(
            "select enablebot.inner_drop_passages($1, $2, null)", reading.tenant_id, reading.document_id
        )
        for table, column in (
            ("document_channels", "document_id"),
            ("document_versions", "document_id"),
            ("documents", "id"),
        ):
            await admin.execute(
                f"delete from enablebot.{table} where tenant_id = $1 and {column} = $2",
                *(reading.tenant_id, reading.document_id),
            )


async def add(database: Database, admin: Admin, tenant_id: UUID, texts: Sequence[str], **about: Any) -> Reading:
    """Add a document with these passages, searchable when this returns."""
    reading = await begin(admin, tenant_id, **about)
    assert await stage(database, reading, texts)
    await publish(admin, reading)
    return reading
