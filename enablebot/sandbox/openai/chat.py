"""`POST /chat/completions`: the older wire format, for clients that speak nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from starlette.responses import JSONResponse, Response

from enablebot.sandbox.faults import Fault
from enablebot.sandbox.openai import checks
from enablebot.sandbox.openai.catalogue import chat_model
from enablebot.sandbox.openai.counting import cut_to, pieces, tokens
from enablebot.sandbox.openai.desk import Desk
from enablebot.sandbox.openai.errors import bad_value, missing, server_error, wrong_type
from enablebot.sandbox.openai.quoting import Role, Thought, Tool, Turn, think
from enablebot.sandbox.openai.streaming import EventStream, event, strike_midway

_NAMES = (
    "frequency_penalty logit_bias logprobs max_completion_tokens max_tokens messages metadata model n "
    "parallel_tool_calls presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention "
    "reasoning_effort response_format safety_identifier seed service_tier stop store stream stream_options "
    "temperature tool_choice tools top_logprobs top_p user verbosity"
)
PARAMETERS = frozenset(_NAMES.split())
_ROLES: Mapping[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
}


@dataclass(frozen=True, slots=True)
class _Completion:
    model: str
    thought: Thought
    cut_short: bool
    prompt_tokens: int
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def finish_reason(self) -> str:
        if self.cut_short:
            return "length"
        return "tool_calls" if self.thought.calls else "stop"

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [
            {
                "id": f"call_{self.id[-12:]}{place}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for place, call in enumerate(self.thought.calls)
        ]

    def usage(self) -> dict[str, Any]:
        said = tokens(self.thought.text) + tokens(self.thought.refusal or "")
        said += sum(tokens(call.name) + tokens(call.arguments) for call in self.thought.calls)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": said,
            "total_tokens": self.prompt_tokens + said,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }

    def whole(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": self.thought.refusal}
        if self.thought.calls:
            message["tool_calls"] = self.calls
        elif self.thought.refusal is None:
            message["content"] = self.thought.text
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self.usage()}

    def chunk(self, delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def last_chunk(self) -> dict[str, Any]:
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": self.usage()}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


async def complete_chat(desk: Desk, body: dict[str, Any], fault: Fault | None) -> Response:
    """Answers one request; `fault` may end the answer badly. Raises Refusal."""
    completion = _complete(body)
    if checks.flag_of(body, "stream", default=False):
        options = body.get("stream_options", {})
        with_usage = isinstance(options, dict) and options.get("include_usage") is True
        return EventStream(_chunks(desk, completion, with_usage=with_usage, fault=fault))
    if fault is not None and fault.kind == "error":
        return server_error(code=fault.error).response()
    await asyncio.sleep(desk.pace * sum(1 for _ in pieces(completion.thought.text)))
    return JSONResponse(completion.whole())


def _complete(body: Mapping[str, Any]) -> _Completion:
    model = chat_model(checks.model_name(body))
    effort = checks.effort_of(model, body.get("reasoning_effort"), "reasoning_effort")
    checks.check_sampling(body, effort)
    checks.check_bookkeeping(body)
    if "max_tokens" in body and model.efforts:
        message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'."
        raise bad_value(message, "max_tokens", code="unsupported_parameter")
    if body.get("n", 1) != 1:
        raise bad_value("The sandbox makes one choice at a time.", "n")
    turns = _turns(body)
    limit = checks.count_of(body, "max_completion_tokens", least=1) or checks.count_of(body, "max_tokens", least=1)
    required = body.get("tool_choice") == "required"
    thought = think(turns, tools=_tools(body), must_call="*" if required else None)
    text, cut = (thought.text, False) if limit is None else cut_to(thought.text, limit)
    prompt = sum(4 + tokens(turn.text) for turn in turns) + tokens(str(body.get("tools") or ""))
    kept = Thought(text=text, refusal=thought.refusal) if cut else thought
    return _Completion(model=model.name, thought=kept, cut_short=cut, prompt_tokens=prompt)


def _turns(body: Mapping[str, Any]) -> list[Turn]:
    messages = body.get("messages")
    if messages is None:
        raise missing("messages")
    if not isinstance(messages, list) or not messages:
        raise wrong_type("messages", "an array with at least one message")
    turns: list[Turn] = []
    for place, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(role, str) or role not in _ROLES:
            raise bad_value(f"Invalid value: '{role}'.", f"messages[{place}].role")
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
        if not isinstance(content, str):
            raise wrong_type(f"messages[{place}].content", "a string or an array")
        turns.append(Turn(_ROLES[role], content))
    return turns


def _tools(body: Mapping[str, Any]) -> list[Tool]:
    offered = body.get("tools", [])
    if not isinstance(offered, list):
        raise wrong_type("tools", "an array")
    tools: list[Tool] = []
    for place, tool in enumerate(offered):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict):
            raise missing(f"tools[{place}].function")
        tools.append(checks.read_tool(function, f"tools[{place}].function"))
    return tools


async def _chunks(
    desk: Desk, completion: _Completion, *, with_usage: bool, fault: Fault | None
) -> AsyncIterator[bytes]:
    thought = completion.thought
    chunks = [completion.chunk({"role": "assistant", "content": "", "refusal": None})]
    if thought.calls:
        calls = [{"index": place, **call} for place, call in enumerate(completion.calls)]
        chunks.append(completion.chunk({"tool_calls": calls}))
    key = "content" if thought.refusal is None else "refusal"
    chunks += [completion.chunk({key: piece}) for piece in pieces(thought.refusal or thought.text)]
    chunks.append(completion.chunk({}, completion.finish_reason))
    if with_usage:
        chunks.append(completion.last_chunk())
    for sent, chunk in enumerate(chunks):
        await strike_midway(fault, sent)
        if fault is not None and fault.kind == "error" and sent == fault.after_events:
            yield event({"error": server_error(code=fault.error).body()})
            return
        await asyncio.sleep(desk.pace)
        yield event(chunk)
    await strike_midway(fault, len(chunks))
    yield event(b"[DONE]")
