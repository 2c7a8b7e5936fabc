"""The Data API's limits: 1,000 rows an answer and 8 s a statement, and what happens at each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import pytest

from enablebot.api.gathering import LARGEST_BATCH
from enablebot.api.worker import Worker
from enablebot.config.settings import WorkerSettings
from enablebot.shared.database.models import ClaimedEventRow
from enablebot.shared.database.operations import Database, operation_names
from enablebot.shared.database.supabase import SupabaseTransport
from enablebot.shared.errors import DatabaseUnavailable
from enablebot.shared.metrics import Metrics
from enablebot.shared.models.event import RunningSignal
from enablebot.shared.models.question import Outcome
from enablebot.tests.database import PostgresServer
from enablebot.tests.postgrest import data_api
from enablebot.tests.shared.test_conformance import whole_life
from enablebot.tests.shared.workspaces import Event, accept, add_workspace, claim, settle

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

pytestmark = [pytest.mark.anyio, pytest.mark.postgrest]

# Slack's events are a few thousand bytes; this is a long one.
LONG_BODY = b"\xab" * 8_192


@asynccontextmanager
async def over_data_api(
    server: PostgresServer, name: str, admin: Admin, *, statement_timeout: str = "8s", max_rows: int = 1000
) -> AsyncIterator[Database]:
    """A database behind a Data API with these limits; Supabase sets the timeout on the login, as here."""
    await admin.execute(f"alter role authenticator in database {name} set statement_timeout = '{statement_timeout}'")
    try:
        with data_api(server, name, max_rows=max_rows) as api:
            database = Database(await SupabaseTransport.connect(api.url, api.key()))
            try:
                yield database
            finally:
                await database.aclose()
    finally:
        await admin.execute(f"alter role authenticator in database {name} reset statement_timeout")


async def test_no_operation_can_return_more_than_one_row(admin: Admin) -> None:
    rows = await admin.fetch(
        "select proname, proretset, prorettype::regtype::text as returns from pg_proc "
        "where pronamespace = 'enablebot'::regnamespace and proname = any($1::text[])",
        list(operation_names()),
    )
    assert {row["proname"]: (row["proretset"], row["returns"]) for row in rows} == dict.fromkeys(
        operation_names(), (False, "jsonb")
    )


async def test_every_operation_works_where_one_row_is_all_there_is(
    postgres_server: PostgresServer, database_name: str, admin: Admin
) -> None:
    async with over_data_api(postgres_server, database_name, admin, max_rows=1) as database:
        await whole_life(database)


async def test_the_largest_batches_pass_whole_and_inside_the_timeout(
    postgres_server: PostgresServer, database_name: str, admin: Admin
) -> None:
    many = 4 * LARGEST_BATCH
    assert many > 1000
    async with over_data_api(postgres_server, database_name, admin) as database:
        workspace = await add_workspace(database)
        for body in (LONG_BODY, b"", b"", b""):
            batch = [(workspace, Event(body=body)) for _ in range(LARGEST_BATCH)]
            assert await accept(database, *batch) == ["accepted"] * LARGEST_BATCH
        claimed = await claim(database, limit=many, tenant_cap=many)
        assert len({event.event_key for event in claimed}) == many
        assert sum(event.body == LONG_BODY for event in claimed) == LARGEST_BATCH
        assert await settle(database, *claimed[:LARGEST_BATCH]) == ["settled"] * LARGEST_BATCH


class Noted:
    """Handlers that have nothing to do but to note what came."""

    def __init__(self) -> None:
        self.handled: list[str] = []

    async def handle(self, claimed: ClaimedEventRow) -> Outcome:
        self.handled.append(claimed.event_key)
        return Outcome("done")

    async def give_up(self, claimed: ClaimedEventRow, reason: str) -> Outcome:
        raise AssertionError(f"{claimed.event_key} was given up: {reason}")

    def signal(self, claimed: ClaimedEventRow, signal: RunningSignal) -> bool:
        raise AssertionError(f"{claimed.event_key} was told {signal}")


async def test_a_statement_past_the_timeout_is_unavailable_and_the_worker_goes_on(
    postgres_server: PostgresServer, database_name: str, admin: Admin, caplog: pytest.LogCaptureFixture
) -> None:
    async with over_data_api(postgres_server, database_name, admin, statement_timeout="200ms") as database:
        workspace = await add_workspace(database)
        await accept(database, (workspace, Event(event_key="EvWaits")))
        noted = Noted()
        worker = Worker(database, noted, WorkerSettings(time_scale=0.02), metrics=Metrics())
        async with admin.transaction():
            await admin.execute("lock table enablebot.inbox in access exclusive mode")
            with pytest.raises(DatabaseUnavailable) as caught:
                await database.get_inbox_depth()
            assert caught.value.details == {"function": "get_inbox_depth", "sqlstate": "57014"}
            worker.start()
            async with asyncio.timeout(10):
                while "Could not look into the inbox: database_unavailable" not in caplog.text:
                    await asyncio.sleep(0.02)
        async with asyncio.timeout(10):
            while (await database.get_inbox_depth()).ready or not noted.handled:
                await asyncio.sleep(0.02)
        await worker.drain(5)
        assert noted.handled == ["EvWaits"]
        assert await admin.fetchval("select state from enablebot.inbox") == "done"
