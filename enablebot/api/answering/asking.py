"""Asks the model until it has answered: bounded rounds of tools, at most three attempts, all within one deadline."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from enablebot.api.answering.breaker import Breaker
from enablebot.api.answering.model import Completed, Model, ModelRequest, TextDelta, ToolCall
from enablebot.shared.errors import ModelError
from enablebot.shared.models.answer import Usage

ATTEMPTS = 3
TOOL_ROUNDS = 4

CountCall = Callable[[str], None]


class Tool(Protocol):
    """Something the model may use while it answers."""

    name: str

    @property
    def schema(self) -> Mapping[str, Any]:
        """The function as the Responses API wants it described."""
        ...

    async def use(self, arguments: str) -> str:
        """The result as text. What goes wrong is told to the model in it, never raised."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """How the asking ended."""

    model: str
    usage: Usage
    cut_by: str | None


class Asking:
    """One question's way to the model. `say` gets text as it comes; `start_over` is called before it comes again."""

    def __init__(
        self,
        model: Model,
        *,
        breaker: Breaker,
        count: CountCall,
        say: Callable[[str], None],
        start_over: Callable[[], None],
        tools: Sequence[Tool] = (),
        attempts: int = ATTEMPTS,
        backoff: float = 0.5,
    ) -> None:
        self._model = model
        self._breaker = breaker
        self._count = count
        self._say = say
        self._start_over = start_over
        self._attempts = attempts
        self._backoff = backoff
        self._tools = {tool.name: tool for tool in tools}

    async def ask(self, request: ModelRequest) -> Asked:
        """Raises ModelError once it is permanent, the attempts are used up, or `request.seconds` are over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + request.seconds
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(replace(request, seconds=max(0.01, deadline - loop.time())))
            except ModelError as error:
                wait = self._wait_after(attempt, error)
                is_late = loop.time() + wait > deadline
                if error.permanent or attempt >= self._attempts or is_late or self._breaker.is_open:
                    raise
            await asyncio.sleep(wait)
            self._start_over()

    async def _attempt(self, request: ModelRequest) -> Asked:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + request.seconds
        items = list(request.input)
        input_tokens = output_tokens = 0
        counted = True
        for round_number in range(TOOL_ROUNDS + 1):
            # The last round offers no tools, so that it can only end in an answer.
            tools = tuple(tool.schema for tool in self._tools.values()) if round_number < TOOL_ROUNDS else ()
            seconds = max(0.01, deadline - loop.time())
            calls, ended = await self._round(replace(request, input=tuple(items), tools=tools, seconds=seconds))
            counted = counted and ended.usage.input_tokens is not None
            input_tokens += ended.usage.input_tokens or 0
            output_tokens += ended.usage.output_tokens or 0
            if not calls:
                usage = Usage(input_tokens, output_tokens) if counted else Usage()
                return Asked(ended.model, usage, ended.reason if ended.finish == "incomplete" else None)
            items += ended.output
            for call in calls:
                output = await self._use(call)
                items.append({"type": "function_call_output", "call_id": call.call_id, "output": output})
        raise ModelError("The model kept calling tools instead of answering.", reason="bad_request")

    async def _round(self, request: ModelRequest) -> tuple[list[ToolCall], Completed]:
        self._breaker.admit()
        calls: list[ToolCall] = []
        failure: ModelError | None = None
        outcome = "cancelled"
        events = self._model.stream(request)
        try:
            async for event in events:
                match event:
                    case TextDelta(text):
                        self._say(text)
                    case ToolCall():
                        calls.append(event)
                    case Completed():
                        outcome = "ok"
                        return calls, event
        except ModelError as error:
            failure, outcome = error, error.reason
            raise
        finally:
            if outcome != "cancelled":
                self._breaker.note(failure)
            self._count(outcome)
            # An async generator left half read keeps its connection until it is collected.
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()
        raise ModelError("The model's answer has no end.", reason="cut")

    async def _use(self, call: ToolCall) -> str:
        tool = self._tools.get(call.name)
        if tool is None:
            return f"There is no tool called {call.name[:64]}."
        return await tool.use(call.arguments)

    def _wait_after(self, attempt: int, error: ModelError) -> float:
        jitter = random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        return max(self._backoff * 2.0 ** (attempt - 1) * jitter, error.retry_after or 0.0)
