"""Stop, delete and lifecycle events: never behind what waits, never held up by a cap, and a wall around each."""

import asyncio
from typing import TypeAlias

import asyncpg
import pytest

from enablebot.shared.database.models import ClaimedEventRow, EventKind
from enablebot.shared.database.operations import Database
from enablebot.tests.database import postgres_versions
from enablebot.tests.shared.workspaces import Event, Workspace, accept, add_installed, claim, settle

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

URGENT: tuple[EventKind, ...] = ("stop", "delete", "lifecycle")


def urgent(kind: EventKind = "stop") -> Event:
    return Event(lane=None, joins=False, kind=kind)


async def claim_urgent(database: Database, *, limit: int = 10, worker: str = "worker") -> list[ClaimedEventRow]:
    return await database.claim_urgent_events(worker=worker, limit=limit, lease_seconds=60)


async def add_waiting(admin: Admin, workspace: Workspace, many: int) -> None:
    await admin.execute(
        "insert into enablebot.inbox (tenant_id, event_key, kind, state) "
        "select $1, 'w' || g, 'message', 'ready' from generate_series(1, $2::int) g",
        workspace.tenant_id,
        many,
    )
    await admin.execute(
        "insert into enablebot.event_bodies select tenant_id, id, 'sealed', tenant_id from enablebot.inbox "
        "where event_key like 'w%'"
    )


@postgres_versions
@pytest.mark.parametrize("kind", URGENT)
async def test_an_urgent_event_overtakes_whatever_waits_for_its_workspace(
    database: Database, admin: Admin, kind: EventKind
) -> None:
    acme = await add_installed(database)
    await add_waiting(admin, acme, 300)
    await accept(database, (acme, event := urgent(kind)))
    (claimed,) = await claim(database, limit=1)
    assert (claimed.event_key, claimed.kind) == (event.event_key, kind)


async def test_the_cap_holds_no_urgent_event_up_and_urgent_events_do_not_count_towards_it(database: Database) -> None:
    acme = await add_installed(database)
    await accept(database, *((acme, Event()) for _ in range(6)))
    assert len(await claim(database, tenant_cap=2)) == 2
    await accept(database, *((acme, urgent(kind)) for kind in URGENT))
    assert sorted(event.kind for event in await claim(database, tenant_cap=2)) == sorted(URGENT)
    # Three urgent ones are running and none of them takes the place of a question.
    assert len(await claim(database, tenant_cap=3)) == 1


async def test_a_worker_without_room_gets_urgent_events_and_nothing_else(database: Database) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    await accept(database, (acme, Event()), (acme, event := urgent()), (other, Event()))
    assert [claimed.event_key for claimed in await claim_urgent(database)] == [event.event_key]
    assert await claim_urgent(database) == []
    assert len(await claim(database)) == 2


@postgres_versions
async def test_claimers_at_once_share_no_urgent_event(database: Database) -> None:
    workspaces = [await add_installed(database) for _ in range(3)]
    events = [(workspace, urgent()) for workspace in workspaces for _ in range(10)]
    await accept(database, *events)
    batches = await asyncio.gather(
        *(claim_urgent(database, limit=4) for _ in range(5)), *(claim(database, limit=4) for _ in range(5))
    )
    seen = [claimed.event_key for batch in batches for claimed in batch]
    seen += [claimed.event_key for claimed in await claim_urgent(database, limit=100)]
    assert sorted(seen) == sorted(event.event_key for _, event in events)


async def test_a_flood_of_one_workspace_s_urgent_events_does_not_hold_another_s_up(database: Database) -> None:
    busy, quiet = await add_installed(database), await add_installed(database)
    await accept(database, *((busy, urgent("delete")) for _ in range(50)))
    await accept(database, (quiet, event := urgent()))
    # From wherever it begins, a claim for two meets both.
    for _ in range(5):
        claimed = await claim_urgent(database, limit=2)
        assert event.event_key in {one.event_key for one in claimed}
        await settle(database, *claimed, outcome="release")


async def test_a_claim_has_room_for_questions_beside_what_is_urgent(database: Database) -> None:
    acme = await add_installed(database)
    await accept(database, (acme, urgent()), *((acme, Event()) for _ in range(5)))
    kinds = [event.kind for event in await claim(database, limit=4)]
    assert kinds == ["stop", "mention", "mention", "mention"]


async def test_an_urgent_event_that_another_transaction_holds_is_passed_by(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    await accept(database, (acme, held := urgent()), (acme, free := urgent()))
    async with admin.transaction():
        await admin.execute("select from enablebot.inbox where event_key = $1 for update", held.event_key)
        assert [event.event_key for event in await claim_urgent(database)] == [free.event_key]


async def test_an_urgent_event_whose_worker_died_comes_back(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    await accept(database, (acme, urgent()))
    (lost,) = await claim_urgent(database)
    await admin.execute("update enablebot.inbox set lease_until = now() - interval '1 second'")
    (found,) = await claim_urgent(database)
    assert (found.id, found.attempts, found.was_lost) == (lost.id, 2, True)
    assert await settle(database, lost) == ["stale"]


async def test_a_delayed_urgent_event_waits_for_its_time(database: Database) -> None:
    acme = await add_installed(database)
    await accept(database, (acme, urgent()))
    await settle(database, *await claim_urgent(database), outcome="retry", delay=3600)
    assert await claim_urgent(database) == []
    assert await claim(database) == []
