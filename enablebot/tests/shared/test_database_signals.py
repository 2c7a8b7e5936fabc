"""Stops and withdrawals reach the process that answers, wherever it is, and nobody else's answers."""

import asyncio
from typing import TypeAlias
from uuid import uuid4

import asyncpg
import pytest

from enablebot.shared.database.models import ClaimedEventRow, Signal
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
    open_answer,
    settle,
)

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def stop(database: Database, workspace: Workspace, lane: str) -> int:
    channel, thread_ts = lane.split(":")
    row = await database.signal_answers(
        tenant_id=workspace.tenant_id, channel=channel, thread_ts=thread_ts, signal="stop"
    )
    return row.signalled


async def withdraw(database: Database, workspace: Workspace, *, channel: str = "C1", question_ts: str) -> int:
    row = await database.withdraw_question(tenant_id=workspace.tenant_id, channel=channel, question_ts=question_ts)
    return row.signalled


async def read(database: Database, *events: ClaimedEventRow) -> list[Signal | None]:
    return await database.read_signals(
        tenant_ids=[event.tenant_id for event in events],
        ids=[event.id for event in events],
        tokens=[event.claim_token for event in events],
    )


@postgres_versions
async def test_a_stop_reaches_what_runs_in_its_conversation_and_nothing_else(database: Database) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    mine, beside = await claim_one(database, acme, lane="C1:1.1"), await claim_one(database, acme, lane="C1:2.2")
    theirs = await claim_one(database, other, lane="C1:1.1")
    assert await read(database, mine, beside, theirs) == [None, None, None]
    assert await stop(database, acme, "C1:1.1") == 1
    assert await read(database, mine, beside, theirs) == ["stop", None, None]


async def test_a_stop_where_nothing_runs_says_so(database: Database) -> None:
    acme = await add_installed(database)
    await accept(database, (acme, Event(lane="C1:1.1")))
    assert await stop(database, acme, "C1:1.1") == 0
    (event,) = await claim(database)
    assert await read(database, event) == [None]


async def test_nobody_can_be_told_what_does_not_exist(database: Database) -> None:
    acme = await add_installed(database)
    with pytest.raises(DataRefused):
        await database.signal_answers(tenant_id=acme.tenant_id, channel="C1", thread_ts="1.1", signal="faster")  # type: ignore[arg-type]


@postgres_versions
async def test_a_claim_that_is_not_ours_any_more_reads_as_lost(database: Database, admin: Admin) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    settled, lost = await claim_one(database, acme), await claim_one(database, acme)
    await settle(database, settled)
    await stop(database, acme, lost.lane or "")
    await admin.execute("update enablebot.inbox set lease_until = now() - interval '1 second' where state = 'claimed'")
    (again,) = await claim(database)
    unknown = again.model_copy(update={"claim_token": uuid4()})
    theirs = again.model_copy(update={"tenant_id": other.tenant_id})
    # The stop holds for whoever took the event over.
    assert await read(database, settled, lost, unknown, theirs, again) == ["lost", "lost", "lost", "lost", "stop"]
    assert await read(database) == []


async def test_reading_signals_waits_for_no_lock(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    event = await claim_one(database, acme)
    async with admin.transaction():
        await admin.execute("select from enablebot.inbox for update")
        async with asyncio.timeout(5):
            assert await read(database, event) == [None]


@postgres_versions
async def test_a_withdrawn_question_signals_the_answer_to_it_and_no_other(database: Database) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    mine, beside = await claim_one(database, acme, lane="C1:1.1"), await claim_one(database, acme, lane="C1:2.2")
    theirs = await claim_one(database, other, lane="C1:1.1")
    for workspace, event in ((acme, mine), (acme, beside), (other, theirs)):
        await open_answer(database, workspace, event)
    await stop(database, acme, "C1:1.1")
    assert await withdraw(database, acme, question_ts="1.1", channel="C2") == 0
    assert await withdraw(database, acme, question_ts="1.1") == 1
    assert await read(database, mine, beside, theirs) == ["withdraw", None, None]
    # Whoever deleted the question wants more than a stop.
    await stop(database, acme, "C1:1.1")
    assert await read(database, mine) == ["withdraw"]


@postgres_versions
async def test_a_question_withdrawn_before_its_answer_began_leaves_nothing_behind(
    database: Database, admin: Admin
) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    assert await withdraw(database, acme, question_ts="1.1") == 0
    assert await withdraw(database, acme, question_ts="1.1") == 0
    event, theirs = await claim_one(database, acme, lane="C1:1.1"), await claim_one(database, other, lane="C1:1.1")
    opened = await open_answer(database, acme, event)
    assert (opened.is_withdrawn, opened.is_new, opened.answer.state, opened.answer.replies) == (
        True,
        True,
        "dropped",
        (),
    )
    assert await admin.fetchval("select count(*) from enablebot.answers") == 0
    assert await admin.fetchval("select count(*) from enablebot.messages") == 0
    assert not (await open_answer(database, other, theirs)).is_withdrawn
    follow_up = await claim_one(database, acme, lane="C1:9.9")
    assert not (await open_answer(database, acme, follow_up)).is_withdrawn


async def test_an_answer_begun_before_the_question_was_withdrawn_comes_back_with_its_messages(
    database: Database,
) -> None:
    acme = await add_installed(database)
    event = await claim_one(database, acme, lane="C1:1.1")
    answer_id = (await open_answer(database, acme, event)).answer.id
    await settle(database, event, outcome="release")
    assert await withdraw(database, acme, question_ts="1.1") == 0
    (again,) = await claim(database)
    opened = await open_answer(database, acme, again)
    assert (opened.is_withdrawn, opened.is_new, opened.answer.id) == (True, False, answer_id)


@postgres_versions
async def test_a_withdrawal_and_the_opening_of_its_answer_at_once_never_miss_each_other(database: Database) -> None:
    acme = await add_installed(database)
    for number in range(25):
        event = await claim_one(database, acme, lane=f"C1:{number}.1")
        opened, signalled = await asyncio.gather(
            open_answer(database, acme, event), withdraw(database, acme, question_ts=f"{number}.1")
        )
        assert opened.is_withdrawn is (signalled == 0)
        await settle(database, event)


async def test_a_withdrawal_takes_no_key_from_the_message_it_is_about(database: Database) -> None:
    acme = await add_installed(database)
    await withdraw(database, acme, question_ts="1.1")
    assert await accept(database, (acme, Event(message_key="C1:1.1"))) == ["accepted"]
