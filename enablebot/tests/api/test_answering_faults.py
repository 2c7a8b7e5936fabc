"""What goes wrong at Slack and at the model, and the one message a person sees all the same."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from enablebot.api.answering.model import Completed
from enablebot.api.answering.reasons import RETRY_ACTION, known_reasons, sentence
from enablebot.sandbox.config import SandboxConfig
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import ModelError, SlackRateLimited, SlackTokenDead, StaleClaim
from enablebot.tests.api.answering_room import ADA, GENERAL, SETTLED, TEAM, Recorded, Room, opened_house, opened_room
from enablebot.tests.database import PostgresServers

pytestmark = pytest.mark.anyio

SENTENCES = tuple(f"Sentence number {number}. " for number in range(60))


@pytest.fixture(scope="module")
async def house(postgres_servers: PostgresServers) -> AsyncIterator[Room]:
    async with opened_house(postgres_servers) as opened:
        yield opened


@pytest.fixture
async def room(house: Room) -> AsyncIterator[Room]:
    fresh = await house.fresh()
    yield fresh
    await fresh.leave()


def whole(text: str) -> bool:
    """Whether a text is all of SENTENCES, each once."""
    return text.split() == "".join(SENTENCES).split()


@pytest.mark.parametrize("channel", ["@bot", GENERAL])
@pytest.mark.parametrize("kind", ["lost_answer", "reset"])
async def test_an_opening_of_unknown_outcome_leads_to_one_message(room: Room, channel: str, kind: Any) -> None:
    method = "chat.startStream" if channel == "@bot" else "chat.postMessage"
    room.sandbox.faults.add(method, kind)
    question = await room.ask("@EnableBot go on", channel=channel)

    assert await room.service(model=Recorded(*SENTENCES, delay=0.002)).answer(question) == SETTLED

    assert whole(room.the_answer(question))
    assert room.calls("conversations.replies") == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_server_error_at_the_opening_is_looked_into_before_it_is_repeated(room: Room, status: int) -> None:
    room.sandbox.faults.add("chat.postMessage", "status", status=status)
    question = await room.ask("@EnableBot go on")

    await room.service().answer(question)

    assert len(room.the_answer(question)) > 0
    assert room.calls("conversations.replies") == 1


async def test_our_own_message_seen_as_an_event_settles_the_doubt_without_asking_slack(room: Room) -> None:
    room.time_scale = 0.5
    room.sandbox.faults.add("chat.postMessage", "lost_answer")
    question = await room.ask("@EnableBot go on")
    answering = asyncio.create_task(room.service(model=Recorded(*SENTENCES)).answer(question))
    await room.sandbox.wait_for(lambda: room.spoken(question), timeout=10)

    noted = await room.database.note_own_messages(
        tenant_ids=[room.tenant_id],
        channels=[question.channel],
        threads=[question.thread_ts],
        ts=[room.spoken(question)[0]["ts"]],
    )

    assert noted == [True]
    assert await answering == SETTLED
    assert whole(room.the_answer(question))
    assert room.calls("conversations.replies") == 0


@pytest.mark.parametrize("channel", ["@bot", GENERAL])
async def test_an_earlier_answer_in_the_thread_is_not_taken_for_the_lost_one(room: Room, channel: str) -> None:
    first = await room.ask("@EnableBot first", channel=channel)
    # Asked while the first was waiting, so that both answers are younger than both questions.
    second_ts = await room.sandbox.post(
        team=TEAM, channel=first.channel, user=ADA, text="second", thread_ts=first.thread_ts
    )
    long = tuple(f"This is sentence {number} of the first.\n\n" * 10 for number in range(40))
    await room.service(model=Recorded(*long)).answer(first)
    earlier = room.spoken(first)
    assert len(earlier) == 2
    if channel == "@bot":
        # A stream that Slack ended by itself carries no mark of ours; what is left is that we know it.
        for message in earlier[:1]:
            room.sandbox.world.log(first.channel).by_ts[message["ts"]].metadata = None
    second = await room.accepted(
        text="second",
        channel=first.channel,
        channel_type=first.channel_type,
        ts=second_ts,
        user=ADA,
        thread_ts=first.thread_ts,
    )
    room.sandbox.faults.add("chat.startStream" if channel == "@bot" else "chat.postMessage", "reset")

    await room.service(model=Recorded("The second answer.")).answer(second)

    assert [message["text"] for message in room.spoken(second)] == [
        *(message["text"] for message in earlier),
        "The second answer.",
    ]


async def test_when_nobody_knows_the_person_gets_a_reason_and_a_retry_button(room: Room) -> None:
    room.sandbox.faults.add("chat.postMessage", "reset")
    room.sandbox.faults.add("conversations.replies", "error", error="missing_scope", times=10)
    question = await room.ask("@EnableBot go on")

    assert await room.service().answer(question) == SETTLED

    (note,) = room.spoken(question)
    assert note["text"] == sentence("ambiguous")
    assert RETRY_ACTION in str(note["blocks"])
    # The button names its question: somebody else may have written in between.
    assert f":{question.ts}'" in str(note["blocks"])
    assert (await room.answer_row(question))["state"] == "ambiguous"
    assert await room.inbox(question) == ("done", "failed")
    assert room.metrics.registry.get_sample_value("enablebot_replies_ambiguous_total") == 1


@pytest.mark.parametrize("kind", ["lost_answer", "reset"])
async def test_an_append_of_unknown_outcome_is_never_repeated_and_the_whole_text_is_shown(
    room: Room, kind: Any
) -> None:
    room.sandbox.faults.add("chat.appendStream", kind, skip=1)
    question = await room.ask("go on", channel="@bot")

    await room.service(model=Recorded(*SENTENCES, delay=0.002)).answer(question)

    assert whole(room.the_answer(question))
    assert room.calls("chat.update") >= 1


async def test_a_stop_of_unknown_outcome_leaves_one_whole_message(room: Room) -> None:
    room.sandbox.faults.add("chat.stopStream", "lost_answer")
    question = await room.ask("go on", channel="@bot")

    await room.service(model=Recorded(*SENTENCES, delay=0.002)).answer(question)

    assert whole(room.the_answer(question))
    assert room.spoken(question)[0]["streaming_state"] == "completed"


@pytest.mark.parametrize(
    "error",
    ["channel_type_not_supported", "unknown_method", "missing_scope", "not_allowed_token_type", "team_not_found"],
)
async def test_where_streaming_is_refused_the_answer_is_posted_and_edited(room: Room, error: str) -> None:
    room.sandbox.faults.add("chat.startStream", "error", error=error, times=10)
    question = await room.ask("go on", channel="@bot")

    await room.service(model=Recorded(*SENTENCES, delay=0.002)).answer(question)

    assert whole(room.the_answer(question))
    assert room.calls("chat.startStream") == 1
    assert room.calls("chat.postMessage") == 1


async def test_a_stream_that_dies_is_completed_by_an_edit(
    api_database: Database, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    config = SandboxConfig(model_delay_ms=0, time_scale=0.001, stream_seconds=100, rate_limits=False)
    async with opened_room(api_database, admin, config=config) as room:
        question = await room.ask("go on", channel="@bot")

        await room.service(model=Recorded(*SENTENCES, delay=0.01)).answer(question)

        assert whole(room.the_answer(question))
        assert room.calls("chat.update") >= 1


async def test_a_stream_start_that_slack_limits_for_long_becomes_a_post(room: Room) -> None:
    room.sandbox.faults.add("chat.startStream", "ratelimit", retry_after=30)
    question = await room.ask("go on", channel="@bot")

    await room.service(model=Recorded(*SENTENCES)).answer(question)

    assert whole(room.the_answer(question))
    assert room.calls("chat.postMessage") == 1


async def test_a_limited_method_is_left_alone_until_slack_wants_it_again(room: Room) -> None:
    room.sandbox.faults.add("chat.postMessage", "ratelimit", retry_after=1)
    question = await room.ask("@EnableBot go on")
    other = await room.ask("@EnableBot and you")
    service = room.service()
    limited = asyncio.create_task(service.answer(question))
    await room.sandbox.wait_for(lambda: room.calls("chat.postMessage") == 1, timeout=10)
    await asyncio.sleep(0.1)

    await service.answer(other)
    await limited

    struck, *later = [call for call in room.sandbox.ledger.calls if call.method == "chat.postMessage"]
    assert struck.error == "ratelimited"
    assert len(later) == 2
    # Both answers kept away from it, the one that was told and the one that was not.
    assert all(call.at - struck.at >= 0.99 for call in later)
    assert len(room.the_answer(question)) > 0
    assert len(room.the_answer(other)) > 0


@pytest.mark.parametrize("channel", ["@bot", GENERAL])
async def test_where_slack_limits_for_longer_than_patience_the_answer_is_kept_and_the_model_not_asked_again(
    room: Room, channel: str
) -> None:
    for method in ("chat.postMessage", "chat.startStream"):
        room.sandbox.faults.add(method, "ratelimit", retry_after=300)
    question = await room.ask("@EnableBot go on", channel=channel)
    with pytest.raises(SlackRateLimited) as limited:
        await room.service(model=Recorded(*SENTENCES, delay=0.002)).answer(question)
    assert limited.value.retry_after > 290

    # Later, and perhaps in another process.
    room = await room.fresh_slack()
    heir = await room.claimed(question)
    model = Recorded("never asked")
    assert await room.service(model=model).answer(heir) == SETTLED

    assert whole(room.the_answer(heir))
    assert model.requests == []
    await room.slack.aclose()


@pytest.mark.parametrize(("attempts", "asked"), [(1, 3), (2, 2), (3, 1), (4, 1)])
async def test_an_attempt_that_may_have_died_over_it_has_used_up_its_share_of_the_models_attempts(
    room: Room, attempts: int, asked: int
) -> None:
    model = Recorded("", ended=ModelError("down", reason="unavailable"))
    question = replace(await room.ask("@EnableBot go on"), attempts=attempts)

    await room.service(model=model).answer(question)

    assert len(model.requests) == asked
    assert room.the_answer(question) == sentence("unavailable")


async def test_a_message_that_must_not_be_edited_is_followed_by_the_rest(room: Room) -> None:
    room.sandbox.faults.add("chat.update", "error", error="edit_window_closed", times=100)
    question = await room.ask("@EnableBot go on")

    await room.service(model=Recorded(*SENTENCES, delay=0.005)).answer(question)

    assert whole(" ".join(message["text"] for message in room.spoken(question)))
    assert len(room.spoken(question)) == 2


async def test_an_answer_a_person_deletes_while_it_grows_stays_deleted(room: Room) -> None:
    question = await room.ask("@EnableBot go on")
    answering = asyncio.create_task(room.service(model=Recorded(*SENTENCES, delay=0.01)).answer(question))
    await room.sandbox.wait_for(lambda: room.spoken(question), timeout=10)
    room.sandbox.remove_message(room.sandbox.world.log(question.channel).by_ts[room.spoken(question)[0]["ts"]])

    assert await answering == SETTLED
    assert room.spoken(question) == []


@pytest.mark.parametrize("error", ["channel_not_found", "not_in_channel", "is_archived", "restricted_action"])
async def test_where_nothing_can_be_said_the_question_ends_without_being_tried_again(room: Room, error: str) -> None:
    room.sandbox.faults.add("chat.postMessage", "error", error=error, times=10)
    question = await room.ask("@EnableBot go on")

    assert await room.service().answer(question) == SETTLED

    row = await room.answer_row(question)
    assert (row["state"], row["reason"]) == ("failed", f"slack: {error}")
    assert room.calls("chat.postMessage") == 1


@pytest.mark.parametrize("error", ["account_inactive", "token_revoked", "invalid_auth"])
async def test_a_dead_token_is_for_the_surface_to_handle(room: Room, error: str) -> None:
    room.sandbox.faults.add("*", "error", error=error, times=100)
    question = await room.ask("@EnableBot go on")

    with pytest.raises(SlackTokenDead):
        await room.service(model=Recorded()).answer(question)


async def test_a_zombie_whose_claim_is_gone_says_nothing_more(room: Room) -> None:
    question = await room.ask("@EnableBot go on")
    usurper = await room.claimed(question)

    with pytest.raises(StaleClaim):
        await room.service().answer(question)

    assert room.spoken(question) == []
    assert await room.service().answer(usurper) == SETTLED
    assert len(room.spoken(question)) == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "status", "status": 401, "error": "invalid_api_key"}, "auth"),
        ({"kind": "status", "status": 429, "error": "insufficient_quota"}, "quota"),
        ({"kind": "status", "status": 404, "error": "model_not_found"}, "model_missing"),
        ({"kind": "status", "status": 400, "error": "context_length_exceeded"}, "too_long"),
        ({"kind": "status", "status": 400, "error": "unsupported_value"}, "bad_request"),
        ({"kind": "status", "status": 400, "error": "invalid_prompt"}, "refused"),
    ],
)
async def test_a_permanent_failure_of_the_model_is_told_at_once_and_not_repeated(
    room: Room, fault: dict[str, Any], reason: str
) -> None:
    room.sandbox.faults.add("openai.responses", times=10, **fault)
    question = await room.ask("@EnableBot go on")

    assert await room.service().answer(question) == SETTLED

    assert room.the_answer(question) == sentence(reason)
    assert len(room.sandbox.faults.left()) == 1
    assert room.sandbox.faults.left()[0]["times"] == 9
    assert await room.inbox(question) == ("done", "failed")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "status", "status": 500}, "unavailable"),
        ({"kind": "status", "status": 503}, "unavailable"),
        ({"kind": "status", "status": 429, "error": "rate_limit_exceeded"}, "rate_limited"),
        ({"kind": "reset"}, "unavailable"),
        ({"kind": "hang"}, "timeout"),
        ({"kind": "cut", "after_events": 2}, "cut"),
        ({"kind": "cut", "after_events": 9}, "cut"),
        ({"kind": "reset", "after_events": 9}, "cut"),
        ({"kind": "hang", "after_events": 9}, "timeout"),
        ({"kind": "error", "error": "server_error", "after_events": 9}, "unavailable"),
        ({"kind": "error", "error": "response.failed", "after_events": 9}, "unavailable"),
    ],
)
@pytest.mark.parametrize("channel", ["@bot", GENERAL])
async def test_a_model_that_keeps_failing_is_asked_three_times_and_one_reason_is_told(
    room: Room, channel: str, fault: dict[str, Any], reason: str
) -> None:
    room.settings = room.settings.model_copy(update={"deadline_seconds": 2})
    room.sandbox.faults.add("openai.responses", times=10, **fault)
    question = await room.ask("@EnableBot go on", channel=channel)

    assert await room.service().answer(question) == SETTLED

    assert room.the_answer(question) == sentence(reason)
    assert room.sandbox.faults.left()[0]["times"] >= 7


@pytest.mark.parametrize("after_events", [2, 12])
@pytest.mark.parametrize("channel", ["@bot", GENERAL])
async def test_a_model_that_fails_once_costs_the_person_nothing(room: Room, channel: str, after_events: int) -> None:
    room.sandbox.faults.add("openai.responses", "cut", after_events=after_events)
    question = await room.ask("@EnableBot tell me about lighthouses", channel=channel)

    await room.service().answer(question)

    assert room.the_answer(question).count("You asked") == 1
    assert "lighthouses" in room.the_answer(question)
    assert await room.inbox(question) == ("done", "done")


@pytest.mark.parametrize("channel", ["@bot", GENERAL])
async def test_an_answer_cut_after_it_was_shown_is_replaced_in_the_same_message(room: Room, channel: str) -> None:
    question = await room.ask("@EnableBot go on", channel=channel)

    await room.service(model=Recorded(*SENTENCES, delay=0.005, failures=1)).answer(question)

    assert whole(room.the_answer(question))


async def test_a_spent_key_and_a_wrong_key_are_told_apart(
    api_database: Database, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with opened_room(api_database, admin, api_key="sk-bad-one") as room:
        wrong = await room.ask("@EnableBot go on")
        await room.service().answer(wrong)
        assert room.the_answer(wrong) == sentence("auth")
        room.settings = room.settings.model_copy(update={"api_key": type(room.settings.api_key)("sk-quota-one")})  # type: ignore[misc]
        spent = await room.ask("@EnableBot go on")
        await room.service().answer(spent)
        assert room.the_answer(spent) == sentence("quota")


async def test_a_refusal_and_silence_of_the_model_are_said_in_plain_words(room: Room) -> None:
    refused = await room.ask("@EnableBot [[refuse]]")
    await room.service().answer(refused)
    assert room.the_answer(refused) == sentence("refused")

    empty = await room.ask("@EnableBot [[empty]]", channel="@bot")
    await room.service().answer(empty)
    assert room.the_answer(empty) == sentence("empty")


async def test_after_five_failures_the_model_is_left_alone_and_people_are_told_at_once(room: Room) -> None:
    model = Recorded("", ended=ModelError("down", reason="unavailable"))
    service = room.service(model=model)
    for _ in range(3):
        question = await room.ask("@EnableBot go on")
        await service.answer(question)
        assert room.the_answer(question) == sentence("unavailable")

    assert len(model.requests) == 5


async def test_no_reason_holds_an_exceptions_text_and_every_failure_of_the_model_has_one(room: Room) -> None:
    reasons = ModelError.__init__.__annotations__["reason"].__args__
    assert set(reasons) <= known_reasons()
    for reason in known_reasons():
        assert not any(word in sentence(reason) for word in ("Error", "Exception", "Traceback", "None"))
    question = await room.ask("@EnableBot go on")
    secret = ModelError("sk-secret leaked by a proxy", reason="unavailable", permanent=True)
    await room.service(model=Recorded("", ended=secret)).answer(question)
    assert "sk-secret" not in room.the_answer(question)


async def test_a_question_with_a_file_tells_the_model_that_it_cannot_read_it(room: Room) -> None:
    model = Recorded("Fine.", ended=Completed("gpt-6-luna"))
    question = replace(await room.ask("@EnableBot look"), file_names=("plan.pdf",))

    await room.service(model=model).answer(question)

    assert "plan.pdf" in str(model.requests[0].input)
    assert TEAM not in str(model.requests[0].input)
