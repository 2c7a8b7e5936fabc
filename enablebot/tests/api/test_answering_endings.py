"""How an answer may end other than by being whole: stopped, withdrawn, given up and replayed, or in doubt."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from enablebot.api.answering.reasons import RETRY_ACTION, sentence
from enablebot.api.answering.service import GAVE_UP, AnsweringService
from enablebot.shared.database.operations import Database
from enablebot.shared.models.question import Outcome, Question
from enablebot.tests.api.answering_room import (
    ADA,
    GENERAL,
    SETTLED,
    TEAM,
    Recorded,
    Room,
    opened_house,
)
from enablebot.tests.api.dying import Struck, die
from enablebot.tests.database import PostgresServers

pytestmark = pytest.mark.anyio

SENTENCES = tuple(f"Sentence number {number}. " for number in range(80))
CHANNELS = pytest.mark.parametrize("channel", ["@bot", GENERAL])


@pytest.fixture(scope="module")
async def house(postgres_servers: PostgresServers) -> AsyncIterator[Room]:
    async with opened_house(postgres_servers) as opened:
        yield opened


@pytest.fixture
async def room(house: Room) -> AsyncIterator[Room]:
    fresh = await house.fresh()
    await fresh.admin.execute("delete from enablebot.dedupe_keys")
    yield fresh
    await fresh.leave()


def assert_whole(text: str) -> None:
    assert text.split() == "".join(SENTENCES).split()


def status(room: Room, question: Question) -> str:
    """What the thread shows of the bot: `active` is idle."""
    session = room.sandbox.sessions.find(question.channel, question.thread_ts)
    return "active" if session is None else session.status


async def withdraw(room: Room, question: Question) -> None:
    """The question's message is deleted, as the database learns of it."""
    await room.database.withdraw_question(tenant_id=room.tenant_id, channel=question.channel, question_ts=question.ts)


def by_message(service: AnsweringService, question: Question) -> bool:
    return service.withdraw(question.tenant_id, channel=question.channel, question_ts=question.ts)


def by_signal(service: AnsweringService, question: Question) -> bool:
    return service.signal(question.tenant_id, question.event_id, "withdraw")


@CHANNELS
@pytest.mark.parametrize("way", [by_message, by_signal])
async def test_a_deleted_question_takes_its_half_answer_with_it(room: Room, channel: str, way: Any) -> None:
    question = await room.ask("@EnableBot go on", channel=channel)
    model = Recorded(*SENTENCES, delay=0.05)
    service = room.service(model=model)
    answering = asyncio.create_task(service.answer(question))
    await room.sandbox.wait_for(lambda: room.spoken(question), timeout=10)

    assert way(service, question)

    assert await answering == SETTLED
    assert room.spoken(question) == []
    assert model.closed == 1
    assert status(room, question) == "active"
    assert (await room.answer_row(question))["state"] == "dropped"
    assert await room.inbox(question) == ("done", "dropped")
    assert not way(service, question)


async def test_all_messages_of_a_long_answer_go_with_its_question(room: Room) -> None:
    texts = [f"This is sentence {number} of many.\n\n" * 10 for number in range(70)]
    question = await room.ask("@EnableBot go on")
    service = room.service(model=Recorded(*texts, delay=0.01))
    answering = asyncio.create_task(service.answer(question))
    await room.sandbox.wait_for(lambda: len(room.spoken(question)) == 2, timeout=10)

    assert by_message(service, question)

    assert await answering == SETTLED
    assert room.spoken(question) == []


async def test_a_question_deleted_before_its_answer_has_a_word_leaves_nothing(room: Room) -> None:
    question = await room.ask("@EnableBot go on")
    model = Recorded(held=asyncio.Event())
    service = room.service(model=model)
    answering = asyncio.create_task(service.answer(question))
    while not model.requests:
        await asyncio.sleep(0.005)

    assert by_message(service, question)

    async with asyncio.timeout(10):
        assert await answering == SETTLED
    assert room.spoken(question) == []
    assert room.calls("chat.postMessage") == 0
    assert await room.inbox(question) == ("done", "dropped")


@pytest.mark.parametrize("fault", [{"kind": "hang", "seconds": 30}, {"kind": "ratelimit", "retry_after": 30}])
async def test_a_deletion_interrupts_even_a_call_that_slack_does_not_answer_or_not_yet(
    room: Room, fault: dict[str, Any]
) -> None:
    room.sandbox.faults.add("chat.postMessage", **fault)
    question = await room.ask("@EnableBot go on")
    service = room.service(model=Recorded(*SENTENCES))
    answering = asyncio.create_task(service.answer(question))
    await room.sandbox.wait_for(lambda: not room.sandbox.faults.left(), timeout=10)

    assert by_message(service, question)

    async with asyncio.timeout(15):
        assert await answering == SETTLED
    assert room.spoken(question) == []
    assert (await room.answer_row(question))["state"] == "dropped"


