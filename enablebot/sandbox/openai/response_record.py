"""One response in the making: the object it grows into and the events that tell of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from enablebot.sandbox.openai.counting import cut_to, pieces, tokens
from enablebot.sandbox.openai.quoting import Call, Thought, Tool

_ECHOED = ("max_output_tokens", "metadata", "previous_response_id", "prompt_cache_key", "safety_identifier", "user")
_THINKING = {"none": 0, "low": 32, "medium": 96, "high": 256, "xhigh": 512, "max": 1024}


@dataclass(frozen=True, slots=True)
class Asked:
    """A checked request. `limit` is the most output tokens, None for no limit."""

    model: str
    effort: str
    instructions: str | None
    tools: tuple[Tool, ...]
    body: Mapping[str, Any]
    store: bool
    limit: int | None
    seals_reasoning: bool
    input_tokens: int


@dataclass(slots=True)
class Record:
    """The response of one request; `output` grows as events are told."""

    asked: Asked
    thought: Thought
    cut_short: bool
    id: str = field(default_factory=lambda: f"resp_{uuid4().hex}")
    created_at: float = field(default_factory=lambda: float(int(time.time())))
    output: list[dict[str, Any]] = field(default_factory=list)

    def finished(self) -> dict[str, Any]:
        """The whole response at once."""
        *_, last = self.events()
        whole: dict[str, Any] = last["response"]
        return whole

    def response(self, status: str, **more: Any) -> dict[str, Any]:
        """The response object as it stands."""
        body = self.asked.body
        ended = status in ("completed", "incomplete")
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "completed_at": self.created_at if status == "completed" else None,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": self.asked.instructions,
            "model": self.asked.model,
            "output": [dict(item) for item in self.output],
            "parallel_tool_calls": body.get("parallel_tool_calls", True),
            "reasoning": {"effort": self.asked.effort, "summary": None},
            "service_tier": "default",
            "store": self.asked.store,
            "temperature": body.get("temperature", 1.0),
            "text": {"format": {"type": "text"}, "verbosity": "medium"},
            "tool_choice": body.get("tool_choice", "auto"),
            "tools": body.get("tools", []),
            "top_p": body.get("top_p", 1.0),
            "truncation": body.get("truncation", "disabled"),
            "usage": self._usage() if ended else None,
            **{name: body.get(name) for name in _ECHOED},
            **more,
        }

    def events(self) -> Iterator[dict[str, Any]]:
        """Every event in OpenAI's order, without sequence numbers; the last one is terminal."""
        yield {"type": "response.created", "response": self.response("in_progress")}
        yield {"type": "response.in_progress", "response": self.response("in_progress")}
        if self.asked.effort != "none":
            yield from self._reason()
        for call in self.thought.calls:
            yield from self._call(call)
        if not self.thought.calls:
            yield from self._message()
        if self.cut_short:
            details = {"reason": "max_output_tokens"}
            ended = self.response("incomplete", incomplete_details=details)
            yield {"type": "response.incomplete", "response": ended}
        else:
            yield {"type": "response.completed", "response": self.response("completed")}

    def _reason(self) -> Iterator[dict[str, Any]]:
        item: dict[str, Any] = {"id": f"rs_{uuid4().hex}", "type": "reasoning", "summary": []}
        place = {"output_index": len(self.output)}
        yield {"type": "response.output_item.added", **place, "item": item}
        if self.asked.seals_reasoning:
            item = {**item, "encrypted_content": f"sealed-{uuid4().hex}"}
        self.output.append(item)
        yield {"type": "response.output_item.done", **place, "item": item}

    def _call(self, call: Call) -> Iterator[dict[str, Any]]:
        item = {
            "id": f"fc_{uuid4().hex}",
            "type": "function_call",
            "status": "in_progress",
            "call_id": f"call_{uuid4().hex[:24]}",
            "name": call.name,
            "arguments": "",
        }
        place = {"output_index": len(self.output)}
        told = {**place, "item_id": item["id"]}
        yield {"type": "response.output_item.added", **place, "item": item}
        for piece in pieces(call.arguments):
            yield {"type": "response.function_call_arguments.delta", **told, "delta": piece}
        yield {"type": "response.function_call_arguments.done", **told, "arguments": call.arguments}
        item = {**item, "status": "completed", "arguments": call.arguments}
        self.output.append(item)
        yield {"type": "response.output_item.done", **place, "item": item}

    def _message(self) -> Iterator[dict[str, Any]]:
        item: dict[str, Any] = {
            "id": f"msg_{uuid4().hex}",
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        place = {"output_index": len(self.output)}
        told = {**place, "item_id": item["id"], "content_index": 0}
        yield {"type": "response.output_item.added", **place, "item": dict(item)}
        self.output.append(item)
        refusal = self.thought.refusal
        said = self.thought.text if refusal is None else refusal
        kind = "output_text" if refusal is None else "refusal"
        yield {"type": "response.content_part.added", **told, "part": _part(kind, "")}
        marks: dict[str, Any] = {"logprobs": []} if refusal is None else {}
        spoken = ""
        for piece in pieces(said):
            yield {"type": f"response.{kind}.delta", **told, **marks, "delta": piece}
            spoken += piece
            item["content"] = [_part(kind, spoken)]
        ending = {"text": said} if refusal is None else {"refusal": said}
        yield {"type": f"response.{kind}.done", **told, **marks, **ending}
        yield {"type": "response.content_part.done", **told, "part": _part(kind, said)}
        item.update(content=[_part(kind, said)], status="incomplete" if self.cut_short else "completed")
        yield {"type": "response.output_item.done", **place, "item": dict(item)}

    def _usage(self) -> dict[str, Any]:
        reasoned = _THINKING[self.asked.effort]
        said = tokens(self.thought.text) + tokens(self.thought.refusal or "")
        called = sum(tokens(call.name) + tokens(call.arguments) for call in self.thought.calls)
        output = said + called + reasoned
        return {
            "input_tokens": self.asked.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": reasoned},
            "total_tokens": self.asked.input_tokens + output,
        }


def begin(asked: Asked, thought: Thought) -> Record:
    """A record for a thought, cut to the request's limit of output tokens; reasoning counts against it."""
    if asked.limit is None or thought.calls:
        return Record(asked=asked, thought=thought, cut_short=False)
    text, cut = cut_to(thought.text, max(asked.limit - _THINKING[asked.effort], 0))
    kept = Thought(text=text, refusal=thought.refusal) if cut else thought
    return Record(asked=asked, thought=kept, cut_short=cut)


def _part(kind: str, said: str) -> dict[str, Any]:
    if kind == "refusal":
        return {"type": "refusal", "refusal": said}
    return {"type": "output_text", "text": said, "annotations": [], "logprobs": []}
