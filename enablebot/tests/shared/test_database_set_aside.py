"""Events set aside: shown to whoever may see them, and tried anew, once, by whoever may say so."""

import asyncio
from typing import TypeAlias

import asyncpg
import pytest

from enablebot.shared.database.models import ClaimedEventRow
from enablebot.shared.database.operations import Database
from enablebot.tests.database import postgres_versions
from enablebot.tests.shared.workspaces import (
    Event,
    Workspace,
    accept,
    add_installed,
    claim,
    claim_one,
    end,
    finish,
    of_answer,
    open_answer,
    settle,
)

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def set_aside(database: Database, workspace: Workspace, **changes: object) -> ClaimedEventRow:
    event = await claim_one(database, workspace, **changes)
    assert await settle(database, event, outcome="set_aside", reason="poison") == ["settled"]
    return event


async def replay(database: Database, workspace: Workspace, event: ClaimedEventRow) -> bool:
    return (await database.replay_event(tenant_id=workspace.tenant_id, id=event.id, actor="U1")).replayed


async def ids_of(
    database: Database, workspace: Workspace | None, *, after: int | None = None, limit: int = 9
) -> list[int]:
    rows = await database.list_set_aside(
        tenant_id=None if workspace is None else workspace.tenant_id, after_id=after, limit=limit
    )
    return [row.id for row in rows]


@postgres_versions
async def test_events_set_aside_are_listed_oldest_first_for_one_workspace_or_all(database: Database) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    events = [await set_aside(database, workspace) for workspace in (acme, other, acme)]
    await settle(database, await claim_one(database, acme))
    first, theirs, last = (event.id for event in events)
    assert await ids_of(database, acme) == [first, last]
    assert await ids_of(database, other) == [theirs]
    assert await ids_of(database, None) == [first, theirs, last]
    assert await ids_of(database, None, limit=2) == [first, theirs]
    assert await ids_of(database, None, after=theirs) == [last]


async def test_a_listed_event_says_whose_it_is_and_why_it_is_there(database: Database) -> None:
    acme = await add_installed(database)
    event = await set_aside(database, acme)
    (row,) = await database.list_set_aside(tenant_id=None, after_id=None, limit=9)
    assert (row.tenant_id, row.team_id, row.name) == (acme.tenant_id, acme.team_id, "Acme")
    assert (row.event_key, row.kind, row.attempts, row.reason) == (event.event_key, "mention", 1, "poison")
    assert row.received_at == event.received_at < row.settled_at


