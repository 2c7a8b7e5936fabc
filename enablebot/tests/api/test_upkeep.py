"""What a running api does on the side, over a real database."""

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import pytest

from enablebot.api import upkeep as upkeep_module
from enablebot.api.slack.intake import Intake
from enablebot.api.slack.relevance import relevance
from enablebot.api.upkeep import Upkeep
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DatabaseUnavailable
from enablebot.shared.installations import Installations
from enablebot.shared.metrics import Metrics
from enablebot.tests.api.slack_side import TEAM, direct, envelope, install, written

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

pytestmark = pytest.mark.anyio


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep_module, "DEPTH_SECONDS", 0.01)
    monkeypatch.setattr(upkeep_module, "PRUNE_SECONDS", 0.01)


async def accept(database: Database, installations: Installations) -> None:
    await install(installations, TEAM)
    whole = envelope(direct())
    relevant = relevance(whole)
    assert relevant is not None
    assert await Intake(database, installations).accept(relevant, written(whole)) == "accepted"


def ready(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("enablebot_inbox_depth", {"state": "ready"})


@pytest.mark.usefixtures("hasty")
async def test_the_inbox_is_shown_to_the_operator_and_a_lost_database_does_not_end_that(
    api_database: Database, installations: Installations, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, failures = api_database.get_inbox_depth, 2

    async def flaky() -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise DatabaseUnavailable("gone")
        return await count()

    monkeypatch.setattr(api_database, "get_inbox_depth", flaky)
    await accept(api_database, installations)
    metrics = Metrics()
    upkeep = Upkeep(api_database, metrics)
    upkeep.start()
    try:
        async with asyncio.timeout(20):
            while ready(metrics) != 1:
                await asyncio.sleep(0.01)
    finally:
        await upkeep.aclose()


@pytest.mark.usefixtures("hasty")
async def test_what_is_old_is_forgotten_and_what_waits_is_not(
    api_database: Database, installations: Installations, admin: Admin
) -> None:
    await accept(api_database, installations)
    await admin.execute(
        "insert into enablebot.dedupe_keys (tenant_id, key, created_at) "
        "select id, 'event:old', now() - interval '30 days' from enablebot.tenants"
    )
    upkeep = Upkeep(api_database, Metrics())
    upkeep.start()
    try:
        async with asyncio.timeout(20):
            while await admin.fetchval("select count(*) from enablebot.dedupe_keys where key = 'event:old'"):
                await asyncio.sleep(0.01)
    finally:
        await upkeep.aclose()
    assert await admin.fetchval("select count(*) from enablebot.inbox where state = 'ready'") == 1
    assert await admin.fetchval("select count(*) from enablebot.dedupe_keys") == 2
