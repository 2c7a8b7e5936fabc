"""Misfortune on order: every way a model call can fail, seen through the real client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from enablebot.tests.sandbox.openai_door import Door, collect, open_door

pytestmark = pytest.mark.anyio

ASK: dict[str, Any] = {"model": "gpt-6-luna", "store": False, "reasoning": {"effort": "none"}, "input": "[[long 40]]"}


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door() as opened:
        yield opened


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
async def test_a_status_becomes_the_clients_error_once(
    door: Door, status: int, error: type[openai.APIStatusError], *, stream: bool
) -> None:
    door.faults.add("openai.responses", "status", status=status)

    with pytest.raises(error) as raised:
        await door.client.responses.create(**ASK, stream=stream)
    assert raised.value.status_code == status
    await door.client.responses.create(**ASK)


async def test_a_rate_limit_says_how_long_to_wait(door: Door) -> None:
    door.faults.add("openai.responses", "ratelimit", retry_after=7)

    with pytest.raises(openai.RateLimitError) as raised:
        await door.client.responses.create(**ASK)

    assert raised.value.code == "rate_limit_exceeded"
    assert raised.value.response.headers["retry-after"] == "7"


async def test_a_quota_can_run_out_in_between(door: Door) -> None:
    door.faults.add("openai.*", "status", status=429, error="insufficient_quota")

    with pytest.raises(openai.RateLimitError) as raised:
        await door.client.responses.create(**ASK)

    assert raised.value.code == "insufficient_quota"


async def test_a_fault_waits_for_its_turn_and_strikes_only_its_method(door: Door) -> None:
    door.faults.add("openai.responses", "status", skip=1, times=2)

    await door.client.embeddings.create(model="text-embedding-3-small", input="hi")
    await door.client.responses.create(**ASK)
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            await door.client.responses.create(**ASK)
    await door.client.responses.create(**ASK)
    assert door.faults.left() == []


async def test_an_error_in_mid_stream_raises_nothing_and_is_an_event(door: Door) -> None:
    door.faults.add("openai.responses", "error", error="server_error", after_events=8)

    events = await collect(await door.client.responses.create(**ASK, stream=True))

    assert len(events) == 9
    assert (events[-1].type, events[-1].code) == ("error", "server_error")
    assert events[-2].type == "response.output_text.delta"


async def test_a_response_can_fail_in_mid_stream(door: Door) -> None:
    door.faults.add("openai.responses", "error", error="response.failed", after_events=8)

    events = await collect(await door.client.responses.create(**ASK, stream=True))

    assert events[-1].type == "response.failed"
    assert events[-1].response.status == "failed"
    assert events[-1].response.error.code == "server_error"


async def test_a_response_can_be_filtered_in_mid_stream(door: Door) -> None:
    door.faults.add("openai.responses", "error", error="content_filter", after_events=8)

    events = await collect(await door.client.responses.create(**ASK, stream=True))

    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details.reason == "content_filter"
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert events[-1].response.output_text == said


async def test_a_cut_stream_ends_without_a_last_event_and_without_an_error(door: Door) -> None:
    door.faults.add("openai.responses", "cut", after_events=6)

    events = await collect(await door.client.responses.create(**ASK, stream=True))

    assert [event.type for event in events][-1] == "response.output_text.delta"
    assert len(events) == 6


async def test_a_reset_stream_is_a_broken_connection(door: Door) -> None:
    door.faults.add("openai.responses", "reset", after_events=6)

    stream = await door.client.responses.create(**ASK, stream=True)
    with pytest.raises(openai.APIConnectionError):
        await collect(stream)


@pytest.mark.parametrize("kind", ["lost_answer", "reset", "cut"])
async def test_a_lost_answer_is_a_connection_error(door: Door, kind: str) -> None:
    door.faults.add("openai.responses", kind)  # type: ignore[arg-type]

    with pytest.raises(openai.APIConnectionError):
        await door.client.responses.create(**ASK)
    assert len(door.desk.asked) == 1


async def test_a_hanging_call_is_left_by_the_client_s_own_deadline(door: Door) -> None:
    door.faults.add("openai.responses", "hang")

    with pytest.raises(openai.APITimeoutError):
        await door.client.with_options(timeout=0.2).responses.create(**ASK)


async def test_a_stream_can_hang_in_the_middle(door: Door) -> None:
    door.faults.add("openai.responses", "hang", after_events=6)
    stream = aiter(await door.client.responses.create(**ASK, stream=True))

    heard = [await anext(stream) for _ in range(6)]
    assert heard[-1].type == "response.output_text.delta"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(stream), timeout=0.3)


async def test_a_slow_call_is_answered_all_the_same(door: Door) -> None:
    door.faults.add("openai.responses", "slow", seconds=0.05)

    assert (await door.client.responses.create(**ASK)).status == "completed"


async def test_the_client_s_own_retry_gets_past_one_failure(door: Door) -> None:
    door.faults.add("openai.embeddings", "status", status=500)

    client = door.client.with_options(max_retries=1)
    answer = await client.embeddings.create(model="text-embedding-3-small", input="hi")

    assert len(answer.data) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_garbage_is_no_json(door: Door, *, stream: bool) -> None:
    door.faults.add("openai.responses", "garbage")

    async def asked() -> None:
        answer: Any = await door.client.responses.create(**ASK, stream=stream)
        await collect(answer)

    with pytest.raises((json.JSONDecodeError, openai.APIError)):
        await asked()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_dripping_answer_is_whole_in_the_end(door: Door, *, stream: bool) -> None:
    door.faults.add("openai.responses", "drip", seconds=0.00001)

    answer: Any = await door.client.responses.create(**ASK, stream=stream)

    whole = (await collect(answer))[-1].response if stream else answer
    assert len(whole.output_text.split()) == 40


async def test_a_rule_for_certain_words_spares_other_questions(door: Door) -> None:
    door.faults.add("openai.responses", "status", containing="long 40", times=2)

    await door.client.responses.create(**{**ASK, "input": "[[long 41]]"})
    with pytest.raises(openai.InternalServerError):
        await door.client.responses.create(**ASK)
    assert door.faults.left()[0]["times"] == 1
