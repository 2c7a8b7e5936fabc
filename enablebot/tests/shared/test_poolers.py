"""Poolers: the same calls through PgBouncer in transaction and in session mode, and what is said without the option."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from enablebot.shared.database.init_db import functions, migrate, migrations
from enablebot.shared.database.operations import Database, operation_names
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.errors import DatabaseError, DatabaseUnavailable
from enablebot.tests.database import PostgresServer
from enablebot.tests.pgbouncer import Mode, pgbouncer
from enablebot.tests.shared.test_conformance import whole_life
from enablebot.tests.shared.workspaces import add_workspace

pytestmark = pytest.mark.anyio

SERVICES = "enablebot_test_services"


@asynccontextmanager
async def through(url: str, *, pool_size: int = 10, timeout_seconds: float = 10) -> AsyncIterator[Database]:
    transport = await PostgresTransport.connect(url, pool_size=pool_size, timeout_seconds=timeout_seconds)
    try:
        yield Database(transport)
    finally:
        await transport.aclose()


@pytest.mark.parametrize(
    ("mode", "port", "options"),
    [("transaction", 6543, ""), ("transaction", None, "?pgbouncer=true&connection_limit=1"), ("session", None, "")],
    ids=["transaction-by-port", "transaction-by-name", "session"],
)
async def test_every_operation_works_through_a_pooler(
    postgres_server: PostgresServer, database_name: str, tmp_path: Path, mode: Mode, port: int | None, options: str
) -> None:
    with pgbouncer(postgres_server, tmp_path, mode=mode, port=port) as pooler:
        await open_every_connection(pooler.url(database_name, login=SERVICES), many=3)
        async with through(pooler.url(database_name, login=SERVICES, options=options)) as database:
            await whole_life(database)


async def test_many_clients_on_few_connections_all_get_their_own_answers(
    postgres_server: PostgresServer, database_name: str, tmp_path: Path
) -> None:
    with pgbouncer(postgres_server, tmp_path, mode="transaction", pool_size=2) as pooler:
        url = pooler.url(database_name, login=SERVICES, options="?pgbouncer=true")
        async with through(url, pool_size=20) as database:
            workspaces = [await add_workspace(database) for _ in range(20)]

            async def ask(number: int) -> None:
                workspace = workspaces[number % 20]
                route = await database.find_route_of_tenant(tenant_id=workspace.tenant_id)
                assert route is not None
                assert route.tenant_id == workspace.tenant_id
                missing = (await database.schema_version(functions=[f"absent_{number}"])).missing
                assert missing == (f"absent_{number}",)

            await asyncio.gather(*map(ask, range(200)))


async def test_without_the_option_the_error_names_it(
    postgres_server: PostgresServer, database_name: str, tmp_path: Path
) -> None:
    with pgbouncer(postgres_server, tmp_path, mode="transaction", pool_size=2) as pooler:
        url = pooler.url(database_name, login=SERVICES)
        await open_every_connection(url, many=2)
        async with through(url, pool_size=1) as database:
            await database.get_inbox_depth()
            with pytest.raises(DatabaseError, match=r"Add `\?pgbouncer=true` to DATABASE_URL"):
                await database.get_inbox_depth()


async def test_a_call_given_up_leaves_the_pooler_usable(
    postgres_server: PostgresServer, database_name: str, admin: "asyncpg.Connection[asyncpg.Record]", tmp_path: Path
) -> None:
    with pgbouncer(postgres_server, tmp_path, mode="transaction", pool_size=1) as pooler:
        url = pooler.url(database_name, login=SERVICES, options="?pgbouncer=true")
        async with through(url, pool_size=4, timeout_seconds=0.5) as database:
            async with admin.transaction():
                await admin.execute("lock table enablebot.inbox in access exclusive mode")
                with pytest.raises(DatabaseUnavailable):
                    await database.get_inbox_depth()
                # The only connection is free again: the server was told to stop waiting.
                await waiting_ends(admin)
            assert (await database.get_inbox_depth()).ready == 0


async def open_every_connection(url: str, *, many: int) -> None:
    """Make the pooler open all it may, so that from here on each call meets another."""
    callers = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(many)]
    for caller in callers:
        await caller.execute("begin")
    for caller in callers:
        await caller.execute("rollback")
        await caller.close()


async def waiting_ends(admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    waiting = "select exists (select from pg_locks where not granted and relation = 'enablebot.inbox'::regclass)"
    async with asyncio.timeout(10):
        while await admin.fetchval(waiting):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_migrations_run_through_a_pooler(postgres_server: PostgresServer, tmp_path: Path, mode: Mode) -> None:
    everything = [file.name for file in (*migrations(), *functions())]
    with postgres_server.empty() as name, pgbouncer(postgres_server, tmp_path, mode=mode) as pooler:
        url = pooler.url(name)
        applied = await asyncio.gather(migrate(url), migrate(url))
        assert sorted([*applied[0], *applied[1]]) == sorted(everything)
        async with through(f"{url}?pgbouncer=true") as database:
            assert (await database.schema_version(functions=operation_names())).missing == ()


@pytest.mark.slow
async def test_the_demo_plays_to_its_end_through_a_transaction_pooler(
    postgres_server: PostgresServer, database_name: str, tmp_path: Path
) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    with pgbouncer(postgres_server, tmp_path, mode="transaction", port=6543) as pooler:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "enablebot", "demo"),
            env=kept
            | {
                "PYTHONPATH": str(Path(__file__).parents[3]),
                "ENABLEBOT_DATA_DIR": str(tmp_path / "data"),
                "DATABASE_URL": pooler.url(database_name, login=SERVICES),
                "DATABASE_ADMIN_URL": pooler.url(database_name),
            },
            cwd=tmp_path,
            stdout=PIPE,
            stderr=STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, output.decode()
    assert "every act ended as it must" in output.decode()
