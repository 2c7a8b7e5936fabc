"""Where the queues are measured: one Postgres as it comes, with workspaces and events by one statement each."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from uuid import UUID, uuid4

import asyncpg

from enablebot.shared.database.embedded import EmbeddedPostgres
from enablebot.shared.database.init_db import migrate

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# As large as a sealed mention.
_BODY_BYTES = 700

_ADD_WORKSPACES = """
    insert into enablebot.tenants (id, kind, team_id, name, status, installed_at)
    select w.id, 'workspace', 'T' || w.place, 'Workspace', 'active', now()
    from unnest($1::uuid[]) with ordinality as w (id, place)"""

# What accepting leaves behind, each event in a lane of its own; in turn over the workspaces.
_ADD_WAITING = """
    with events as (
      insert into enablebot.inbox (tenant_id, event_key, lane, kind, state)
      select ($1::uuid[])[1 + g % cardinality($1::uuid[])], $3 || g, 'C1:' || $3 || g, 'mention', 'ready'
      from generate_series(1, $2::int) g
      returning tenant_id, id, lane
    ), lanes as (
      insert into enablebot.lanes (tenant_id, lane, live) select tenant_id, lane, 1 from events
    )
    insert into enablebot.event_bodies (tenant_id, event_id, body, data_key_id)
    select tenant_id, id, decode(repeat('5a', $4::int), 'hex'), tenant_id from events"""


@dataclass(frozen=True)
class Place:
    """A server that is this benchmark's own, with `fsync` and `synchronous_commit` on."""

    server: EmbeddedPostgres

    def url(self, database: str) -> str:
        return self.server.url(database=database)

    async def make(self, database: str) -> str:
        """Make an empty database, in place of one of that name, and return its URL."""
        admin = await asyncpg.connect(self.server.url())
        try:
            await admin.execute(f"drop database if exists {database} with (force)")
            await admin.execute(f"create database {database}")
        finally:
            await admin.close()
        return self.url(database)

    async def make_ours(self, database: str) -> str:
        """Make a database with EnableBot's schema and return its URL."""
        url = await self.make(database)
        await migrate(url)
        return url


@contextmanager
def place() -> Iterator[Place]:
    """Start a server and stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="enablebot-bench-") as home:
        server = EmbeddedPostgres(Path(home), settings={"max_connections": "100"})
        server.start()
        try:
            yield Place(server)
        finally:
            server.stop()


async def add_workspaces(url: str, many: int) -> list[UUID]:
    """Add installed workspaces and return their ids, in order."""
    ids = sorted(uuid4() for _ in range(many))
    admin = await asyncpg.connect(url)
    try:
        await admin.execute(_ADD_WORKSPACES, ids)
    finally:
        await admin.close()
    return ids


async def add_waiting(url: str, workspaces: list[UUID], many: int, *, body_bytes: int = _BODY_BYTES) -> None:
    """Let mentions wait, spread evenly."""
    admin = await asyncpg.connect(url)
    try:
        await admin.execute(_ADD_WAITING, workspaces, many, uuid4().hex[:8] + ":", body_bytes, timeout=300)
    finally:
        await admin.close()


async def tidy(url: str) -> None:
    """Do what autovacuum does between rounds, so that no round pays for another."""
    admin = await asyncpg.connect(url)
    try:
        await admin.execute("vacuum analyze")
        await admin.execute("checkpoint")
    finally:
        await admin.close()