async def test_a_message_whose_sending_was_in_doubt_is_found_and_deleted_with_its_question(room: Room) -> None:
    question = await room.ask("@EnableBot go on")
    await die(room, question, "record_reply", Recorded(*SENTENCES), before=True)
    assert len(room.spoken(question)) == 1
    await withdraw(room, question)

    heir = await room.claimed(question)
    model = Recorded(*SENTENCES)
    assert await room.service(model=model).answer(heir) == SETTLED

    assert room.spoken(heir) == []
    assert model.requests == []
    assert await room.inbox(heir) == ("done", "dropped")


async def test_a_deletion_that_slack_does_not_confirm_is_repeated(room: Room) -> None:
    room.sandbox.faults.add("chat.delete", "lost_answer")
    question = await room.ask("@EnableBot go on")
    await die(room, question, "record_reply", Recorded(*SENTENCES), before=False)
    await withdraw(room, question)

    heir = await room.claimed(question)
    assert await room.service(model=Recorded()).answer(heir) == SETTLED

    assert room.spoken(heir) == []
    assert room.calls("chat.delete") == 2


@pytest.mark.parametrize("gives_up", [False, True])
async def test_a_question_that_was_deleted_first_is_dropped_without_a_word(room: Room, gives_up: bool) -> None:
    question = await room.ask("@EnableBot go on")
    await withdraw(room, question)
    model = Recorded()
    service = room.service(model=model)

    outcome = await (service.give_up(question, "three deaths") if gives_up else service.answer(question))

    assert outcome == Outcome("dropped", "withdrawn")
    assert room.spoken(question) == []
    assert model.requests == []
    assert await room.admin.fetchval("select count(*) from enablebot.messages") == 0


async def test_another_question_of_the_thread_goes_on_when_one_is_deleted(room: Room) -> None:
    first = await room.ask("@EnableBot go on")
    service = room.service(model=Recorded(*SENTENCES, delay=0.005))
    answering = asyncio.create_task(service.answer(first))
    await room.sandbox.wait_for(lambda: room.spoken(first), timeout=10)

    assert not service.withdraw(room.tenant_id, channel=first.channel, question_ts="1.000001")
    assert not service.signal(room.tenant_id, first.event_id + 1, "withdraw")

    assert await answering == SETTLED
    assert_whole(room.the_answer(first))


async def test_a_stop_told_by_another_process_ends_the_answer_with_what_is_shown(room: Room) -> None:
    question = await room.ask("@EnableBot go on")
    service = room.service(model=Recorded(*SENTENCES, delay=0.01))
    answering = asyncio.create_task(service.answer(question))
    await room.sandbox.wait_for(lambda: room.spoken(question), timeout=10)

    assert service.signal(room.tenant_id, question.event_id, "stop")

    assert await answering == SETTLED
    assert "Sentence number 0" in room.the_answer(question)
    assert "Sentence number 79" not in room.the_answer(question)
    assert (await room.answer_row(question))["reason"] == "stopped"


async def test_a_stop_before_the_first_word_ends_the_answer_in_silence(room: Room) -> None:
    question = await room.ask("@EnableBot go on")
    model = Recorded(held=asyncio.Event())
    service = room.service(model=model)
    answering = asyncio.create_task(service.answer(question))
    while not model.requests:
        await asyncio.sleep(0.005)

    assert service.stop(room.tenant_id, channel=question.channel, thread_ts=question.thread_ts)

    async with asyncio.timeout(10):
        assert await answering == SETTLED
    assert room.spoken(question) == []
    assert model.closed == 1


async def test_a_stop_while_the_answer_is_only_being_opened_is_not_forgotten(room: Room) -> None:
    question = await room.ask("@EnableBot go on")
    model = Recorded(*SENTENCES)
    heard: list[bool] = []

    async def stop() -> None:
        heard.append(service.stop(room.tenant_id, channel=question.channel, thread_ts=question.thread_ts))

    whole = room.database
    room.database = Database(Struck(whole._transport, "open_answer", stop))
    service = room.service(model=model)
    room.database = whole

    assert await service.answer(question) == SETTLED

    assert heard == [True]
    assert room.spoken(question) == []


