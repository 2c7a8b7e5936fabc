"""Accepted events: verdicts, lanes, fair claims; leases and locks are in test_database_leases.py."""

import asyncio
import random
from typing import TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest

from enablebot.shared.database.models import ClaimedEventRow, EventOutcome
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DataRefused
from enablebot.tests.database import postgres_versions
from enablebot.tests.shared.workspaces import (
    Event,
    Workspace,
    accept,
    add_installed,
    claim,
    claim_one,
    end,
    lanes_of,
    settle,
)

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


# Verdicts


async def test_an_event_is_accepted_once_and_a_duplicate_from_then_on(database: Database) -> None:
    acme = await add_installed(database)
    event = Event()
    assert await accept(database, (acme, event)) == ["accepted"]
    assert await accept(database, (acme, event)) == ["duplicate"]
    assert await accept(database, (acme, event), (acme, Event())) == ["duplicate", "accepted"]


async def test_a_message_under_two_event_ids_is_one_question(database: Database) -> None:
    acme = await add_installed(database)
    lane = "C1:1.1"
    assert await accept(database, (acme, Event(message_key="C1:1.1", lane=lane, kind="message"))) == ["accepted"]
    assert await accept(database, (acme, Event(message_key="C1:1.1", lane=lane, kind="mention"))) == ["duplicate"]


@postgres_versions
async def test_twins_and_repetitions_inside_one_batch_are_one_question(database: Database) -> None:
    acme = await add_installed(database)
    event = Event(message_key="C1:1.1")
    twin = Event(message_key="C1:1.1")
    other = Event(message_key="C1:2.2")
    verdicts = await accept(database, (acme, event), (acme, twin), (acme, other), (acme, event))
    assert verdicts == ["accepted", "duplicate", "accepted", "duplicate"]
    assert len(await claim(database)) == 2


async def test_one_workspace_s_keys_say_nothing_about_another_s(database: Database) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    event = Event(message_key="C1:1.1")
    assert await accept(database, (acme, event), (other, event)) == ["accepted", "accepted"]
    assert await accept(database, (other, event), (acme, event)) == ["duplicate", "duplicate"]


async def test_a_reply_is_ours_only_where_the_bot_takes_part(database: Database) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    lane = "C1:1.1"
    reply = Event(lane=lane, joins=False, kind="message")
    assert await accept(database, (acme, reply)) == ["not_ours"]
    await accept(database, (acme, Event(lane=lane)))
    assert await accept(database, (acme, reply)) == ["accepted"]
    # The other workspace's channel may well have the same id and time.
    assert await accept(database, (other, reply)) == ["not_ours"]


async def test_a_reply_that_was_not_ours_does_not_hide_the_mention_it_is_twin_of(database: Database) -> None:
    acme = await add_installed(database)
    as_message = Event(message_key="C1:2.2", lane="C1:1.1", joins=False, kind="message")
    as_mention = Event(message_key="C1:2.2", lane="C1:1.1")
    assert await accept(database, (acme, as_message)) == ["not_ours"]
    assert await accept(database, (acme, as_mention)) == ["accepted"]
    assert await accept(database, (acme, as_message)) == ["duplicate"]


@postgres_versions
async def test_a_batch_is_judged_as_if_its_events_came_one_by_one(database: Database) -> None:
    acme = await add_installed(database)
    lane = "C1:1.1"
    as_message = Event(message_key="C1:2.2", lane=lane, joins=False, kind="message")
    as_mention = Event(message_key="C1:2.2", lane=lane)
    reply = Event(message_key="C1:3.3", lane=lane, joins=False, kind="message")
    verdicts = await accept(database, (acme, as_message), (acme, as_mention), (acme, as_message), (acme, reply))
    assert verdicts == ["not_ours", "accepted", "duplicate", "accepted"]


async def test_events_without_a_lane_are_always_ours_and_never_wait(database: Database) -> None:
    acme = await add_installed(database)
    events = [Event(lane=None, joins=False, kind="lifecycle") for _ in range(3)]
    assert await accept(database, *((acme, event) for event in events)) == ["accepted"] * 3
    assert lanes_of(await claim(database)) == [None, None, None]


