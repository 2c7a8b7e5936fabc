"""Answers and the replies that carry them: once an event, fenced by its claim, healed from what was left behind."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest

from enablebot.shared.database.models import ClaimedEventRow, FinalState
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DataRefused, StaleClaim
from enablebot.tests.database import postgres_versions
from enablebot.tests.shared.workspaces import (
    Event,
    Workspace,
    accept,
    add_installed,
    add_lived_in_pair,
    claim,
    claim_one,
    finish,
    of_answer,
    open_answer,
    settle,
)

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def _ask(database: Database, workspace: Workspace, lane: str = "C1:1.1") -> tuple[ClaimedEventRow, UUID]:
    """Ask something and open its answer."""
    event = await claim_one(database, workspace, lane=lane)
    return event, (await open_answer(database, workspace, event)).answer.id


def _just_after(moment: datetime, *, seconds: float = 1) -> str:
    return f"{(moment + timedelta(seconds=seconds)).timestamp():.6f}"


# Opening


@postgres_versions
async def test_an_answer_is_opened_once_however_often_its_event_is_tried(database: Database) -> None:
    acme = await add_installed(database)
    event = await claim_one(database, acme, lane="C1:1.1")
    first = await open_answer(database, acme, event)
    assert first.is_new
    assert (first.answer.state, first.answer.text, first.answer.replies, first.history) == ("open", None, (), ())
    again = await open_answer(database, acme, event)
    assert not again.is_new
    assert (again.answer, again.conversation_id) == (first.answer, first.conversation_id)


async def test_a_later_attempt_finds_what_the_earlier_one_left_behind(database: Database) -> None:
    acme = await add_installed(database)
    event, answer_id = await _ask(database, acme)
    named = of_answer(acme, event, answer_id)
    await database.save_draft(**named, text=b"half \x00 an answer", data_key_id=acme.data_key_id)
    await database.intend_reply(**named, part=0, mode="stream")
    await database.record_reply(**named, part=0, state="open", ts="2.5")
    await database.intend_reply(**named, part=1, mode="post")
    await settle(database, event, outcome="retry")
    (event,) = await claim(database)
    found = await open_answer(database, acme, event)
    assert (found.is_new, found.answer.id, found.answer.text) == (False, answer_id, b"half \x00 an answer")
    assert found.answer.data_key_id == acme.data_key_id
    assert [(reply.part, reply.mode, reply.state, reply.ts) for reply in found.answer.replies] == [
        (0, "stream", "open", "2.5"),
        (1, "post", "intended", None),
    ]


async def test_history_is_the_conversation_so_far_oldest_first_without_the_question(database: Database) -> None:
    acme = await add_installed(database)
    for number in range(3):
        event = await claim_one(database, acme, lane="C1:1.1")
        opened = await open_answer(database, acme, event, message=f"question {number}".encode(), asker=f"U{number}")
        await finish(database, acme, event, opened.answer.id, text=f"answer {number}".encode())
    event = await claim_one(database, acme, lane="C1:1.1")
    opened = await open_answer(database, acme, event, history=3)
    assert [(row.role, row.author, row.body) for row in opened.history] == [
        ("assistant", None, b"answer 1"),
        ("person", "U2", b"question 2"),
        ("assistant", None, b"answer 2"),
    ]
    assert {row.data_key_id for row in opened.history} == {acme.data_key_id}
    assert (await open_answer(database, acme, event, history=0)).history == ()


async def test_a_conversation_is_its_lane_s_and_its_workspace_s_own(database: Database) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    event, answer_id = await _ask(database, acme)
    await finish(database, acme, event, answer_id)
    elsewhere = await open_answer(database, acme, await claim_one(database, acme, lane="C1:2.2"))
    theirs = await open_answer(database, other, await claim_one(database, other, lane="C1:1.1"))
    assert elsewhere.history == theirs.history == ()
    again = await open_answer(database, acme, await claim_one(database, acme, lane="C1:1.1"))
    assert len(again.history) == 2
    assert len({elsewhere.conversation_id, theirs.conversation_id, again.conversation_id}) == 3


async def test_a_question_asked_while_another_waits_is_not_part_of_its_history(database: Database) -> None:
    acme = await add_installed(database)
    event, answer_id = await _ask(database, acme)
    await accept(database, (acme, Event(lane="C1:1.1")))
    assert (await open_answer(database, acme, event)).history == ()
    await finish(database, acme, event, answer_id)
    (following,) = await claim(database)
    assert len((await open_answer(database, acme, following)).history) == 2


# Replies


async def test_an_intent_is_recorded_once_and_says_when_it_was_there_already(database: Database) -> None:
    acme = await add_installed(database)
    event, answer_id = await _ask(database, acme)
    named = of_answer(acme, event, answer_id)
    first = await database.intend_reply(**named, part=0, mode="post")
    again = await database.intend_reply(**named, part=0, mode="post")
    following = await database.intend_reply(**named, part=1, mode="post")
    assert (first.already, again.already, following.already) == (False, True, False)
    assert again.intended_at == first.intended_at < following.intended_at


async def test_recording_without_a_timestamp_keeps_the_one_known(database: Database) -> None:
    acme = await add_installed(database)
    event, answer_id = await _ask(database, acme)
    named = of_answer(acme, event, answer_id)
    await database.intend_reply(**named, part=0, mode="stream")
    await database.record_reply(**named, part=0, state="open", ts="2.5")
    await database.record_reply(**named, part=0, state="ambiguous", ts=None)
    (reply,) = (await open_answer(database, acme, event)).answer.replies
    assert (reply.state, reply.ts) == ("ambiguous", "2.5")


async def test_a_reply_never_intended_cannot_be_recorded(database: Database) -> None:
    acme = await add_installed(database)
    event, answer_id = await _ask(database, acme)
    with pytest.raises(DataRefused):
        await database.record_reply(**of_answer(acme, event, answer_id), part=0, state="closed", ts="1.1")


# Evidence


async def _note(database: Database, workspace: Workspace, *seen: tuple[str, str | None, str]) -> list[bool]:
    return await database.note_own_messages(
        tenant_ids=[workspace.tenant_id] * len(seen),
        channels=[channel for channel, _, _ in seen],
        threads=[thread for _, thread, _ in seen],
        ts=[ts for _, _, ts in seen],
    )


async def test_our_own_message_settles_what_became_of_an_intended_reply(database: Database) -> None:
    acme = await add_installed(database)
    event, answer_id = await _ask(database, acme)
    intended = await database.intend_reply(**of_answer(acme, event, answer_id), part=0, mode="post")
    ts = _just_after(intended.intended_at)
    assert await _note(database, acme, ("C1", "1.1", ts)) == [True]
    (reply,) = (await open_answer(database, acme, event)).answer.replies
    assert (reply.state, reply.ts) == ("intended", ts)
    assert await _note(database, acme, ("C1", "1.1", ts)) == [False]


async def test_a_message_elsewhere_or_earlier_or_odd_is_no_evidence(database: Database) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    event, answer_id = await _ask(database, acme)
    intended = await database.intend_reply(**of_answer(acme, event, answer_id), part=0, mode="post")
    ts = _just_after(intended.intended_at)
    too_early = _just_after(intended.intended_at, seconds=-3)
    noted = await _note(
        database,
        acme,
        ("C2", "1.1", ts),
        ("C1", "2.2", ts),
        ("C1", None, ts),
        ("C1", "1.1", too_early),
        ("C1", "1.1", "yesterday"),
        ("C1", "1.1", "9" * 400),
        ("C1", "1.1", ""),
    )
    assert noted == [False] * 7
    assert await _note(database, other, ("C1", "1.1", ts)) == [False]
    # Slack's clock may be behind ours by up to two seconds.
    assert await _note(database, acme, ("C1", "1.1", _just_after(intended.intended_at, seconds=-1.5))) == [True]


async def test_the_message_of_a_part_that_is_settled_says_nothing_about_the_next_part(database: Database) -> None:
    acme = await add_installed(database)
    event, answer_id = await _ask(database, acme)
    named = of_answer(acme, event, answer_id)
    first = await database.intend_reply(**named, part=0, mode="post")
    ts = _just_after(first.intended_at)
    await database.record_reply(**named, part=0, state="closed", ts=ts)
    await database.intend_reply(**named, part=1, mode="post")
    # The event of the first message comes only now.
    assert await _note(database, acme, ("C1", "1.1", ts)) == [False]
    (_, second) = (await open_answer(database, acme, event)).answer.replies
    assert second.ts is None


async def test_evidence_of_many_workspaces_comes_in_one_batch(database: Database) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    moments = []
    for workspace in (acme, other):
        event, answer_id = await _ask(database, workspace)
        intended = await database.intend_reply(**of_answer(workspace, event, answer_id), part=0, mode="post")
        moments.append(intended.intended_at)
    noted = await database.note_own_messages(
        tenant_ids=[other.tenant_id, acme.tenant_id, acme.tenant_id],
        channels=["C1"] * 3,
        threads=["1.1"] * 3,
        ts=[_just_after(max(moments), seconds=n) for n in (1, 2, 3)],
    )
    assert noted == [True, True, False]
    assert await _note(database, acme) == []


# Finishing


@pytest.mark.parametrize(
    ("state", "outcome"),
    [("complete", "done"), ("failed", "failed"), ("ambiguous", "failed"), ("dropped", "dropped")],
)
async def test_an_answer_and_its_event_end_together(
    database: Database, admin: Admin, state: FinalState, outcome: str
) -> None:
    acme = await add_installed(database)
    event, answer_id = await _ask(database, acme)
    await accept(database, (acme, following := Event(lane="C1:1.1")))
    await database.save_draft(**of_answer(acme, event, answer_id), text=b"draft", data_key_id=acme.data_key_id)
    text = b"answer" if state == "complete" else None
    await finish(database, acme, event, answer_id, state=state, reason="because", text=text)
    answer = await admin.fetchrow("select * from enablebot.answers")
    assert answer is not None
    assert (answer["state"], answer["reason"], answer["text"], answer["data_key_id"]) == (state, "because", None, None)
    assert (answer["model"], answer["input_tokens"], answer["output_tokens"], answer["latency_ms"]) == (
        "gpt-6-luna",
        10,
        20,
        30,
    )
    assert answer["finished_at"] is not None
    settled = await admin.fetchrow("select state, outcome, reason from enablebot.inbox where id = $1", event.id)
    assert settled is not None
    assert tuple(settled) == ("done", outcome, "because")
    assert await admin.fetchval("select count(*) from enablebot.event_bodies where event_id = $1", event.id) == 0
    assert [row.event_key for row in await claim(database)] == [following.event_key]


async def test_the_answer_s_message_carries_the_first_reply_s_timestamp(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    event, answer_id = await _ask(database, acme)
    named = of_answer(acme, event, answer_id)
    for part in (0, 1):
        await database.intend_reply(**named, part=part, mode="post")
        await database.record_reply(**named, part=part, state="closed", ts=f"{part + 5}.1")
    await finish(database, acme, event, answer_id, message_id=(message_id := uuid4()), text=b"\x00sealed")
    stored = await admin.fetchrow("select ts, body, role, author from enablebot.messages where id = $1", message_id)
    assert stored is not None
    assert tuple(stored) == ("5.1", b"\x00sealed", "assistant", None)
    assert await admin.fetchval("select message_id from enablebot.answers") == message_id


async def test_an_answer_cannot_end_as_open(database: Database) -> None:
    acme = await add_installed(database)
    event, answer_id = await _ask(database, acme)
    with pytest.raises(DataRefused):
        await finish(database, acme, event, answer_id, state="open")


# Fences


_Write: TypeAlias = Callable[[Database, dict[str, Any]], Awaitable[object]]
_WRITES: dict[str, _Write] = {
    "intend": lambda database, named: database.intend_reply(**named, part=1, mode="post"),
    "record": lambda database, named: database.record_reply(**named, part=0, state="closed", ts="9.9"),
    "draft": lambda database, named: database.save_draft(**named, text=b"theirs", data_key_id=uuid4()),
    "finish": lambda database, named: database.finish_answer(
        **named,
        state="complete",
        reason=None,
        text=b"theirs",
        message_id=uuid4(),
        data_key_id=uuid4(),
        model=None,
        input_tokens=None,
        output_tokens=None,
        latency_ms=None,
    ),
}


async def _everything(admin: Admin) -> list[list[tuple[Any, ...]]]:
    tables = ("answers", "replies", "messages", "conversations", "inbox", "lanes")
    return [
        [tuple(row) for row in await admin.fetch(f"select * from enablebot.{table} order by 1, 2")] for table in tables
    ]


@pytest.mark.parametrize("write", _WRITES)
async def test_whoever_lost_the_claim_writes_nothing(database: Database, admin: Admin, write: str) -> None:
    acme = await add_installed(database)
    event, answer_id = await _ask(database, acme)
    await database.intend_reply(**of_answer(acme, event, answer_id), part=0, mode="post")
    await settle(database, event, outcome="retry")
    (again,) = await claim(database)
    before = await _everything(admin)
    with pytest.raises(StaleClaim):
        await _WRITES[write](database, of_answer(acme, event, answer_id))
    with pytest.raises(StaleClaim):
        await open_answer(database, acme, event)
    assert await _everything(admin) == before
    await _WRITES[write](database, of_answer(acme, again, answer_id))
    assert await _everything(admin) != before


@pytest.mark.parametrize("write", _WRITES)
async def test_another_workspace_cannot_write_into_an_answer_whatever_it_holds(
    database: Database, admin: Admin, write: str
) -> None:
    acme, other = await add_lived_in_pair(database)
    await settle(database, *await claim(database))
    event, answer_id = await _ask(database, acme)
    await database.intend_reply(**of_answer(acme, event, answer_id), part=0, mode="post")
    theirs, their_answer = await _ask(database, other)
    before = await _everything(admin)
    # Its own tenant with the victim's event, token and answer; then its own claim with the victim's answer.
    with pytest.raises(StaleClaim):
        await _WRITES[write](database, of_answer(other, event, answer_id))
    with pytest.raises(DataRefused):
        await _WRITES[write](database, of_answer(other, theirs, answer_id))
    with pytest.raises(StaleClaim):
        await open_answer(database, other, event)
    assert await _everything(admin) == before
    assert their_answer != answer_id


@pytest.mark.parametrize("write", _WRITES)
async def test_a_claim_opens_no_other_answer_of_the_same_workspace(
    database: Database, admin: Admin, write: str
) -> None:
    acme = await add_installed(database)
    _, answer_id = await _ask(database, acme, "C1:1.1")
    event, _ = await _ask(database, acme, "C1:2.2")
    before = await _everything(admin)
    with pytest.raises(DataRefused):
        await _WRITES[write](database, of_answer(acme, event, answer_id))
    assert await _everything(admin) == before


async def test_a_rescue_passes_by_an_event_whose_answer_is_being_written(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    event, _ = await _ask(database, acme)
    await admin.execute("update enablebot.inbox set lease_until = now() - interval '1 second'")
    async with admin.transaction():
        # As open_answer, intend_reply and the others hold it until they commit.
        await admin.execute("select from enablebot.inbox where id = $1 for update", event.id)
        assert await claim(database) == []
    assert [row.attempts for row in await claim(database)] == [2]
