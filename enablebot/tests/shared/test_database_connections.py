"""The tenant wall over connections that are used again: nothing declared outlives its transaction."""

import asyncio
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest

from enablebot.shared.database import init_db
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.database.transport import Argument, Json, Transport
from enablebot.shared.errors import EnableBotError
from enablebot.tests.shared.workspaces import Workspace, add_lived_in, add_lived_in_pair

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def _leaks(connection: Admin) -> set[UUID]:
    """Return whose messages the tables' owner sees in a transaction that declared nothing."""
    async with connection.transaction():
        await connection.execute("set local role enablebot_owner")
        return {row["tenant_id"] for row in await connection.fetch("select distinct tenant_id from enablebot.messages")}


async def test_a_connection_forgets_its_tenants_with_the_transaction(database: Database, admin: Admin) -> None:
    acme, _ = await add_lived_in_pair(database)
    assert await admin.fetchval("select current_setting('enablebot.tenants', true)") is None
    assert await _leaks(admin) == set()
    for _ in range(2):
        await admin.fetchval("select enablebot.get_overview($1)", acme.tenant_id)
        # What a transaction leaves behind is '', not null: both must mean nobody.
        assert await admin.fetchval("select current_setting('enablebot.tenants', true)") == ""
        assert await _leaks(admin) == set()
    with pytest.raises(asyncpg.PostgresError):
        await admin.fetchval("select enablebot.start_session($1, null, 'U1', 'admin', 60, 60)", acme.tenant_id)
    assert await _leaks(admin) == set()


async def test_a_declaration_that_outlived_its_transaction_would_be_noticed(database: Database, admin: Admin) -> None:
    acme, _ = await add_lived_in_pair(database)
    await _plant_lasting_declarations(admin)
    await admin.fetchval("select enablebot.get_overview($1)", acme.tenant_id)
    assert await _leaks(admin) == {acme.tenant_id}


async def _plant_lasting_declarations(admin: Admin) -> None:
    body = await admin.fetchval("select prosrc from pg_proc where oid = 'enablebot.work_for'::regproc")
    assert "true)" in body
    await admin.execute(
        "create or replace function enablebot.work_for(p_tenants uuid[]) returns void language plpgsql "
        f"set search_path = pg_catalog, enablebot, pg_temp as $plant${body.replace('true)', 'false)')}$plant$"
    )


def test_no_sql_declares_tenants_beyond_its_transaction() -> None:
    texts = [*init_db.migrations(), *init_db.functions()]
    for file in texts:
        for statement in re.findall(r"set_config\(\s*'enablebot\.tenants'[^;]*;", file.text):
            assert re.search(r",\s*true\s*\)\s*;$", statement), file.name
        assert not re.search(r"\bset\s+(session\s+)?enablebot\.", file.text, re.IGNORECASE), file.name
    for path in Path(init_db.__file__).parent.rglob("*.py"):
        assert "enablebot.tenants'" not in path.read_text(encoding="utf-8"), path.name


class _AnotherBackendEachTime:
    """A transport that gives every transaction another backend, as a transaction pooler may."""

    def __init__(self, transports: list[PostgresTransport], seed: int) -> None:
        self._transports = transports
        self._random = random.Random(seed)

    async def call(self, function: str, arguments: Mapping[str, Argument]) -> Json:
        return await self._random.choice(self._transports).call(function, arguments)

    async def ping(self) -> None:
        await self._transports[0].ping()

    async def aclose(self) -> None:
        for transport in self._transports:
            await transport.aclose()


@pytest.mark.parametrize("pooling", ["one pool of four", "another backend each time"])
async def test_two_thousand_transactions_of_many_tenants_never_mix(
    database: Database, services_url: str, admin: Admin, pooling: str
) -> None:
    workspaces = [await add_lived_in(database) for _ in range(8)]
    await admin.execute(_UNDECLARED)
    transport: Transport
    if pooling == "one pool of four":
        transport = await PostgresTransport.connect(services_url, pool_size=4)
    else:
        single = [await PostgresTransport.connect(services_url, pool_size=1) for _ in range(4)]
        transport = _AnotherBackendEachTime(single, seed=1)
    assert await _storm(transport, workspaces, transactions=2000) == []