@postgres_versions
async def test_a_deletion_is_ours_where_its_lane_is_open_and_waits_for_nobody(database: Database, admin: Admin) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    lane = "C1:1.1"
    question = Event(message_key="C1:1.1", lane=lane)

    def deletion() -> Event:
        return Event(message_key=None, lane=lane, joins=False, kind="delete")

    assert await accept(database, (acme, deletion())) == ["not_ours"]
    verdicts = await accept(database, (acme, deletion()), (acme, question), (acme, deletion()), (other, deletion()))
    assert verdicts == ["not_ours", "accepted", "accepted", "not_ours"]
    assert await accept(database, (acme, deletion()), (acme, Event(lane=lane))) == ["accepted", "accepted"]
    rows = await admin.fetch("select kind, lane, state from enablebot.inbox order by id")
    assert [tuple(row) for row in rows] == [
        ("mention", lane, "ready"),
        ("delete", None, "ready"),
        ("delete", None, "ready"),
        ("mention", lane, "queued"),
    ]
    assert await admin.fetchval("select live from enablebot.lanes") == 2


async def test_a_lone_deletion_with_a_key_of_its_own_is_accepted_once(database: Database) -> None:
    acme = await add_installed(database)
    await accept(database, (acme, Event(message_key="C1:1.1", lane="C1:1.1")))
    deletion = Event(message_key="deleted:C1:1.1", lane="C1:1.1", joins=False, kind="delete")
    assert await accept(database, (acme, deletion), (acme, deletion)) == ["accepted", "duplicate"]


@postgres_versions
async def test_any_batch_ends_as_its_events_would_one_by_one(database: Database, admin: Admin) -> None:
    """The same events in random batches and one by one, in two workspaces: verdicts, states and counts agree."""
    chance = random.Random(4)

    def event_about(number: int) -> Event:
        lane, key = f"C1:{number % 4}.1", f"C1:{number}.1"
        match chance.choice(["mention", "twin", "delete", "lifecycle"]):
            case "mention":
                return Event(event_key=f"EvM{number}", message_key=key, lane=lane)
            case "twin":
                return Event(event_key=f"EvT{number}", message_key=key, lane=lane, kind="message", joins=False)
            case "delete":
                return Event(
                    event_key=f"EvD{number}", message_key=f"deleted:{key}", lane=lane, kind="delete", joins=False
                )
        return Event(event_key=f"EvL{number}", lane=None, kind="lifecycle")

    for _ in range(12):
        batched, singly = await add_installed(database), await add_installed(database)
        events = [event_about(chance.randrange(20)) for _ in range(40)]
        together: list[str] = []
        start = 0
        while start < len(events):
            end_at = start + chance.randrange(1, 12)
            together += await accept(database, *((batched, event) for event in events[start:end_at]))
            start = end_at
        one_by_one: list[str] = [verdict for event in events for verdict in await accept(database, (singly, event))]
        assert together == one_by_one
        for found in (
            "select event_key, lane, kind, state from enablebot.inbox where tenant_id = $1 order by id",
            "select lane, live from enablebot.lanes where tenant_id = $1 order by lane",
            "select key from enablebot.dedupe_keys where tenant_id = $1 order by key",
            "select i.event_key, b.body from enablebot.event_bodies b join enablebot.inbox i "
            "on i.tenant_id = b.tenant_id and i.id = b.event_id where b.tenant_id = $1 order by i.id",
        ):
            assert await admin.fetch(found, batched.tenant_id) == await admin.fetch(found, singly.tenant_id)


async def test_bodies_go_with_their_events_and_nobody_else_s_do(database: Database, admin: Admin) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    gone, kept = Event(), Event()
    await accept(database, (acme, gone), (acme, kept), (other, Event()))
    await admin.execute("delete from enablebot.inbox where event_key = $1", gone.event_key)
    left = await admin.fetch(
        "select i.event_key from enablebot.event_bodies b left join enablebot.inbox i "
        "on i.tenant_id = b.tenant_id and i.id = b.event_id"
    )
    assert len(left) == 2
    assert None not in {row["event_key"] for row in left}


