"""A process dies in the middle of an answer; the next one makes it one message, whatever the first had got to.

The service is abandoned at each step. What Slack holds afterwards is looked at, not what we believe we did.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from enablebot.api.answering.reasons import RETRY_ACTION, sentence
from enablebot.api.answering.service import GAVE_UP
from enablebot.shared.errors import StaleClaim
from enablebot.tests.api.answering_room import BEN, GENERAL, SETTLED, TEAM, Recorded, Room, opened_house
from enablebot.tests.api.dying import die
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
    yield fresh
    await fresh.leave()


def assert_whole(text: str) -> None:
    assert text.split() == "".join(SENTENCES).split()


STEPS = [
    pytest.param("open_answer", {"before": False}, id="after-open"),
    pytest.param("intend_reply", {"before": True}, id="before-intend"),
    pytest.param("intend_reply", {"before": False}, id="after-intend"),
    pytest.param("record_reply", {"before": True}, id="sent-but-not-recorded"),
    pytest.param("record_reply", {"before": False}, id="recorded"),
    pytest.param("save_draft", {"before": True}, id="before-draft"),
    pytest.param("save_draft", {"before": False}, id="after-draft"),
    pytest.param("record_reply", {"before": True, "number": 2}, id="whole-but-not-recorded"),
    pytest.param("record_reply", {"before": False, "number": 2}, id="before-finish"),
    pytest.param("finish_answer", {"before": True}, id="instead-of-finish"),
]


@CHANNELS
@pytest.mark.parametrize(("method", "when"), STEPS)
async def test_wherever_a_process_dies_a_person_sees_one_whole_answer(
    room: Room, channel: str, method: str, when: dict[str, Any]
) -> None:
    question = await room.ask("@EnableBot go on", channel=channel)
    models = [Recorded(*SENTENCES, delay=0.002), Recorded(*SENTENCES, delay=0.002)]
    await die(room, question, method, models[0], **when)

    heir = await room.claimed(question)
    assert await room.service(model=models[1]).answer(heir) == SETTLED

    assert_whole(room.the_answer(heir))
    assert await room.inbox(heir) == ("done", "done")
    # A draft once saved spares the second call; before that one more is the most a death may cost.
    drafted = method == "finish_answer" or (method, when) in [
        ("save_draft", {"before": False}),
        ("record_reply", {"before": True, "number": 2}),
        ("record_reply", {"before": False, "number": 2}),
    ]
    assert len(models[1].requests) == (0 if drafted else 1)


@CHANNELS
@pytest.mark.parametrize("method", ["intend_reply", "record_reply", "save_draft"])
async def test_two_deaths_in_a_row_still_lead_to_one_answer(room: Room, channel: str, method: str) -> None:
    question = await room.ask("@EnableBot go on", channel=channel)
    for _ in range(2):
        await die(room, question, method, Recorded(*SENTENCES, delay=0.002), before=False)
        question = await room.claimed(question)

    await room.service(model=Recorded(*SENTENCES)).answer(question)

    assert_whole(room.the_answer(question))


@CHANNELS
async def test_an_answer_cut_off_in_mid_stream_is_completed_in_the_same_message(room: Room, channel: str) -> None:
    question = await room.ask("@EnableBot go on", channel=channel)
    service = room.service(model=Recorded(*SENTENCES, delay=0.02))
    shown = "chat.appendStream" if channel == "@bot" else "chat.update"
    await room.abandon_when(service, question, lambda: room.calls(shown) >= 2)
    half = room.spoken(question)[0]
    assert 0 < len(half["text"].split()) < len(SENTENCES) * 3

    heir = await room.claimed(question)
    await room.service(model=Recorded(*SENTENCES)).answer(heir)

    assert_whole(room.the_answer(heir))
    assert room.spoken(heir)[0]["ts"] == half["ts"]
    assert room.spoken(heir)[0].get("streaming_state") in (None, "completed")


@CHANNELS
async def test_a_post_in_flight_when_the_process_dies_is_found_again(room: Room, channel: str) -> None:
    method = "chat.startStream" if channel == "@bot" else "chat.postMessage"
    question = await room.ask("@EnableBot go on", channel=channel)
    room.sandbox.faults.add(method, "lost_answer")
    await room.abandon_when(room.service(model=Recorded(*SENTENCES)), question, lambda: room.spoken(question))

    heir = await room.claimed(question)
    await room.service(model=Recorded(*SENTENCES)).answer(heir)

    assert_whole(room.the_answer(heir))


@CHANNELS
async def test_an_answer_in_several_messages_is_healed_in_all_of_them(room: Room, channel: str) -> None:
    said = [f"This is sentence {number} of many.\n\n" for number in range(700)]
    texts = ["".join(said[place : place + 10]) for place in range(0, 700, 10)]
    question = await room.ask("@EnableBot go on", channel=channel)
    service = room.service(model=Recorded(*texts, delay=0.01))
    await room.abandon_when(service, question, lambda: len(room.spoken(question)) == 2)

    heir = await room.claimed(question)
    await room.service(model=Recorded(*texts)).answer(heir)

    messages = room.spoken(heir)
    assert "".join(message["text"] for message in messages).split() == "".join(said).split()
    assert {row["state"] for row in await room.replies(heir)} == {"closed"}


async def test_an_answer_that_turns_out_shorter_says_that_its_later_message_is_void(room: Room) -> None:
    texts = [f"This is sentence {number} of many.\n\n" * 10 for number in range(70)]
    question = await room.ask("@EnableBot go on")
    service = room.service(model=Recorded(*texts, delay=0.01))
    await room.abandon_when(service, question, lambda: len(room.spoken(question)) == 2)

    heir = await room.claimed(question)
    await room.service(model=Recorded("In short: no.")).answer(heir)

    first, second = room.spoken(heir)
    assert first["text"] == "In short: no."
    assert "complete in my message above" in second["text"]


async def test_a_half_message_whose_question_grew_too_old_becomes_the_apology(room: Room) -> None:
    question = await room.ask("@EnableBot go on", channel="@bot")
    await room.abandon_when(
        room.service(model=Recorded(*SENTENCES, delay=0.02)), question, lambda: room.calls("chat.appendStream") >= 1
    )
    await room.admin.execute("update enablebot.inbox set received_at = now() - interval '20 minutes'")

    heir = await room.claimed(question)
    assert await room.service(model=Recorded(*SENTENCES)).answer(heir) == SETTLED

    assert room.the_answer(heir) == sentence("expired")


async def test_a_draft_is_shown_however_old_it_is(room: Room) -> None:
    question = await room.ask("@EnableBot go on")
    await die(room, question, "save_draft", Recorded(*SENTENCES), before=False)
    await room.admin.execute("update enablebot.inbox set received_at = now() - interval '20 minutes'")

    heir = await room.claimed(question)
    await room.service(model=Recorded("never asked")).answer(heir)

    assert_whole(room.the_answer(heir))


async def test_giving_up_after_deaths_turns_the_half_message_into_the_reason(room: Room) -> None:
    question = await room.ask("@EnableBot go on", channel="@bot")
    await die(room, question, "record_reply", Recorded(*SENTENCES, delay=0.002), before=False)

    heir = await room.claimed(question)
    assert await room.service(model=Recorded(*SENTENCES)).give_up(heir, "three deaths") == GAVE_UP

    assert room.the_answer(heir) == sentence("gave_up")
    assert await room.inbox(heir) == ("set_aside", "set_aside")


@pytest.mark.parametrize(
    ("method", "when"),
    [
        ("record_reply", {"before": False}),
        ("intend_reply", {"before": False, "number": 2}),
        ("finish_answer", {"before": True}),
    ],
)
async def test_a_death_while_an_answer_is_flagged_leaves_one_note(
    room: Room, method: str, when: dict[str, Any]
) -> None:
    room.sandbox.faults.add("chat.postMessage", "reset")
    room.sandbox.faults.add("conversations.replies", "error", error="missing_scope", times=20)
    question = await room.ask("@EnableBot go on")
    await die(room, question, method, Recorded(*SENTENCES), **when)

    heir = await room.claimed(question)
    assert await room.service(model=Recorded(*SENTENCES)).answer(heir) == SETTLED

    notes = [message for message in room.spoken(heir) if RETRY_ACTION in str(message.get("blocks"))]
    assert len(notes) == 1
    assert len(room.spoken(heir)) == 1
    assert (await room.answer_row(heir))["state"] == "ambiguous"


async def test_a_zombie_that_wakes_after_its_answer_was_healed_opens_no_second_message(room: Room) -> None:
    question = await room.ask("@EnableBot go on")
    asleep = Recorded(*SENTENCES, held=asyncio.Event())
    zombie = asyncio.create_task(room.service(model=asleep).answer(question))
    while not asleep.requests:
        await asyncio.sleep(0.01)

    heir = await room.claimed(question)
    await room.service(model=Recorded(*SENTENCES)).answer(heir)
    asleep.held.set()

    with pytest.raises(StaleClaim):
        await zombie
    assert_whole(room.the_answer(heir))
    assert await room.inbox(heir) == ("done", "done")


@CHANNELS
async def test_a_database_whose_clock_is_ahead_of_slacks_does_not_hide_the_message(room: Room, channel: str) -> None:
    question = await room.ask("@EnableBot go on", channel=channel)
    await die(room, question, "record_reply", Recorded(*SENTENCES, delay=0.002), before=True)
    await room.admin.execute("update enablebot.replies set intended_at = now() + interval '40 seconds'")

    heir = await room.claimed(question)
    await room.service(model=Recorded(*SENTENCES)).answer(heir)

    assert_whole(room.the_answer(heir))


async def test_a_thread_too_busy_to_be_sure_gets_the_note_and_no_second_answer(room: Room) -> None:
    room.sandbox.faults.add("chat.postMessage", "lost_answer")
    question = await room.ask("@EnableBot go on")
    for number in range(20):
        await room.sandbox.post(
            team=TEAM, channel=GENERAL, user=BEN, text=f"crowd {number}", thread_ts=question.thread_ts
        )

    await room.service(model=Recorded(*SENTENCES)).answer(question)

    lost, note = room.spoken(question)
    assert "Sentence" in lost["text"]
    assert RETRY_ACTION in str(note["blocks"])


@CHANNELS
async def test_what_never_left_is_sent_by_the_next_attempt_and_only_once(room: Room, channel: str) -> None:
    method = "chat.startStream" if channel == "@bot" else "chat.postMessage"
    question = await room.ask("@EnableBot go on", channel=channel)
    room.sandbox.faults.add(method, "hang", seconds=30)
    await room.abandon_when(room.service(model=Recorded(*SENTENCES)), question, lambda: not room.sandbox.faults.left())

    heir = await room.claimed(question)
    await room.service(model=Recorded(*SENTENCES)).answer(heir)

    assert_whole(room.the_answer(heir))


@CHANNELS
async def test_half_a_message_is_replaced_in_one_go_and_never_shrinks_first(room: Room, channel: str) -> None:
    question = await room.ask("@EnableBot go on", channel=channel)
    shown = "chat.appendStream" if channel == "@bot" else "chat.update"
    await room.abandon_when(
        room.service(model=Recorded(*SENTENCES, delay=0.02)), question, lambda: room.calls(shown) >= 3
    )
    before = room.calls("chat.update")

    heir = await room.claimed(question)
    await room.service(model=Recorded(*SENTENCES, delay=0.01)).answer(heir)

    assert_whole(room.the_answer(heir))
    assert room.calls("chat.update") == before + 1
