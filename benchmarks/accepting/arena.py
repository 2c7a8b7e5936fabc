"""Where they meet: a Postgres with durable commits, a database for each transport of EnableBot, one for the peers."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from benchmarks.accepting.contestants import install_everywhere
from enablebot.shared.database.config import service_logins
from enablebot.shared.database.embedded import EmbeddedPostgres
from enablebot.shared.database.init_db import migrate
from enablebot.tests.database import PostgresServer

DIRECT, OVER_DATA_API, PEERS = "direct", "over_data_api", "peers"
_BARE_TABLE = """create table bare_events (
  id bigint generated always as identity primary key, event_id text not null, body bytea not null)"""


@dataclass(frozen=True)
class Arena:
    """A running Postgres, migrated and installed into."""

    server: EmbeddedPostgres
    roles: PostgresServer
    api_login: str

    def url(self, database: str, *, user: str = "postgres") -> str:
        """The address of a database, for a login."""
        return self.server.url(user=user, database=database)

    def stored(self, database: str) -> int:
        """How many events EnableBot holds there, in whatever state."""
        return asyncio.run(_count(self.url(database)))


@contextmanager
def arena(home: Path) -> Iterator[Arena]:
    """Start it as PostgreSQL comes, fsync and synchronous_commit on, and stop it afterwards."""
    with EmbeddedPostgres(home) as server:
        # Supabase's roles first: migrations grant to them where they are.
        roles = PostgresServer(server.url(), is_ours=False)
        asyncio.run(_prepare(server, roles))
        yield Arena(server, roles, "enablebot_api_login")


async def _prepare(server: EmbeddedPostgres, roles: PostgresServer) -> None:
    await roles.prepare()
    admin = await asyncpg.connect(server.url())
    assert await admin.fetchval("show fsync") == await admin.fetchval("show synchronous_commit") == "on"
    for database in (DIRECT, OVER_DATA_API, PEERS):
        await admin.execute(f"create database {database}")
    await admin.close()
    for database in (DIRECT, OVER_DATA_API):
        await migrate(server.url(database=database))
    await service_logins(server)
    for database in (DIRECT, OVER_DATA_API):
        await install_everywhere(server.url(database=database))
    peers = await asyncpg.connect(server.url(database=PEERS))
    await peers.execute(_BARE_TABLE)
    await peers.close()


async def _count(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("select count(*) from enablebot.inbox"))
    finally:
        await connection.close()
