"""Claims that end otherwise than planned: leases that run out, fences, locks in one order, and what work reads."""

import asyncio
import json
import random
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest

from enablebot.shared.database.models import ClaimedEventRow, EventKind, EventOutcome
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DataRefused
from enablebot.tests.database import postgres_versions
from enablebot.tests.shared.workspaces import Event, accept, add_installed, claim, claim_one, settle

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def _let_leases_run_out(admin: Admin) -> None:
    await admin.execute("update enablebot.inbox set lease_until = now() - interval '1 second' where state = 'claimed'")


async def _claim_lost(database: Database, admin: Admin) -> list[ClaimedEventRow]:
    """Claim what was lost; what was lost more than once comes back at a time of its own, which is now."""
    await _let_leases_run_out(admin)
    claimed = await claim(database)
    await admin.execute("update enablebot.inbox set available_at = now() where state = 'ready'")
    return claimed or await claim(database)


async def _states(admin: Admin) -> list[tuple[str, str | None]]:
    rows = await admin.fetch("select state, outcome from enablebot.inbox order by id")
    return [(row["state"], row["outcome"]) for row in rows]


async def test_a_claim_whose_lease_ran_out_is_claimed_again_and_the_old_token_is_fenced_off(
    database: Database, admin: Admin
) -> None:
    acme = await add_installed(database)
    lost = await claim_one(database, acme)
    await _let_leases_run_out(admin)
    (found,) = await claim(database, worker="another")
    assert (found.id, found.attempts) == (lost.id, 2)
    assert found.claim_token != lost.claim_token
    assert await settle(database, lost) == ["stale"]
    assert await database.renew_leases(
        tenant_ids=[acme.tenant_id] * 2,
        ids=[lost.id] * 2,
        tokens=[lost.claim_token, found.claim_token],
        lease_seconds=60,
    ) == [False, True]
    assert await settle(database, found) == ["settled"]


@postgres_versions
@pytest.mark.parametrize("kind", ["mention", "message", "interaction"])
async def test_what_a_person_waits_for_comes_back_once_more_after_three_lost_claims_and_is_then_set_aside(
    database: Database, admin: Admin, kind: EventKind
) -> None:
    acme = await add_installed(database)
    poison, following = Event(lane="C1:1.1", kind=kind), Event(lane="C1:1.1")
    await accept(database, (acme, poison), (acme, following))
    for attempt in (1, 2, 3, 4):
        (claimed,) = await _claim_lost(database, admin)
        assert (claimed.event_key, claimed.attempts, claimed.is_last_word) == (poison.event_key, attempt, attempt == 4)
    (claimed,) = await _claim_lost(database, admin)
    assert claimed.event_key == following.event_key
    assert await _states(admin) == [("set_aside", "set_aside"), ("claimed", None)]
    assert await admin.fetchval("select count(*) from enablebot.event_bodies") == 2
    assert (await database.get_inbox_depth()).set_aside == 1


