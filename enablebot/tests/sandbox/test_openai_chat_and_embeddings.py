"""Chat Completions and embeddings, spoken to by the real client."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from enablebot.tests.sandbox.openai_door import Door, collect, open_door

pytestmark = pytest.mark.anyio

PLAIN: dict[str, Any] = {"model": "gpt-6-luna", "reasoning_effort": "none"}


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door() as opened:
        yield opened


async def test_a_chat_is_answered_from_its_messages(door: Door) -> None:
    answer = await door.client.chat.completions.create(
        **PLAIN,
        messages=[
            {"role": "system", "content": '<passage id="a">The office opens at 8. The cat is grey.</passage a>'},
            {"role": "user", "content": "When does the office open?"},
        ],
    )

    said = answer.choices[0].message.content
    assert said is not None
    assert "The office opens at 8." in said
    assert "[a]" in said
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


async def test_a_chat_streams_the_same_words_and_then_its_usage(door: Door) -> None:
    messages: Any = [{"role": "user", "content": "Where is the stapler?"}]
    whole = await door.client.chat.completions.create(**PLAIN, messages=messages)
    chunks = await collect(
        await door.client.chat.completions.create(
            **PLAIN, messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )

    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert said == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)


async def test_a_chat_calls_an_offered_function(door: Door) -> None:
    tool: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    messages: Any = [{"role": "user", "content": '[[tool look {"at": "sky"}]]'}]
    answer = await door.client.chat.completions.create(**PLAIN, messages=messages, tools=[tool])

    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    call = choice.message.tool_calls[0]
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("look", '{"at": "sky"}')


async def test_a_chat_over_its_limit_stops_for_length(door: Door) -> None:
    answer = await door.client.chat.completions.create(
        **PLAIN, messages=[{"role": "user", "content": "[[long 100]]"}], max_completion_tokens=10
    )

    assert answer.choices[0].finish_reason == "length"


async def test_the_old_name_of_the_limit_is_refused(door: Door) -> None:
    with pytest.raises(openai.BadRequestError, match="max_completion_tokens"):
        await door.client.chat.completions.create(**PLAIN, messages=[{"role": "user", "content": "hi"}], max_tokens=10)


async def test_an_error_in_a_chat_stream_is_raised(door: Door) -> None:
    door.faults.add("openai.chat", "error", error="server_error", after_events=3)
    stream = await door.client.chat.completions.create(
        **PLAIN, messages=[{"role": "user", "content": "[[long 40]]"}], stream=True
    )

    with pytest.raises(openai.APIError):
        await collect(stream)


async def test_texts_that_share_words_lie_closer_than_others(door: Door) -> None:
    answer = await door.client.embeddings.create(
        model="text-embedding-3-small",
        input=["How do I reset my VPN password?", "Resetting a VPN password", "The canteen serves soup on Mondays"],
    )

    asked, near, far = (row.embedding for row in answer.data)
    assert len(asked) == 1536
    assert sum(value * value for value in asked) == pytest.approx(1)
    assert _dot(asked, near) > _dot(asked, far) + 0.2


async def test_a_vector_is_the_same_in_both_encodings_and_every_time(door: Door) -> None:
    plain = await door.client.embeddings.create(model="text-embedding-3-small", input="hi", encoding_format="float")
    packed = await door.client.post(
        "/embeddings",
        body={"model": "text-embedding-3-small", "input": "hi", "encoding_format": "base64"},
        cast_to=dict[str, Any],
    )

    numbers = struct.unpack("<1536f", base64.b64decode(packed["data"][0]["embedding"]))
    assert list(numbers) == pytest.approx(plain.data[0].embedding)


async def test_a_shorter_vector_is_the_beginning_of_the_full_one(door: Door) -> None:
    full = await door.client.embeddings.create(model="text-embedding-3-large", input="one two three four five")
    short = await door.client.embeddings.create(
        model="text-embedding-3-large", input="one two three four five", dimensions=256
    )

    beginning = full.data[0].embedding[:256]
    scale = sum(value * value for value in beginning) ** 0.5
    assert short.data[0].embedding == pytest.approx([value / scale for value in beginning])


@pytest.mark.parametrize(
    "body",
    [
        {"input": ""},
        {"input": []},
        {"input": ["word"] * 2049},
        {"input": "word " * 8193},
        {"input": ["word " * 8000] * 38},
        {"input": "hi", "dimensions": 1537},
        {"input": "hi", "model": "text-embedding-ada-002", "dimensions": 10},
        {"input": "hi", "model": "gpt-6-luna"},
        {"input": "hi", "encoding_format": "hex"},
    ],
    ids=["empty", "none", "too-many", "too-long", "too-much", "too-wide", "not-shortened", "chat-model", "encoding"],
)
async def test_embeddings_beyond_the_limits_are_refused(door: Door, body: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError):
        await door.client.post("/embeddings", body={"model": "text-embedding-3-small", **body}, cast_to=object)


def _dot(left: list[float], right: list[float]) -> float:
    return sum(one * other for one, other in zip(left, right, strict=True))