@CHANNELS
async def test_a_replayed_question_gets_its_answer_in_place_of_the_apology(room: Room, channel: str) -> None:
    question = await room.ask("@EnableBot go on", channel=channel)
    assert await room.service().give_up(question, "three deaths") == GAVE_UP
    apology = room.spoken(question)[0]
    assert apology["text"] == sentence("gave_up")
    assert (await room.answer_row(question))["state"] == "failed"

    replayed = await room.database.replay_event(tenant_id=room.tenant_id, id=question.event_id, actor="operator")
    assert replayed.replayed
    again = await room.claimed(question)
    assert again.attempts == 1
    assert again.waited_seconds < 60
    assert await room.service(model=Recorded(*SENTENCES)).answer(again) == SETTLED

    assert_whole(room.the_answer(again))
    assert room.spoken(again)[0]["ts"] == apology["ts"]
    assert (await room.answer_row(again))["state"] == "complete"
    assert await room.inbox(again) == ("done", "done")


@CHANNELS
async def test_a_replay_that_dies_with_its_draft_kept_does_not_take_the_apology_for_the_answer(
    room: Room, channel: str
) -> None:
    question = await room.ask("@EnableBot go on", channel=channel)
    await room.service().give_up(question, "three deaths")
    await room.database.replay_event(tenant_id=room.tenant_id, id=question.event_id, actor="operator")
    again = await room.claimed(question)
    await die(room, again, "save_draft", Recorded(*SENTENCES), before=False)

    heir = await room.claimed(again)
    model = Recorded("never asked")
    assert await room.service(model=model).answer(heir) == SETTLED

    assert_whole(room.the_answer(heir))
    assert model.requests == []


async def test_a_message_whole_in_one_attempt_is_not_taken_for_the_answer_of_the_next(
    room: Room,
) -> None:
    long = tuple(f"This is sentence {number} of many.\n\n" for number in range(400))
    question = await room.ask("@EnableBot go on")
    # Its first message was whole, and its second not begun.
    await die(room, question, "intend_reply", Recorded(*long, delay=0.001), number=2, before=True)
    assert [row["state"] for row in await room.replies(question)] == ["closed"]
    heir = await room.claimed(question)
    await die(room, heir, "save_draft", Recorded("In short: no."), before=False)

    last = await room.claimed(heir)
    assert await room.service(model=Recorded("never asked")).answer(last) == SETTLED

    assert room.spoken(last)[0]["text"] == "In short: no."


async def test_giving_up_where_slack_takes_nothing_keeps_the_question_for_a_replay(room: Room) -> None:
    room.sandbox.faults.add("chat.postMessage", "ratelimit", retry_after=600, times=100)
    question = await room.ask("@EnableBot go on")

    assert await room.service().give_up(question, "three deaths") == GAVE_UP

    row = await room.answer_row(question)
    assert (row["state"], row["reason"]) == ("failed", "three deaths; slack_rate_limited")
    assert await room.inbox(question) == ("set_aside", "set_aside")


@CHANNELS
@pytest.mark.parametrize(
    ("function", "when"),
    [
        pytest.param("open_answer", {}, id="opened"),
        pytest.param("intend_reply", {}, id="intended"),
        pytest.param("record_reply", {}, id="open"),
        pytest.param("save_draft", {}, id="drafted"),
        pytest.param("record_reply", {"number": 2}, id="whole"),
        pytest.param("finish_answer", {"before": True}, id="before-finish"),
    ],
)
@pytest.mark.parametrize("ending", ["answer", "give_up", "withdraw", "expired"])
async def test_however_an_answer_ends_after_a_crash_its_thread_does_not_show_the_bot_at_work(
    room: Room, channel: str, function: str, when: dict[str, Any], ending: str
) -> None:
    question = await room.ask("@EnableBot go on", channel=channel)
    await die(room, question, function, Recorded(*SENTENCES, delay=0.002), **when)
    # Wherever the process died: it may have shown itself at work, and not have lived to take that back.
    room.sandbox.sessions.set_status(channel=question.channel, thread_ts=question.thread_ts, status="processing")
    if ending == "withdraw":
        await withdraw(room, question)
    if ending == "expired":
        await room.admin.execute("update enablebot.inbox set received_at = now() - interval '20 minutes'")

    heir = await room.claimed(question)
    service = room.service(model=Recorded(*SENTENCES))
    await (service.give_up(heir, "three deaths") if ending == "give_up" else service.answer(heir))

    assert status(room, heir) == "active"