@postgres_versions
async def test_a_replayed_event_has_all_its_attempts_and_its_wait_begins_anew(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    event = await set_aside(database, acme, body=b"\x00sealed")
    await admin.execute("update enablebot.inbox set received_at = now() - interval '2 hours', attempts = 4")
    assert await replay(database, acme, event)
    (again,) = await claim(database)
    assert (again.id, again.attempts, again.body, again.is_last_word) == (event.id, 1, b"\x00sealed", False)
    assert again.waited_seconds < 3600
    assert await settle(database, again) == ["settled"]
    assert await ids_of(database, None) == []


async def test_how_long_an_event_waited_is_counted_from_its_arrival(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    await accept(database, (acme, Event()))
    await admin.execute("update enablebot.inbox set received_at = now() - interval '2 hours'")
    (event,) = await claim(database)
    assert 7200 <= event.waited_seconds < 7800


@postgres_versions
async def test_replays_at_once_replay_it_once(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    event = await set_aside(database, acme)
    replayed = await asyncio.gather(*(replay(database, acme, event) for _ in range(8)))
    assert replayed.count(True) == 1
    assert len(await claim(database)) == 1
    assert await admin.fetchval("select live from enablebot.lanes") == 1
    assert await admin.fetchval("select count(*) from enablebot.audit where action = 'event.replay'") == 1


async def test_a_replay_is_audited_with_whoever_asked_for_it(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    event = await set_aside(database, acme)
    await replay(database, acme, event)
    row = await admin.fetchrow("select actor, object, outcome from enablebot.audit where action = 'event.replay'")
    assert row is not None
    assert tuple(row) == ("U1", str(event.id), "ok")
    assert (await database.verify_audit(tenant_id=acme.tenant_id)).ok


async def test_another_workspace_cannot_replay_an_event(database: Database, admin: Admin) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    event = await set_aside(database, acme)
    assert not await replay(database, other, event)
    assert await ids_of(database, acme) == [event.id]
    assert await admin.fetchval("select count(*) from enablebot.audit where action = 'event.replay'") == 0


async def test_what_is_not_set_aside_or_has_no_content_any_more_is_not_replayed(database: Database) -> None:
    acme = await add_installed(database)
    waiting = await claim_one(database, acme)
    assert not await replay(database, acme, waiting)
    await settle(database, waiting)
    assert not await replay(database, acme, waiting)
    gone = await set_aside(database, acme)
    assert await end(database, acme)
    assert not await replay(database, acme, gone)


@postgres_versions
async def test_a_replayed_event_waits_for_the_one_that_runs_in_its_lane_and_comes_before_those_behind(
    database: Database,
) -> None:
    acme = await add_installed(database)
    event = await set_aside(database, acme, lane="C1:1.1")
    running = await claim_one(database, acme, lane="C1:1.1")
    await accept(database, (acme, behind := Event(lane="C1:1.1")))
    assert await replay(database, acme, event)
    assert await claim(database) == []
    await settle(database, running)
    (again,) = await claim(database)
    assert again.id == event.id
    await settle(database, again)
    assert [one.event_key for one in await claim(database)] == [behind.event_key]


async def test_a_replayed_event_of_no_lane_runs_at_once(database: Database) -> None:
    acme = await add_installed(database)
    event = await set_aside(database, acme, lane=None, joins=False, kind="interaction")
    assert await replay(database, acme, event)
    assert [one.id for one in await claim(database)] == [event.id]


@postgres_versions
async def test_an_answer_given_up_has_failed_and_its_event_is_set_aside_with_its_content(
    database: Database, admin: Admin
) -> None:
    acme = await add_installed(database)
    event = await claim_one(database, acme, body=b"the question")
    answer_id = (await open_answer(database, acme, event)).answer.id
    await finish(
        database, acme, event, answer_id, state="gave_up", reason="model_unavailable", text=None, message_id=None
    )
    assert await ids_of(database, acme) == [event.id]
    assert await admin.fetchval("select body from enablebot.event_bodies") == b"the question"
    row = await admin.fetchrow("select state, reason from enablebot.answers")
    assert row is not None
    assert tuple(row) == ("failed", "model_unavailable")


async def test_a_replay_opens_the_failed_answer_with_the_message_that_said_so(database: Database) -> None:
    acme = await add_installed(database)
    event = await claim_one(database, acme)
    answer_id = (await open_answer(database, acme, event)).answer.id
    named = of_answer(acme, event, answer_id)
    await database.intend_reply(**named, part=0, mode="post")
    await database.record_reply(**named, part=0, state="closed", ts="1.000001")
    await finish(database, acme, event, answer_id, state="gave_up", reason="model", text=None, message_id=None)
    assert await replay(database, acme, event)

    (again,) = await claim(database)
    opened = await open_answer(database, acme, again)
    assert (opened.is_new, opened.answer.id, opened.answer.state) == (False, answer_id, "open")
    assert [(reply.state, reply.ts) for reply in opened.answer.replies] == [("open", "1.000001")]
    await finish(database, acme, again, answer_id)
    overview = await database.get_overview(tenant_id=acme.tenant_id)
    assert overview is not None
    assert (overview.answered, overview.failed, overview.set_aside) == (1, 0, 0)


async def test_a_replay_opens_no_other_event_s_answer(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    for _ in range(2):
        event = await claim_one(database, acme)
        answer_id = (await open_answer(database, acme, event)).answer.id
        await finish(database, acme, event, answer_id, state="gave_up", reason="model", text=None, message_id=None)
    assert await replay(database, acme, event)
    states = await admin.fetch("select state from enablebot.answers order by event_id")
    assert [row["state"] for row in states] == ["failed", "open"]
