"""Questions in a channel, a thread and a direct message, answered through the played Slack and OpenAI."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from enablebot.api.answering.model import Completed
from enablebot.api.answering.reasons import LENGTH_LIMIT_NOTE, sentence
from enablebot.api.answering.service import GAVE_UP
from enablebot.shared.errors import StaleClaim
from enablebot.tests.api.answering_room import ADA, BEN, GENERAL, SETTLED, TEAM, Recorded, Room, opened_house
from enablebot.tests.database import PostgresServers

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def house(postgres_servers: PostgresServers) -> AsyncIterator[Room]:
    async with opened_house(postgres_servers) as opened:
        yield opened


@pytest.fixture
async def room(house: Room) -> AsyncIterator[Room]:
    fresh = await house.fresh()
    yield fresh
    await fresh.leave()


async def test_a_mention_in_a_channel_is_answered_in_its_thread_by_one_post(room: Room) -> None:
    question = await room.ask("@EnableBot what is a lighthouse for?")

    assert await room.service().answer(question) == SETTLED

    assert "lighthouse" in room.the_answer(question)
    assert room.spoken(question)[0]["thread_ts"] == question.ts
    assert room.calls("chat.startStream") == 0
    assert await room.inbox(question) == ("done", "done")
    assert [(row["mode"], row["state"]) for row in await room.replies(question)] == [("post", "closed")]


async def test_a_direct_message_is_answered_by_a_stream(room: Room) -> None:
    question = await room.ask("What is a lighthouse for? [[long 120]]", channel="@bot")

    assert await room.service().answer(question) == SETTLED

    assert len(room.the_answer(question).split()) >= 120
    assert room.spoken(question)[0]["streaming_state"] == "completed"
    assert room.calls("chat.startStream") == 1
    assert room.calls("chat.appendStream") >= 1
    assert room.calls("chat.postMessage") == 0


async def test_a_follow_up_in_the_thread_is_answered_from_what_was_said_before(room: Room) -> None:
    first = await room.ask("@EnableBot my budget is 4711 euros.")
    await room.service().answer(first)
    second = await room.ask("and what was my budget?", thread_ts=first.ts, user=BEN)

    await room.service().answer(second)

    assert "4711" in room.spoken(second)[-1]["text"]
    assert len(room.spoken(second)) == 2


async def test_the_thread_before_the_bot_was_asked_is_read_once(room: Room) -> None:
    root = await room.sandbox.post(team=TEAM, channel=GENERAL, user=BEN, text="The launch code name is Heron.")
    question = await room.ask("@EnableBot what is the launch code name?", thread_ts=root)
    await room.service().answer(question)
    assert "Heron" in room.the_answer(question)

    again = await room.ask("@EnableBot and the code name again?", thread_ts=root)
    await room.service().answer(again)

    assert room.calls("conversations.replies") == 1


async def test_what_was_said_is_stored_sealed_and_with_its_tokens_counted(room: Room) -> None:
    question = await room.ask("@EnableBot the password of the safe is swordfish")
    await room.service().answer(question)

    row = await room.answer_row(question)
    assert row["state"] == "complete"
    assert row["model"] == "gpt-6-luna"
    assert row["input_tokens"] > 0
    assert row["output_tokens"] > 0
    bodies = [message["body"] for message in await room.admin.fetch("select body from enablebot.messages")]
    assert len(bodies) == 2
    assert not any(b"swordfish" in body for body in bodies)


async def test_an_answered_question_that_comes_again_is_refused_and_not_answered_twice(room: Room) -> None:
    question = await room.ask("@EnableBot hello")
    await room.service().answer(question)

    with pytest.raises(StaleClaim):
        await room.service().answer(question)

    assert len(room.spoken(question)) == 1


async def test_the_bot_shows_that_it_works_in_a_channel_and_that_it_is_done(room: Room) -> None:
    question = await room.ask("@EnableBot hello")
    await room.service().answer(question)

    session = room.sandbox.sessions.find(GENERAL, question.thread_ts)
    assert room.calls("agents.sessions.setStatus") == 2
    assert session is not None
    assert session.status == "active"


async def test_a_question_that_waited_too_long_gets_one_apology_and_costs_no_model_call(room: Room) -> None:
    question = await room.ask("@EnableBot are you there?")
    late = replace(question, waited_seconds=16 * 60)

    assert await room.service().answer(late) == SETTLED

    assert room.the_answer(question) == sentence("expired")
    assert await room.inbox(question) == ("done", "failed")
    assert room.sandbox.faults.left() == []
    assert room.metrics.registry.get_sample_value("enablebot_model_calls_total", {"outcome": "ok"}) is None


async def test_giving_up_says_so_in_plain_words(room: Room) -> None:
    question = await room.ask("@EnableBot hello")

    assert await room.service().give_up(question, "RuntimeError") == GAVE_UP

    assert room.the_answer(question) == sentence("gave_up")
    assert await room.inbox(question) == ("set_aside", "set_aside")


async def test_two_workspaces_hashes_and_two_peoples_hashes_differ_and_name_nobody(room: Room) -> None:
    model = Recorded()
    for user in (ADA, BEN):
        question = await room.ask("@EnableBot hello", user=user)
        await room.service(model=model).answer(question)

    first, second = model.requests
    assert first.safety_identifier != second.safety_identifier
    assert first.prompt_cache_key == second.prompt_cache_key
    for request in model.requests:
        assert ADA not in request.safety_identifier + request.prompt_cache_key
        assert str(room.tenant_id) not in request.safety_identifier + request.prompt_cache_key


async def test_what_the_model_writes_goes_through_the_guard(room: Room) -> None:
    model = Recorded("<!channel> see [this](https://evil.example/?q=1) or evil.com, ![x](https://evil.example/i.png)")
    question = await room.ask("@EnableBot hello", channel="@bot")

    await room.service(model=model).answer(question)

    text = room.the_answer(question)
    assert "<!" not in text
    assert "https://" not in text
    assert "evil.com" not in text


async def test_an_address_the_asker_wrote_may_stay_a_link(room: Room) -> None:
    model = Recorded("Yes, https://status.example.org/now is right.")
    question = await room.ask("@EnableBot is https://status.example.org/now right?")

    await room.service(model=model).answer(question)

    assert "https://status.example.org/now" in room.the_answer(question)


@pytest.mark.parametrize(("every", "gap"), [(7, "\n\n"), (900, "\n\n"), (80, "\n")])
@pytest.mark.parametrize("channel", ["@bot", GENERAL])
async def test_a_long_answer_becomes_several_messages_with_every_word_once(
    room: Room, channel: str, every: int, gap: str
) -> None:
    said = [f"This is sentence {number} of many." + (" " if number % every else gap) for number in range(900)]
    model = Recorded(*("".join(said[place : place + 9]) for place in range(0, 900, 9)), delay=0.01)
    question = await room.ask("@EnableBot tell me everything", channel=channel)

    await room.service(model=model).answer(question)

    messages = room.spoken(question)
    assert len(messages) >= 3
    assert all(len(message["text"]) <= 12_000 for message in messages)
    assert re.findall(r"sentence (\d+) of", "".join(message["text"] for message in messages)) == [
        str(number) for number in range(900)
    ]
    assert {row["state"] for row in await room.replies(question)} == {"closed"}


async def test_a_stream_that_grows_old_goes_on_in_a_second_message(room: Room) -> None:
    room.time_scale = 0.001
    model = Recorded(*(f"Sentence number {number}. " for number in range(120)), delay=0.01)
    question = await room.ask("tell me", channel="@bot")

    await room.service(model=model).answer(question)

    messages = room.spoken(question)
    assert len(messages) >= 2
    assert "".join(message["text"] for message in messages).count("Sentence number") == 120


async def test_a_person_who_presses_stop_gets_no_more_text(room: Room) -> None:
    model = Recorded(*(f"Sentence number {number}. " for number in range(500)), delay=0.01)
    question = await room.ask("tell me", channel="@bot")
    answering = asyncio.create_task(room.service(model=model).answer(question))
    await room.sandbox.wait_for(lambda: room.calls("chat.appendStream") >= 2, timeout=10)

    room.sandbox.streams.stop_by_user(question.channel, question.thread_ts)
    seen = room.spoken(question)[0]["text"]

    assert await answering == SETTLED
    assert room.the_answer(question) == seen
    assert (await room.answer_row(question))["state"] == "complete"
    assert model.closed


async def test_stopping_an_answer_in_a_channel_ends_it_with_what_was_shown(room: Room) -> None:
    model = Recorded(*(f"Sentence number {number}. " for number in range(500)), delay=0.01)
    question = await room.ask("@EnableBot tell me")
    service = room.service(model=model)
    answering = asyncio.create_task(service.answer(question))
    await room.sandbox.wait_for(lambda: len(room.spoken(question)) == 1, timeout=10)

    assert service.stop(room.tenant_id, channel=question.channel, thread_ts=question.thread_ts)

    assert await answering == SETTLED
    assert "Sentence number 0" in room.the_answer(question)
    assert "Sentence number 499" not in room.the_answer(question)
    assert not service.stop(room.tenant_id, channel=question.channel, thread_ts=question.thread_ts)


async def test_an_answer_at_its_length_limit_says_so(room: Room) -> None:
    model = Recorded("And so on", ended=Completed("gpt-6-luna", "incomplete", "max_output_tokens"))
    question = await room.ask("@EnableBot go on")

    await room.service(model=model).answer(question)

    assert room.the_answer(question) == "And so on" + LENGTH_LIMIT_NOTE


async def test_only_the_beginning_of_a_huge_question_is_read_and_the_answer_says_so(room: Room) -> None:
    model = Recorded("Fine.")
    question = replace(await room.ask("@EnableBot hello"), text="word " * 200_000)

    await room.service(model=model).answer(question)

    assert len(str(model.requests[0].input)) < 25_000
    assert "20,000" in room.the_answer(question)
