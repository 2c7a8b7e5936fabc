"""What the played OpenAI refuses, in the classes the real client raises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from enablebot.tests.sandbox.openai_door import Door, open_door

pytestmark = pytest.mark.anyio

PLAIN: dict[str, Any] = {"model": "gpt-6-luna", "store": False, "reasoning": {"effort": "none"}}
TOOL: dict[str, Any] = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door() as opened:
        yield opened


async def test_an_unknown_key_is_an_authentication_error(door: Door) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        await door.client_with("sk-bad-one").responses.create(**PLAIN, input="hi")

    assert (refused.value.status_code, refused.value.code) == (401, "invalid_api_key")
    assert "sk-bad-one" not in str(refused.value)
    assert refused.value.request_id


async def test_a_request_without_a_key_is_refused(door: Door) -> None:
    with pytest.raises(openai.AuthenticationError, match="didn't provide"):
        await door.client.models.list(extra_headers={"Authorization": ""})


async def test_a_spent_quota_is_told_apart_from_a_rate_limit(door: Door) -> None:
    with pytest.raises(openai.RateLimitError) as refused:
        await door.client_with("sk-quota-1").responses.create(**PLAIN, input="hi")

    assert (refused.value.status_code, refused.value.code) == (429, "insufficient_quota")


async def test_an_unknown_model_is_not_found(door: Door) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await door.client.responses.create(**{**PLAIN, "model": "gpt-99"}, input="hi")

    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


async def test_the_played_models_are_listed(door: Door) -> None:
    names = [model.id async for model in door.client.models.list()]

    assert {"gpt-6-luna", "gpt-6.2-sol", "gpt-6.1-terra", "text-embedding-3-small"} <= set(names)
    assert (await door.client.models.retrieve("gpt-6-luna")).id == "gpt-6-luna"


@pytest.mark.parametrize("name", ["temperature", "top_p"])
@pytest.mark.parametrize("reasoning", [{}, {"reasoning": {"effort": "low"}}])
async def test_sampling_is_refused_while_the_model_reasons(door: Door, name: str, reasoning: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await door.client.responses.create(**{"model": "gpt-6-luna", "input": "hi", name: 0.5, **reasoning})

    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", name)
    answer = await door.client.responses.create(**{**PLAIN, "input": "hi", name: 0.5})
    assert answer.status == "completed"


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"input": "hi", "colour": "red"}, "unknown_parameter", "colour"),
    ({"input": "hi", "max_output_tokens": 5}, "integer_below_min_value", "max_output_tokens"),
    ({"input": "hi", "safety_identifier": "x" * 65}, "string_above_max_length", "safety_identifier"),
    ({"input": "hi", "stream_options": {"include_obfuscation": False}}, "invalid_value", "stream_options"),
    ({"input": "hi", "reasoning": {"effort": "huge"}}, "unsupported_value", "reasoning.effort"),
    ({"input": 7}, "invalid_type", "input"),
    ({}, "missing_required_parameter", "input"),
    (
        {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "hi"}]}]},
        "invalid_value",
        "input[0].content[0].type",
    ),
    ({"input": [{"role": "robot", "content": "hi"}]}, "invalid_value", "input[0].role"),
    ({"input": "hi", "tools": [{"type": "function", "function": TOOL}]}, "missing_required_parameter", "tools[0].name"),
    ({"input": "hi", "tools": [{**TOOL, "name": "two words"}]}, "invalid_value", "tools[0].name"),
    ({"input": "hi", "tools": [{**TOOL, "strict": True}]}, "invalid_function_parameters", "tools[0].parameters"),
    (
        {"input": [{"type": "function_call_output", "call_id": "call_1", "output": "done"}]},
        "invalid_value",
        "input",
    ),
    (
        {"input": [{"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"}]},
        "invalid_value",
        "input",
    ),
]


@pytest.mark.parametrize(("body", "code", "param"), REFUSED, ids=[f"{param}-{code}" for _, code, param in REFUSED])
async def test_a_malformed_request_is_refused_by_name(door: Door, body: dict[str, Any], code: str, param: str) -> None:
    sent = {**PLAIN, **body}
    with pytest.raises(openai.BadRequestError) as refused:
        await door.client.post("/responses", body=sent, cast_to=object)

    assert (refused.value.code, refused.value.param) == (code, param)


async def test_a_body_that_is_no_json_is_refused(door: Door) -> None:
    with pytest.raises(openai.BadRequestError, match="could not parse"):
        await door.client.post("/responses", content=b"{nope", cast_to=object)


async def test_an_unknown_path_is_refused_as_such(door: Door) -> None:
    with pytest.raises(openai.NotFoundError, match="Invalid URL"):
        await door.client.get("/nowhere", cast_to=object)


@pytest.mark.parametrize("model", ["gpt-6-astra", "gpt-6.1-sol"])
async def test_a_model_that_always_reasons_refuses_effort_none(door: Door, model: str) -> None:
    with pytest.raises(openai.BadRequestError, match="not supported"):
        await door.client.responses.create(model=model, input="hi", reasoning={"effort": "none"})