async def test_an_empty_batch_is_no_fault(database: Database) -> None:
    assert await accept(database) == []
    assert await settle(database) == []
    assert await database.renew_leases(tenant_ids=[], ids=[], tokens=[], lease_seconds=60) == []


async def test_any_bytes_come_back_as_they_went_in(database: Database) -> None:
    acme = await add_installed(database)
    bodies = [
        b"",
        b"\x00",
        b'{"text": "\\u0000 \\ud800"}',
        "\ud800".encode("utf-8", "surrogatepass"),
        bytes(range(256)) * 40,
    ]
    await accept(database, *((acme, Event(body=body)) for body in bodies))
    assert [event.body for event in await claim(database)] == bodies


@pytest.mark.parametrize(
    "event",
    [
        Event(event_key="Ev\x00"),
        Event(event_key="Ev\ud800"),
        Event(event_key="E" * 256),
        Event(lane="C1:\x00"),
        Event(message_key="C1:" + "1" * 400),
        Event(kind="unheard of"),  # type: ignore[arg-type]
    ],
    ids=["NUL in key", "surrogate in key", "long key", "NUL in lane", "long message key", "unknown kind"],
)
async def test_what_cannot_be_stored_refuses_its_batch_and_leaves_nothing_behind(
    database: Database, admin: Admin, event: Event
) -> None:
    acme = await add_installed(database)
    good = Event()
    with pytest.raises(DataRefused):
        await accept(database, (acme, good), (acme, event))
    assert await accept(database, (acme, good)) == ["accepted"]
    assert await admin.fetchval("select count(*) from enablebot.dedupe_keys") == 1


async def test_an_event_for_a_tenant_that_does_not_exist_is_refused(database: Database) -> None:
    nobody = Workspace(tenant_id=uuid4(), data_key_id=uuid4(), team_id="T0")
    with pytest.raises(DataRefused):
        await accept(database, (nobody, Event()))


async def test_batches_that_share_keys_and_lanes_in_any_order_neither_deadlock_nor_accept_twice(
    database: Database,
) -> None:
    workspaces = [await add_installed(database) for _ in range(4)]
    for round_number in range(4):
        events = [
            (workspace, Event(message_key=f"C{round_number}:{number}.1", lane=f"C{round_number}:{number % 5}.1"))
            for workspace in workspaces
            for number in range(40)
        ]
        # Of different lengths: what orders by accident differs with the length.
        batches = [random.Random(seed).sample(events, len(events) - 12 * seed) for seed in range(10)]
        verdicts = await asyncio.gather(*(accept(database, *batch) for batch in batches))
        assert [verdict for batch in verdicts for verdict in batch].count("accepted") == len(events)


# Lanes


@postgres_versions
async def test_events_of_one_lane_run_in_order_one_at_a_time(database: Database) -> None:
    acme = await add_installed(database)
    events = [Event(lane="C1:1.1") for _ in range(4)]
    await accept(database, (acme, events[0]), (acme, events[1]))
    await accept(database, (acme, events[2]), (acme, events[3]))
    for event in events:
        (claimed,) = await claim(database)
        assert claimed.event_key == event.event_key
        assert await claim(database) == []
        assert await settle(database, claimed) == ["settled"]
    assert await claim(database) == []


async def test_lanes_run_side_by_side_and_are_each_workspace_s_own(database: Database) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    first, second = Event(lane="C1:1.1"), Event(lane="C1:2.2")
    await accept(database, (acme, first), (acme, second), (other, first), (acme, Event(lane="C1:1.1")))
    claimed = {(event.tenant_id, event.event_key) for event in await claim(database)}
    assert claimed == {
        (acme.tenant_id, first.event_key),
        (acme.tenant_id, second.event_key),
        (other.tenant_id, first.event_key),
    }


@pytest.mark.parametrize("outcome", ["done", "failed", "dropped", "expired", "set_aside"])
async def test_however_an_event_ends_the_next_of_its_lane_follows(database: Database, outcome: EventOutcome) -> None:
    acme = await add_installed(database)
    await accept(database, (acme, Event(lane="C1:1.1")), (acme, following := Event(lane="C1:1.1")))
    await settle(database, *await claim(database), outcome=outcome)
    assert [event.event_key for event in await claim(database)] == [following.event_key]


