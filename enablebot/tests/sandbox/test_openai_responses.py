"""The played Responses API, spoken to by the real client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError

from enablebot.tests.sandbox.openai_door import Door, collect, open_door

pytestmark = pytest.mark.anyio

SEARCH: Any = {
    "type": "function",
    "name": "search_knowledge",
    "description": "Searches the workspace's documents.",
    "parameters": {
        "type": "object",
        "properties": {"query": {"type": "string"}},
        "required": ["query"],
        "additionalProperties": False,
    },
    "strict": True,
}
PLAIN: dict[str, Any] = {"model": "gpt-6-luna", "store": False, "reasoning": {"effort": "none"}}


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door() as opened:
        yield opened


async def test_a_stream_tells_its_events_in_openais_order(door: Door) -> None:
    events = await collect(await door.client.responses.create(**PLAIN, input="Where is the stapler?", stream=True))

    kinds = [event.type for event in events]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert set(kinds[4:-4]) == {"response.output_text.delta"}
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert len(deltas) > 10
    assert "".join(deltas) == events[-1].response.output_text
    assert "Where is the stapler?" in events[-1].response.output_text


async def test_an_answer_is_the_same_whole_as_streamed(door: Door) -> None:
    whole = await door.client.responses.create(**PLAIN, input="Where is the stapler?")
    events = await collect(await door.client.responses.create(**PLAIN, input="Where is the stapler?", stream=True))

    assert whole.output_text == events[-1].response.output_text
    assert whole.status == "completed"
    assert whole.usage is not None
    assert whole.usage == events[-1].response.usage
    assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens


async def test_usage_grows_with_what_is_read_and_said(door: Door) -> None:
    short = await door.client.responses.create(**PLAIN, input="[[long 20]]")
    long = await door.client.responses.create(**PLAIN, instructions="Be kind. " * 50, input="[[long 200]]")

    assert short.usage is not None
    assert long.usage is not None
    assert long.usage.input_tokens > short.usage.input_tokens + 100
    assert long.usage.output_tokens > 5 * short.usage.output_tokens
    assert len(long.output_text.split()) == 200


async def test_a_tool_is_called_and_its_output_is_quoted(door: Door) -> None:
    conversation: list[Any] = [
        {"role": "user", "content": '[[tool search_knowledge {"query": "holiday"}]] How many days of holiday?'}
    ]
    first = await collect(await door.client.responses.create(**PLAIN, input=conversation, tools=[SEARCH], stream=True))
    (call,) = [item for item in first[-1].response.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == ("search_knowledge", {"query": "holiday"})
    parts = [event.delta for event in first if event.type == "response.function_call_arguments.delta"]
    assert "".join(parts) == call.arguments

    found = {
        "passages": [{"id": "p7", "title": "Handbook", "text": "Everyone has 28 days of holiday. Parking is free."}]
    }
    conversation += [item.to_dict() for item in first[-1].response.output]
    conversation.append({"type": "function_call_output", "call_id": call.call_id, "output": json.dumps(found)})
    second = await door.client.responses.create(**PLAIN, input=conversation, tools=[SEARCH])

    assert "Everyone has 28 days of holiday." in second.output_text
    assert "[p7]" in second.output_text
    assert "Parking" not in second.output_text


async def test_a_tool_that_must_be_called_is_called_with_the_question(door: Door) -> None:
    answer = await door.client.responses.create(
        **PLAIN,
        input="Who owns billing?",
        tools=[SEARCH],
        tool_choice={"type": "function", "name": "search_knowledge"},
    )

    (call,) = answer.output
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"query": "Who owns billing?"}


async def test_a_tool_that_was_not_offered_is_not_called(door: Door) -> None:
    answer = await door.client.responses.create(**PLAIN, input="[[tool erase_everything {}]] please")

    assert [item.type for item in answer.output] == ["message"]


async def test_a_refusal_comes_as_a_refusal_and_not_as_text(door: Door) -> None:
    events = await collect(await door.client.responses.create(**PLAIN, input="[[refuse]]", stream=True))

    (message,) = events[-1].response.output
    assert message.content[0].type == "refusal"
    assert events[-1].response.output_text == ""
    assert any(event.type == "response.refusal.done" for event in events)


async def test_an_empty_answer_has_no_text(door: Door) -> None:
    events = await collect(await door.client.responses.create(**PLAIN, input="[[empty]]", stream=True))

    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == ""
    assert not [event for event in events if event.type == "response.output_text.delta"]


async def test_an_answer_over_its_limit_is_incomplete(door: Door) -> None:
    events = await collect(
        await door.client.responses.create(**PLAIN, input="[[long 100]]", max_output_tokens=20, stream=True)
    )

    last = events[-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"
    assert 5 < len(last.response.output_text.split()) <= 20


async def test_reasoning_comes_sealed_and_may_be_sent_back(door: Door) -> None:
    thinking: dict[str, Any] = {"model": "gpt-6-luna", "store": False, "include": ["reasoning.encrypted_content"]}
    first = await door.client.responses.create(**thinking, input="Where is the stapler?")
    assert [item.type for item in first.output] == ["reasoning", "message"]
    assert first.usage is not None
    assert first.usage.output_tokens_details.reasoning_tokens > 0

    items: list[Any] = [{"role": "user", "content": "Where is the stapler?"}]
    items += [item.to_dict() for item in first.output]
    items.append({"role": "user", "content": "And the printer?"})
    second = await door.client.responses.create(**thinking, input=items)

    assert "Earlier you asked: “Where is the stapler?”" in second.output_text


async def test_reasoning_that_was_neither_kept_nor_sealed_is_not_found(door: Door) -> None:
    first = await door.client.responses.create(model="gpt-6-luna", store=False, input="Where is the stapler?")

    returned: list[Any] = [first.output[0].to_dict()]
    with pytest.raises(NotFoundError, match="not persisted"):
        await door.client.responses.create(**PLAIN, input=returned)


async def test_a_response_is_kept_only_where_storing_was_not_declined(door: Door) -> None:
    kept = await door.client.responses.create(model="gpt-6-luna", input="Where is the stapler?")
    unkept = await door.client.responses.create(**PLAIN, input="Where is the stapler?")

    follow_up = await door.client.responses.create(
        model="gpt-6-luna", input="And the printer?", previous_response_id=kept.id
    )
    assert "Where is the stapler?" in follow_up.output_text
    assert (await door.client.responses.retrieve(kept.id)).output_text == kept.output_text
    with pytest.raises(NotFoundError):
        await door.client.responses.retrieve(unkept.id)
    with pytest.raises(BadRequestError, match="not found"):
        await door.client.responses.create(**PLAIN, input="And?", previous_response_id=unkept.id)
    await door.client.responses.delete(kept.id)
    assert len(door.desk.stored) == 1


async def test_the_desk_remembers_what_it_was_asked(door: Door) -> None:
    await door.client.responses.create(**PLAIN, input="Where is the stapler?", safety_identifier="somebody")

    ((method, body),) = door.desk.asked
    assert method == "openai.responses"
    assert (body["store"], body["safety_identifier"]) == (False, "somebody")