async def test_that_storm_would_notice_a_declaration_that_outlives_its_transaction(
    database: Database, services_url: str, admin: Admin
) -> None:
    workspaces = [await add_lived_in(database) for _ in range(2)]
    await admin.execute(_UNDECLARED)
    await _plant_lasting_declarations(admin)
    transport = await PostgresTransport.connect(services_url, pool_size=4)
    assert await _storm(transport, workspaces, transactions=160) != []


async def _storm(transport: Transport, workspaces: list[Workspace], *, transactions: int) -> list[str]:
    """Visit workspaces from 16 tasks, one visit in ten cancelled, and return whatever was seen of another's."""
    foreign: list[str] = []
    done = 0

    async def work(worker: int) -> None:
        nonlocal done
        chance = random.Random(worker)
        for _ in range(transactions // 16):
            task = asyncio.ensure_future(_visit(transport, chance.choice(workspaces), chance, foreign))
            if chance.random() < 0.1:
                await asyncio.sleep(chance.random() * 0.004)
                task.cancel()
            try:
                await task
            except (asyncio.CancelledError, EnableBotError):
                continue
            finally:
                done += 1

    try:
        async with asyncio.timeout(200):
            await asyncio.gather(*(work(worker) for worker in range(16)))
    finally:
        await transport.aclose()
    assert done == transactions
    return foreign


# What a function sees that declares nobody, on whichever connection it lands.
_UNDECLARED = """
    create function enablebot.undeclared() returns jsonb language plpgsql security definer
    set search_path = pg_catalog, enablebot, pg_temp as $$
    begin
      return (select coalesce(jsonb_agg(distinct tenant_id), '[]') from messages);
    end $$;
    alter function enablebot.undeclared owner to enablebot_owner;
    grant execute on function enablebot.undeclared to enablebot_api, enablebot_web"""


async def _visit(transport: Transport, workspace: Workspace, chance: random.Random, foreign: list[str]) -> None:
    """Do one thing for a workspace, sometimes wrongly, and note whatever is not its own."""
    shared = Database(transport)
    action = chance.choice(["undeclared", "overview", "installation", "session", "refused", "audit"])
    if action == "undeclared":
        if seen := await transport.call("undeclared", {}):
            foreign.append(f"undeclared {seen}")
    elif action == "overview":
        overview = await shared.get_overview(tenant_id=workspace.tenant_id)
        if overview is None or overview.tenant.id != workspace.tenant_id or overview.answered != 1:
            foreign.append(f"overview {overview}")
    elif action == "installation":
        installation = await shared.get_installation(tenant_id=workspace.tenant_id)
        if installation is None or installation.team_id != workspace.team_id:
            foreign.append(f"installation {installation}")
    elif action == "session":
        cookie = chance.randbytes(32)
        await shared.start_session(
            tenant_id=workspace.tenant_id,
            session_hash=cookie,
            user_id="U1",
            role="admin",
            idle_seconds=60,
            absolute_seconds=60,
        )
        session = await shared.find_session(session_hash=cookie)
        if session is None or session.tenant_id != workspace.tenant_id:
            foreign.append(f"session {session}")
    elif action == "refused":
        # Raises after its tenants were declared: the transaction ends by an error.
        await shared.start_session(
            tenant_id=workspace.tenant_id,
            session_hash=b"",
            user_id="U1",
            role="admin",
            idle_seconds=0,
            absolute_seconds=60,
        )
    else:
        verdict = await shared.verify_audit(tenant_id=workspace.tenant_id)
        if not verdict.ok:
            foreign.append(f"audit {verdict}")