async def test_a_retried_event_keeps_its_place_at_the_head_of_its_lane(database: Database) -> None:
    acme = await add_installed(database)
    await accept(database, (acme, head := Event(lane="C1:1.1")), (acme, Event(lane="C1:1.1")))
    await settle(database, *await claim(database), outcome="retry")
    (again,) = await claim(database)
    assert (again.event_key, again.attempts) == (head.event_key, 2)
    await settle(database, again, outcome="retry", delay=3600)
    assert await claim(database) == []


async def test_a_released_event_gets_its_attempt_back(database: Database) -> None:
    acme = await add_installed(database)
    claimed = await claim_one(database, acme)
    for _ in range(5):
        assert claimed.attempts == 1
        assert await settle(database, claimed, outcome="release") == ["settled"]
        (claimed,) = await claim(database)


async def test_a_lane_that_fell_empty_takes_its_next_event_at_once(database: Database) -> None:
    acme = await add_installed(database)
    for _ in range(3):
        claimed = await claim_one(database, acme, lane="C1:1.1")
        await settle(database, claimed)


async def test_accepting_while_settling_never_strands_an_event(database: Database) -> None:
    acme = await add_installed(database)
    total = 60
    seen: list[str] = []

    async def feed(feeder: int) -> None:
        for number in range(total // 3):
            await accept(database, (acme, Event(event_key=f"Ev-{feeder}-{number}", lane=f"C1:{number % 2}.1")))

    async def work() -> None:
        while len(seen) < total:
            claimed = await claim(database)
            seen.extend(event.event_key for event in claimed)
            await settle(database, *claimed)

    async with asyncio.timeout(60):
        await asyncio.gather(*(feed(feeder) for feeder in range(3)), work(), work())
    assert len(set(seen)) == len(seen) == total
    depth = await database.get_inbox_depth()
    assert (depth.ready, depth.queued, depth.claimed, depth.set_aside) == (0, 0, 0, 0)


# Claims


async def test_a_claim_carries_what_the_worker_needs(database: Database) -> None:
    acme = await add_installed(database)
    event = Event(body=b"\x01sealed\xff", kind="interaction")
    await accept(database, (acme, event))
    (claimed,) = await claim(database)
    assert (claimed.tenant_id, claimed.event_key, claimed.kind, claimed.lane) == (
        acme.tenant_id,
        event.event_key,
        "interaction",
        event.lane,
    )
    assert (claimed.body, claimed.data_key_id, claimed.attempts) == (event.body, acme.data_key_id, 1)
    assert claimed.received_at < claimed.lease_until


async def test_a_claimed_event_is_nobody_else_s(database: Database) -> None:
    acme = await add_installed(database)
    await claim_one(database, acme)
    assert await claim(database, worker="another") == []


async def test_a_workspace_with_much_waiting_shares_every_claim_with_the_others(database: Database) -> None:
    busy, quiet = await add_installed(database), await add_installed(database)
    await accept(database, *((busy, Event()) for _ in range(200)))
    await accept(database, (quiet, Event()))
    for after in (None, busy.tenant_id, quiet.tenant_id):
        claimed = await claim(database, limit=4, after=after)
        tenants = [event.tenant_id for event in claimed]
        assert len(tenants) == 4
        assert tenants.count(quiet.tenant_id) == 1
        await settle(database, *claimed, outcome="release")


@postgres_versions
async def test_claims_of_one_visit_the_workspaces_in_turn(database: Database) -> None:
    workspaces = [await add_installed(database) for _ in range(5)]
    await accept(database, *((workspace, Event()) for workspace in workspaces for _ in range(3)))
    after: UUID | None = None
    visited = []
    for _ in range(10):
        (event,) = await claim(database, limit=1, after=after)
        after = event.tenant_id
        visited.append(after)
    assert visited[:5] == sorted(workspace.tenant_id for workspace in workspaces)
    assert visited[5:] == visited[:5]


async def test_room_that_one_workspace_leaves_is_used_by_another(database: Database) -> None:
    few, many = await add_installed(database), await add_installed(database)
    await accept(database, (few, Event()), *((many, Event()) for _ in range(20)))
    assert len(await claim(database, limit=10)) == 10


async def test_no_workspace_holds_more_live_claims_than_its_cap(database: Database, admin: Admin) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    await accept(database, *((workspace, Event()) for workspace in (acme, other) for _ in range(10)))
    claimed = await claim(database, limit=100, tenant_cap=3)
    assert sorted(event.tenant_id for event in claimed) == sorted([acme.tenant_id] * 3 + [other.tenant_id] * 3)
    assert await claim(database, limit=100, tenant_cap=3) == []
    mine = [event for event in claimed if event.tenant_id == acme.tenant_id]
    await settle(database, *mine[:2])
    again = await claim(database, limit=100, tenant_cap=3)
    assert [event.tenant_id for event in again] == [acme.tenant_id] * 2


@postgres_versions
async def test_claimers_at_once_share_no_event_and_keep_the_cap_together(database: Database) -> None:
    workspaces = [await add_installed(database) for _ in range(3)]
    await accept(database, *((workspace, Event()) for workspace in workspaces for _ in range(60)))
    claimed: list[ClaimedEventRow] = []
    for _ in range(4):
        batches = await asyncio.gather(*(claim(database, limit=7, tenant_cap=11) for _ in range(10)))
        claimed += [event for batch in batches for event in batch]
    assert len({event.id for event in claimed}) == len(claimed)
    counts = [sum(event.tenant_id == workspace.tenant_id for event in claimed) for workspace in workspaces]
    assert counts == [11, 11, 11]


async def test_claimers_at_once_empty_the_inbox_between_them(database: Database) -> None:
    acme = await add_installed(database)
    await accept(database, *((acme, Event()) for _ in range(100)))
    batches = await asyncio.gather(*(claim(database, limit=20, tenant_cap=1000) for _ in range(5)))
    assert sorted(len(batch) for batch in batches) == [20] * 5
    assert len({event.id for batch in batches for event in batch}) == 100


async def test_claiming_passes_by_an_event_that_another_transaction_holds(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    await accept(database, (acme, held := Event()), (acme, free := Event()))
    async with admin.transaction():
        await admin.execute("select from enablebot.inbox where event_key = $1 for update", held.event_key)
        assert [event.event_key for event in await claim(database)] == [free.event_key]
    assert [event.event_key for event in await claim(database)] == [held.event_key]


# The wall


async def test_another_workspace_cannot_settle_or_renew_an_event_even_with_its_token(
    database: Database, admin: Admin
) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    claimed = await claim_one(database, acme)
    theirs = claimed.model_copy(update={"tenant_id": other.tenant_id})
    assert await settle(database, theirs) == ["stale"]
    assert await database.renew_leases(
        tenant_ids=[other.tenant_id], ids=[claimed.id], tokens=[claimed.claim_token], lease_seconds=60
    ) == [False]
    assert await settle(database, theirs, claimed) == ["stale", "settled"]


async def test_uninstalling_drops_what_waits_and_lets_the_uninstall_event_finish(
    database: Database, admin: Admin
) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    running = await claim_one(database, acme, lane="C1:1.1")
    await accept(database, (acme, Event(lane="C1:1.1")), (acme, Event(lane="C1:2.2")), (other, Event()))
    await accept(database, (acme, Event(lane=None, joins=False, kind="lifecycle")))
    (uninstalling,) = [event for event in await claim(database) if event.kind == "lifecycle"]
    assert await end(database, acme)
    assert await settle(database, running) == ["stale"]
    assert await settle(database, uninstalling) == ["settled"]
    remaining = await admin.fetch("select tenant_id from enablebot.event_bodies")
    assert [row["tenant_id"] for row in remaining] == [other.tenant_id]
    assert await admin.fetchval("select sum(live) from enablebot.lanes where tenant_id = $1", acme.tenant_id) == 0