async def test_an_answer_in_doubt_does_not_leave_the_bot_at_work(room: Room) -> None:
    room.sandbox.faults.add("chat.postMessage", "reset")
    room.sandbox.faults.add("conversations.replies", "error", error="missing_scope", times=20)
    question = await room.ask("@EnableBot go on")
    await die(room, question, "intend_reply", Recorded(*SENTENCES), number=2)
    room.sandbox.sessions.set_status(channel=question.channel, thread_ts=question.thread_ts, status="processing")

    heir = await room.claimed(question)
    await room.service(model=Recorded(*SENTENCES)).answer(heir)

    assert status(room, heir) == "active"
    assert RETRY_ACTION in str(room.spoken(heir)[-1]["blocks"])


@pytest.mark.parametrize("fault", ["lost_answer", "reset", "hang"])
async def test_a_status_of_which_nobody_knows_whether_it_arrived_is_taken_down(room: Room, fault: Any) -> None:
    room.sandbox.faults.add("agents.sessions.setStatus", fault)
    question = await room.ask("@EnableBot go on")

    await room.service(model=Recorded(*SENTENCES, delay=0.002)).answer(question)

    assert status(room, question) == "active"
    assert room.calls("agents.sessions.setStatus") == 2


async def test_a_quick_answer_costs_no_call_for_its_status(room: Room) -> None:
    room.time_scale = 1
    question = await room.ask("@EnableBot go on")

    await room.service(model=Recorded("Yes. ")).answer(question)

    assert room.calls("agents.sessions.setStatus") == 0
    assert room.the_answer(question) == "Yes. "


async def test_a_half_message_stops_looking_as_if_somebody_wrote_it_while_the_model_thinks_again(room: Room) -> None:
    question = await room.ask("@EnableBot go on", channel="@bot")
    await room.abandon_when(
        room.service(model=Recorded(*SENTENCES, delay=0.02)), question, lambda: room.calls("chat.appendStream") >= 2
    )
    assert room.spoken(question)[0]["streaming_state"] == "in_progress"

    heir = await room.claimed(question)
    thinking = asyncio.Event()
    answering = asyncio.create_task(room.service(model=Recorded(*SENTENCES, held=thinking)).answer(heir))
    await room.sandbox.wait_for(lambda: room.spoken(heir)[0]["streaming_state"] == "completed", timeout=10)
    thinking.set()

    assert await answering == SETTLED
    assert_whole(room.the_answer(heir))


async def test_an_unmarked_message_of_ours_is_not_taken_for_a_post(room: Room) -> None:
    first = await room.ask("@EnableBot first", channel="@bot")
    # Asked while the first was waiting, so that the reply to it is younger than both questions.
    second_ts = await room.sandbox.post(
        team=TEAM, channel=first.channel, user=ADA, text="second", thread_ts=first.thread_ts
    )
    await room.service(model=Recorded("The first answer.")).answer(first)
    # A stream that Slack ended by itself carries no mark, and an answer that failed is not part of the conversation.
    room.sandbox.world.log(first.channel).by_ts[room.spoken(first)[0]["ts"]].metadata = None
    await room.admin.execute("update enablebot.answers set message_id = null")
    await room.admin.execute("delete from enablebot.messages where role = 'assistant'")
    second = await room.accepted(
        text="second", channel=first.channel, channel_type="im", ts=second_ts, user=ADA, thread_ts=first.thread_ts
    )
    room.sandbox.faults.add("chat.startStream", "error", error="channel_type_not_supported")
    room.sandbox.faults.add("chat.postMessage", "reset")

    await room.service(model=Recorded("The second answer.")).answer(second)

    assert [message["text"] for message in room.spoken(second)] == ["The first answer.", "The second answer."]


@pytest.mark.parametrize("kind", ["lost_answer", "reset"])
async def test_a_note_of_unknown_outcome_is_looked_for_before_it_is_posted_again(room: Room, kind: Any) -> None:
    room.time_scale = 0.05
    # Slack says nothing of the thread until the answer is flagged, and everything after that.
    room.sandbox.faults.add("chat.postMessage", "reset")
    room.sandbox.faults.add("chat.postMessage", kind)
    room.sandbox.faults.add("conversations.replies", "error", error="missing_scope")
    question = await room.ask("@EnableBot go on")

    assert await room.service(model=Recorded(*SENTENCES)).answer(question) == SETTLED

    (note,) = room.spoken(question)
    assert RETRY_ACTION in str(note["blocks"])
    assert (await room.answer_row(question))["state"] == "ambiguous"
    assert room.metrics.registry.get_sample_value("enablebot_replies_ambiguous_total") == 1