async def test_events_lost_twice_together_come_back_apart(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    await accept(database, *((acme, Event()) for _ in range(10)))
    assert len(await _claim_lost(database, admin)) == 10
    await _let_leases_run_out(admin)
    # Once is no pattern: they go on at once.
    assert len(await claim(database)) == 10
    await _let_leases_run_out(admin)
    await claim(database, limit=1)
    times = await admin.fetch("select distinct available_at from enablebot.inbox where attempts = 2")
    assert len(times) == 10


async def test_a_released_last_word_is_still_the_last_word(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    claimed = await claim_one(database, acme)
    for _ in range(3):
        (claimed,) = await _claim_lost(database, admin)
    await settle(database, claimed, outcome="release")
    (claimed,) = await claim(database)
    assert claimed.is_last_word
    await settle(database, claimed, outcome="retry")
    assert await _states(admin) == [("set_aside", "set_aside")]


@pytest.mark.parametrize("kind", ["stop", "delete", "lifecycle"])
async def test_what_nobody_waits_for_is_set_aside_after_three_lost_claims(
    database: Database, admin: Admin, kind: EventKind
) -> None:
    acme = await add_installed(database)
    await accept(database, (acme, Event(lane=None, joins=False, kind=kind)))
    for attempt in (1, 2, 3):
        (claimed,) = await _claim_lost(database, admin)
        assert (claimed.attempts, claimed.is_last_word) == (attempt, False)
    assert await _claim_lost(database, admin) == []
    assert await _states(admin) == [("set_aside", "set_aside")]


async def test_a_third_retry_sets_the_event_aside_and_keeps_the_reason(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    claimed = await claim_one(database, acme)
    for _ in range(2):
        await settle(database, claimed, outcome="retry", reason="model_unavailable")
        (claimed,) = await claim(database)
    assert await settle(database, claimed, outcome="retry", reason="model_unavailable") == ["settled"]
    assert await _states(admin) == [("set_aside", "set_aside")]
    assert await admin.fetchval("select reason from enablebot.inbox") == "model_unavailable"
    assert await claim(database) == []


async def test_a_renewed_lease_is_not_rescued(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    claimed = await claim_one(database, acme)
    await _let_leases_run_out(admin)
    renewed = await database.renew_leases(
        tenant_ids=[acme.tenant_id], ids=[claimed.id], tokens=[claimed.claim_token], lease_seconds=60
    )
    assert renewed == [True]
    assert await claim(database) == []


@pytest.mark.parametrize("table", ["inbox", "lanes"])
async def test_rescuing_passes_by_what_somebody_is_settling_at_this_moment(
    database: Database, admin: Admin, table: str
) -> None:
    acme = await add_installed(database)
    lost = await claim_one(database, acme)
    await settle(database, lost, outcome="retry")
    await settle(database, *await claim(database), outcome="retry")
    assert (await claim(database))[0].attempts == 3
    assert (await _claim_lost(database, admin))[0].attempts == 4
    await _let_leases_run_out(admin)
    async with admin.transaction():
        await admin.execute(f"select from enablebot.{table} for update")
        assert await claim(database) == []
    assert await claim(database) == []
    assert await _states(admin) == [("set_aside", "set_aside")]


async def test_an_event_settles_once(database: Database) -> None:
    acme = await add_installed(database)
    claimed = await claim_one(database, acme)
    assert sorted(await settle(database, claimed, claimed)) == ["settled", "stale"]
    assert await settle(database, claimed, outcome="retry") == ["stale"]
    assert await claim(database) == []


async def test_only_settled_events_lose_their_body(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    outcomes: list[EventOutcome] = ["done", "failed", "dropped", "expired", "set_aside", "retry", "release"]
    await accept(database, *((acme, Event(body=outcome.encode())) for outcome in outcomes))
    claimed = await claim(database)
    await database.settle_events(
        tenant_ids=[acme.tenant_id] * 7,
        ids=[event.id for event in claimed],
        tokens=[event.claim_token for event in claimed],
        outcomes=outcomes,
        reasons=[None] * 7,
        delays=[0.0] * 7,
    )
    kept = await admin.fetch("select body from enablebot.event_bodies order by event_id")
    assert [row["body"] for row in kept] == [b"set_aside", b"retry", b"release"]


async def test_an_unknown_outcome_is_refused(database: Database) -> None:
    acme = await add_installed(database)
    with pytest.raises(DataRefused):
        await settle(database, await claim_one(database, acme), outcome="finished")  # type: ignore[arg-type]


async def test_settles_and_renewals_of_shared_events_in_any_order_do_not_deadlock(database: Database) -> None:
    workspaces = [await add_installed(database) for _ in range(3)]
    await accept(
        database,
        *((workspace, Event(lane=f"C1:{number}.1")) for workspace in workspaces for number in range(10)),
        *((workspace, Event(lane=f"C1:{number}.1")) for workspace in workspaces for number in range(10)),
    )
    claimed = await claim(database, limit=100, tenant_cap=100)
    orders = [random.Random(seed).sample(claimed, len(claimed)) for seed in range(12)]

    async def renew(events: list[ClaimedEventRow]) -> None:
        await database.renew_leases(
            tenant_ids=[e.tenant_id for e in events],
            ids=[e.id for e in events],
            tokens=[e.claim_token for e in events],
            lease_seconds=60,
        )

    settlements = await asyncio.gather(
        *(settle(database, *order) for order in orders[:6]),
        *(accept(database, *((workspace, Event(lane="C1:5.1")) for workspace in workspaces)) for _ in range(6)),
        *(renew(order) for order in orders[6:]),
    )
    settled = [verdict for batch in settlements[:6] for verdict in batch or []]
    assert settled.count("settled") == len(claimed)
    assert len(await claim(database, limit=100, tenant_cap=100)) == 30


async def test_settling_takes_lanes_in_key_order_and_before_events_as_accepting_does(
    database: Database, admin: Admin
) -> None:
    acme = await add_installed(database)
    # The earlier event is in the lane that sorts last.
    await accept(database, (acme, Event(lane="C1:2.2")), (acme, Event(lane="C1:1.1")))
    claimed = await claim(database)
    async with admin.transaction():
        await admin.execute("select from enablebot.lanes where lane = 'C1:1.1' for update")
        settling = asyncio.create_task(settle(database, *claimed))
        waits_for_us = "select exists (select from pg_locks where pg_backend_pid() = any (pg_blocking_pids(pid)))"
        async with asyncio.timeout(30):
            while not await admin.fetchval(waits_for_us):
                await asyncio.sleep(0.01)
        # Whoever holds the first lane finds the others, and the events, free.
        await admin.execute("select from enablebot.lanes where lane = 'C1:2.2' for update nowait")
        await admin.execute("select from enablebot.inbox for update nowait")
    assert await settling == ["settled", "settled"]


# Reading


async def test_work_reads_what_it_touches_however_much_waits_and_whatever_was_planned_before(
    database: Database, admin: Admin
) -> None:
    workspaces = [await add_installed(database) for _ in range(20)]
    await admin.execute("analyze")

    async def work() -> None:
        batch = [(workspace, Event()) for workspace in workspaces[:4]]
        await admin.fetchval(
            "select enablebot.accept_events($1, $2, $2, $2, array_fill('mention'::text, array[4]), "
            "array_fill(true, array[4]), array_fill('sealed'::bytea, array[4]), $1)",
            [workspace.tenant_id for workspace, _ in batch],
            [event.event_key for _, event in batch],
        )
        claimed = json.loads(await admin.fetchval("select enablebot.claim_events('worker', null, 4, 100, 60)"))
        named = [
            [UUID(c["tenant_id"]) for c in claimed],
            [c["id"] for c in claimed],
            [UUID(c["claim_token"]) for c in claimed],
        ]
        await admin.fetchval("select enablebot.renew_leases($1, $2, $3, 60)", *named)
        await admin.fetchval(
            "select enablebot.settle_events($1, $2, $3, array['done', 'retry', 'done', 'set_aside'], "
            "array_fill(null::text, array[4]), array_fill(0::double precision, array[4]))",
            *named,
        )

    # Plans are made now, over next to nothing, and kept by this connection.
    for _ in range(8):
        await work()
    await admin.execute(
        "insert into enablebot.inbox (tenant_id, event_key, kind, state, settled_at) "
        "select ($1::uuid[])[1 + g % 20], 'x' || g, 'message', (array['ready', 'done'])[1 + g / 10000], "
        "case when g >= 10000 then now() end from generate_series(0, 19999) g",
        [workspace.tenant_id for workspace in workspaces],
    )
    await admin.execute(
        "insert into enablebot.event_bodies select tenant_id, id, 'sealed', tenant_id from enablebot.inbox "
        "where event_key like 'x%' and state = 'ready'"
    )
    # Counters of this connection, not reported yet: what was read before belongs to the filling.
    async with admin.transaction():
        before = await _rows_read(admin)
        await work()
        after = await _rows_read(admin)
    read = {name: after[name] - before.get(name, 0) for name in after if not name.startswith("tenants")}
    # Entries of claims that are over stay in the index until it is vacuumed.
    assert {name: rows for name, rows in read.items() if rows > 200} == {}
    assert read["inbox"] > 0


async def _rows_read(admin: Admin) -> dict[str, int]:
    """Rows read of each table, and entries of each index: which of them was walked tells which plan went astray."""
    rows = await admin.fetch(
        "select relname, seq_tup_read + coalesce(idx_tup_fetch, 0) as rows from pg_stat_xact_user_tables "
        "where schemaname = 'enablebot' union all "
        "select indexrelname, pg_stat_get_xact_tuples_returned(indexrelid) from pg_stat_user_indexes "
        "where schemaname = 'enablebot'"
    )
    return {row["relname"]: row["rows"] for row in rows}
