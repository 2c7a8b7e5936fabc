"""What a running api does on the side, over a real database."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
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
from enablebot.shared.knowledge.library import Library
from enablebot.shared.knowledge.originals import InDatabase
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
    monkeypatch.setattr(upkeep_module, "PURGE_SECONDS", 0.01)


async def accept(database: Database, installations: Installations) -> None:
    await install(installations, TEAM)
    whole = envelope(direct())
    relevant = relevance(whole)
    assert relevant is not None
    assert await Intake(database, installations).accept(relevant, written(whole)) == "accepted"


async def looked(database: Database, times: int) -> None:
    """Wait until the inbox was counted so many times more."""
    count, counted = database.get_inbox_depth, asyncio.Semaphore(0)

    async def noting() -> Any:
        counted.release()
        return await count()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "get_inbox_depth", noting)
        for _ in range(times + 1):
            await counted.acquire()


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
@pytest.mark.parametrize(("ahead", "word"), [(600.0, "ahead of"), (-7200.0, "behind")])
async def test_a_clock_that_goes_wrong_is_complained_of_once_with_figures_and_its_return_is_told(
    api_database: Database, caplog: pytest.LogCaptureFixture, ahead: float, word: str
) -> None:
    caplog.set_level(logging.INFO)
    metrics, skew = Metrics(), 0.0
    upkeep = Upkeep(api_database, metrics, now=lambda: datetime.now(UTC) + timedelta(seconds=skew))

    def shown() -> float:
        return metrics.registry.get_sample_value("enablebot_clock_skew_seconds") or 0.0

    upkeep.start()
    try:
        async with asyncio.timeout(20):
            await looked(api_database, 3)
            assert abs(shown()) < 60
            assert "clock" not in caplog.text
            skew = ahead
            while abs(shown() - ahead) > 30:
                await asyncio.sleep(0.01)
            await looked(api_database, 3)
            assert caplog.text.count(f"clock is {abs(ahead):.0f} s {word} the database's") == 1
            skew = 0.0
            while abs(shown()) > 30:
                await asyncio.sleep(0.01)
            await looked(api_database, 3)
            assert caplog.text.count("agrees with the database's again") == 1
    finally:
        await upkeep.aclose()


async def test_the_time_a_call_takes_is_no_skew(api_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep_module, "DEPTH_SECONDS", 3600.0)
    metrics, calls = Metrics(), 0

    def slow_call() -> datetime:
        nonlocal calls
        calls += 1
        return datetime.now(UTC) + timedelta(seconds=-300 if calls == 1 else 300)

    upkeep = Upkeep(api_database, metrics, now=slow_call)
    upkeep.start()
    try:
        async with asyncio.timeout(20):
            while ready(metrics) is None:
                await asyncio.sleep(0.01)
    finally:
        await upkeep.aclose()
    assert metrics.registry.get_sample_value("enablebot_clock_skew_seconds") == 0


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


@pytest.mark.usefixtures("hasty")
async def test_documents_that_are_due_are_erased_and_those_that_may_be_restored_are_not(
    database: Database, installations: Installations, admin: Admin
) -> None:
    tenant_id = await install(installations, TEAM)
    library = Library(database, installations, InDatabase(), most_documents=9, most_bytes=2**20)
    gone, hidden, kept = [
        (await library.add(tenant_id, name=name, content=name.encode(), source="api", added_by="U1")).document.id
        for name in ("gone.txt", "hidden.txt", "kept.txt")
    ]
    for document_id in (gone, hidden):
        await library.delete(tenant_id, document_id, undo_seconds=600, actor="U1")
    await admin.execute("update enablebot.documents set due_at = now() where id = $1", gone)
    failures = iter([DatabaseUnavailable("no")])

    async def purge() -> int:
        for failure in failures:
            raise failure
        return await library.purge()

    upkeep = Upkeep(database, Metrics(), purge_documents=purge)
    upkeep.start()
    try:
        async with asyncio.timeout(20):
            while await admin.fetchval("select count(*) from enablebot.documents where id = $1", gone):
                await asyncio.sleep(0.01)
    finally:
        await upkeep.aclose()
    assert {row["id"] for row in await admin.fetch("select id from enablebot.documents")} == {hidden, kept}
    assert (await library.restore(tenant_id, hidden, actor="U1")).status == "queued"
