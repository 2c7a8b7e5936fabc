"""`POST /responses`: the Responses API, whole or as a stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from enablebot.sandbox.faults import Fault
from enablebot.sandbox.openai import checks
from enablebot.sandbox.openai.catalogue import chat_model
from enablebot.sandbox.openai.conversation import input_tokens, read_items, read_turns
from enablebot.sandbox.openai.counting import pieces
from enablebot.sandbox.openai.desk import Desk, Stored
from enablebot.sandbox.openai.errors import bad_value, missing, server_error, wrong_type
from enablebot.sandbox.openai.quoting import Tool, Turn, think
from enablebot.sandbox.openai.response_record import Asked, Record, begin
from enablebot.sandbox.openai.streaming import EventStream, event, strike_midway

_NAMES = (
    "background conversation include input instructions max_output_tokens max_tool_calls metadata model moderation "
    "parallel_tool_calls previous_response_id prompt prompt_cache_key prompt_cache_options prompt_cache_retention "
    "reasoning safety_identifier service_tier store stream stream_options temperature text tool_choice tools "
    "top_logprobs top_p truncation user"
)
PARAMETERS = frozenset(_NAMES.split())
_NOT_PLAYED = ("background", "conversation", "prompt", "moderation")
_LEAST_OUTPUT = 16
_INCOMPLETE = frozenset({"max_output_tokens", "content_filter"})


async def respond(desk: Desk, body: dict[str, Any], fault: Fault | None) -> Response:
    """Answers one request; `fault` may end the answer badly. Raises Refusal."""
    asked, items, turns = _read(desk, body)
    thought = think(turns, tools=asked.tools, must_call=_must_call(body))
    record = begin(asked, thought)
    if checks.flag_of(body, "stream", default=False):
        return EventStream(_events(desk, record, items, fault))
    if fault is not None and fault.kind == "error":
        if fault.error not in _INCOMPLETE and fault.error != "response.failed":
            return server_error(code=fault.error).response()
        return JSONResponse(_ended_badly(record, fault.error))
    whole = record.finished()
    await asyncio.sleep(desk.pace * sum(1 for _ in pieces(thought.text)))
    _keep(desk, asked, whole, items)
    return JSONResponse(whole)


def _read(desk: Desk, body: dict[str, Any]) -> tuple[Asked, list[dict[str, Any]], list[Turn]]:
    model = chat_model(checks.model_name(body))
    for name in _NOT_PLAYED:
        if body.get(name):
            raise bad_value(f"The sandbox does not play '{name}'.", name, code="unsupported_parameter")
    reasoning = body.get("reasoning", {})
    if not isinstance(reasoning, dict):
        raise wrong_type("reasoning", "an object")
    effort = checks.effort_of(model, reasoning.get("effort"), "reasoning.effort")
    checks.check_sampling(body, effort)
    checks.check_bookkeeping(body)
    _check_format(body)
    instructions = checks.text_of(body, "instructions")
    if "input" not in body and "previous_response_id" not in body:
        raise missing("input")
    items = [*_earlier(desk, body), *read_items(body.get("input", []))]
    turns = [Turn("system", instructions)] if instructions else []
    turns += read_turns(items)
    tools = _tools(body)
    asked = Asked(
        model=model.name,
        effort=effort,
        instructions=instructions or None,
        tools=tools,
        body=body,
        store=checks.flag_of(body, "store", default=True),
        limit=checks.count_of(body, "max_output_tokens", least=_LEAST_OUTPUT),
        seals_reasoning="reasoning.encrypted_content" in _include(body),
        input_tokens=input_tokens(items, instructions, str(body.get("tools") or "")),
    )
    return asked, items, turns


def _earlier(desk: Desk, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    previous = checks.text_of(body, "previous_response_id")
    if not previous:
        return []
    stored = desk.stored.find(previous)
    if stored is None:
        raise bad_value(
            f"Previous response with id '{previous}' not found.",
            "previous_response_id",
            code="previous_response_not_found",
        )
    # What was kept needs no seal: only reasoning sent back by the client must bring its own.
    said = [item for item in stored.response["output"] if item["type"] != "reasoning"]
    return [*stored.items, *said]


def _include(body: Mapping[str, Any]) -> list[str]:
    include = body.get("include", [])
    if not isinstance(include, list):
        raise wrong_type("include", "an array")
    return include


def _check_format(body: Mapping[str, Any]) -> None:
    text = body.get("text") or {}
    chosen = text.get("format") or {} if isinstance(text, dict) else {}
    kind = chosen.get("type", "text") if isinstance(chosen, dict) else None
    if kind != "text":
        raise bad_value(f"The sandbox answers in text, not in '{kind}'.", "text.format.type")


def _tools(body: Mapping[str, Any]) -> tuple[Tool, ...]:
    offered = body.get("tools", [])
    if not isinstance(offered, list):
        raise wrong_type("tools", "an array")
    tools: list[Tool] = []
    for place, tool in enumerate(offered):
        param = f"tools[{place}]"
        if not isinstance(tool, dict) or "type" not in tool:
            raise missing(f"{param}.type")
        if tool["type"] != "function":
            raise bad_value(f"The sandbox plays function tools, not '{tool['type']}'.", f"{param}.type")
        tools.append(checks.read_tool(tool, param))
    return tuple(tools)


def _must_call(body: Mapping[str, Any]) -> str | None:
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, dict):
        return str(choice.get("name", "*"))
    if choice not in ("auto", "none", "required"):
        raise bad_value(
            f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'.", "tool_choice"
        )
    return "*" if choice == "required" else None


async def _events(desk: Desk, record: Record, items: list[dict[str, Any]], fault: Fault | None) -> AsyncIterator[bytes]:
    sent = 0
    for payload in record.events():
        await strike_midway(fault, sent)
        if fault is not None and fault.kind == "error" and sent == fault.after_events:
            yield _bad_ending(record, fault.error, sent)
            return
        if payload["type"] == "response.output_text.delta":
            await asyncio.sleep(desk.pace)
        if "response" in payload and payload["type"] in ("response.completed", "response.incomplete"):
            _keep(desk, record.asked, payload["response"], items)
        yield event({**payload, "sequence_number": sent}, name=payload["type"])
        sent += 1
    await strike_midway(fault, sent)


def _bad_ending(record: Record, error: str, number: int) -> bytes:
    if error == "response.failed" or error in _INCOMPLETE:
        response = _ended_badly(record, error)
        kind = f"response.{response['status']}"
        return event({"type": kind, "sequence_number": number, "response": response}, name=kind)
    message = "The server had an error while processing your request. Sorry about that!"
    told = {"type": "error", "sequence_number": number, "code": error, "message": message, "param": None}
    return event(told, name="error")


def _ended_badly(record: Record, error: str) -> dict[str, Any]:
    if error in _INCOMPLETE:
        return record.response("incomplete", incomplete_details={"reason": error})
    told = {"code": "server_error", "message": "The model failed to produce a response."}
    return record.response("failed", error=told)


def _keep(desk: Desk, asked: Asked, response: dict[str, Any], items: list[dict[str, Any]]) -> None:
    if asked.store:
        desk.stored.keep(Stored(response=response, items=items))
