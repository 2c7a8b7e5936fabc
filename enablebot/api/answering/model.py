"""The language model behind one narrow door: a request in, text and one ending out, every failure a ModelError."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import orjson

from enablebot.api.answering.model_errors import failure_of, failure_reported
from enablebot.api.answering.sse import event_data
from enablebot.config.settings import ModelSettings
from enablebot.shared.errors import ModelError
from enablebot.shared.longlived import keep_for_good
from enablebot.shared.models.answer import Usage

if TYPE_CHECKING:
    from httpx2 import Response
    from openai import AsyncOpenAI

MAX_OUTPUT_TOKENS = 4_096

# Behind the last event only the end of the stream may come.
_END_SECONDS = 0.05

Finish = Literal["complete", "incomplete"]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of the model. The two hashes name nobody; `seconds` is what is left of the question's time."""

    instructions: str = field(repr=False)
    input: tuple[Mapping[str, Any], ...] = field(repr=False)
    safety_identifier: str
    prompt_cache_key: str
    seconds: float
    tools: tuple[Mapping[str, Any], ...] = ()
    max_output_tokens: int = MAX_OUTPUT_TOKENS


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    call_id: str
    name: str
    arguments: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Completed:
    """The last event of every call that did not fail. `output` is what a next round has to send back."""

    model: str
    finish: Finish = "complete"
    reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    output: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)


ModelEvent = TextDelta | ToolCall | Completed


class Model(Protocol):
    """A language model that streams."""

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Text as it comes, tool calls, and one Completed at the end. Raises ModelError."""
        ...

    async def ping(self) -> None:
        """Whether the model answers to our key and exists. Raises ModelError."""
        ...

    async def aclose(self) -> None: ...


class OpenAIModel:
    """OpenAI's Responses API, or a server compatible with it.

    The `openai` package is imported at the first call and in a thread: it costs 30 MB and half a second. It makes the
    request; what comes back is read here, for its own typed events cost more than the whole rest of an answer.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._opened: asyncio.Task[AsyncOpenAI] | None = None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See Model. A silence of a third of the whole deadline counts as a broken connection."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + request.seconds
        # A model that reasons says nothing for long; one that does not has no excuse.
        gap = self._settings.deadline_seconds / 3 if self._settings.effort == "none" else request.seconds
        begun = False
        try:
            client = await self._client()
            async with AsyncExitStack() as opened:
                async with asyncio.timeout_at(min(deadline, loop.time() + gap)):
                    answer = await self._ask(client, request)
                opened.push_async_callback(answer.aclose)
                events = await opened.enter_async_context(aclosing(event_data(answer.aiter_bytes())))
                while True:
                    # Never around a `yield`: a timeout there would strike whoever reads us.
                    async with asyncio.timeout_at(min(deadline, loop.time() + gap)):
                        data = await anext(events, b"[DONE]")
                    told = _understood(data)
                    begun = True
                    if told and isinstance(told[-1], Completed):
                        await _read_out(events)
                    for event in told:
                        yield event
                        if isinstance(event, Completed):
                            return
        except ModelError:
            raise
        except TimeoutError as error:
            raise ModelError("The model took too long.", reason="timeout") from error
        except _foreign_errors() as error:
            raise failure_of(error, begun=begun) from error

    async def ping(self) -> None:
        """See Model."""
        try:
            client = await self._client()
            async with asyncio.timeout(min(10.0, self._settings.deadline_seconds)):
                await client.models.retrieve(self._settings.name)
        except ModelError:
            raise
        except TimeoutError as error:
            raise ModelError("The model took too long.", reason="timeout") from error
        except _foreign_errors() as error:
            raise failure_of(error, begun=False) from error

    async def aclose(self) -> None:
        """Close the connections, if any were opened."""
        if self._opened is not None:
            with suppress(ModelError):
                await (await self._opened).close()
            self._opened = None

    async def _ask(self, client: "AsyncOpenAI", request: ModelRequest) -> "Response":
        import httpx2
        from openai import AsyncStream

        # Our bytes go out as they are: `responses.create` copies and checks them first, which takes as long again.
        answer: Any = await client.post(
            "/responses",
            content=orjson.dumps(self._arguments(request)),
            options={"timeout": request.seconds, "headers": {"Content-Type": "application/json"}},
            cast_to=httpx2.Response,
            stream=True,
            stream_cls=AsyncStream[Any],
        )
        # What `cast_to` says comes back, whatever the types of the package make of it.
        return cast("Response", answer)

    def _arguments(self, request: ModelRequest) -> dict[str, Any]:
        effort = self._settings.effort
        arguments: dict[str, Any] = {
            "model": self._settings.name,
            "instructions": request.instructions,
            "input": list(request.input),
            "stream": True,
            # The default keeps every question and answer for a month.
            "store": False,
            "stream_options": {"include_obfuscation": False},
            "reasoning": {"effort": effort},
            "max_output_tokens": request.max_output_tokens,
            "prompt_cache_key": request.prompt_cache_key,
            "safety_identifier": request.safety_identifier,
        }
        if request.tools:
            arguments["tools"] = list(request.tools)
            # Nothing is stored there, so what was thought between two rounds has to travel with us.
            arguments["include"] = ["reasoning.encrypted_content"]
        return arguments

    async def _client(self) -> "AsyncOpenAI":
        if self._opened is None:
            self._opened = asyncio.create_task(self._open())
        try:
            # Shielded: the first question may be cancelled while others wait for the same client.
            return await asyncio.shield(self._opened)
        except ModelError:
            self._opened = None
            raise

    async def _open(self) -> "AsyncOpenAI":
        key = self._settings.api_key
        if key is None:
            raise ModelError("There is no key for the model: set OPENAI_API_KEY.", reason="auth")
        make = await asyncio.to_thread(_imported)
        return make(
            api_key=key.get_secret_value(),
            base_url=self._settings.base_url,
            timeout=self._settings.deadline_seconds,
            # We repeat ourselves: the package would also repeat a spent quota, and count no attempt of ours.
            max_retries=0,
        )


def _imported() -> "type[AsyncOpenAI]":
    from openai import AsyncOpenAI

    keep_for_good()
    return AsyncOpenAI


def _foreign_errors() -> tuple[type[Exception], ...]:
    """What the package may raise, its transport's and parser's errors included."""
    import httpx2
    from openai import OpenAIError

    return OpenAIError, httpx2.HTTPError, httpx2.StreamError, OSError, ValueError


async def _read_out(events: AsyncIterator[bytes]) -> None:
    """Read to the end of a stream whose last event is here, so that its connection can be used again."""
    with suppress(TimeoutError, *_foreign_errors()):
        async with asyncio.timeout(_END_SECONDS):
            async for _ in events:
                pass


def _understood(data: bytes) -> list[ModelEvent]:
    """What `_told` says; an event of another shape than promised is a failure of the server, not of ours."""
    if data == b"[DONE]":
        # A stream that is cut ends like one that is finished, only without a terminal event.
        raise ModelError("The model's answer broke off.", reason="cut")
    try:
        return _told(orjson.loads(data))
    except (AttributeError, KeyError, TypeError) as error:
        raise ModelError("The model's server sent an event nobody understands.", reason="unavailable") from error


def _told(event: Mapping[str, Any]) -> list[ModelEvent]:
    """What one event of the stream means. Raises ModelError for an ending that is a failure."""
    match event.get("type"):
        case "response.output_text.delta":
            return [TextDelta(str(event["delta"]))]
        case "response.completed" | "response.incomplete":
            return _ending(event["response"])
        case "response.failed":
            raise failure_reported((event["response"].get("error") or {}).get("code"))
        case "error":
            raise failure_reported(event.get("code"))
    # Some compatible servers report a failure like this.
    if event.get("error"):
        raise failure_reported(event["error"].get("code"))
    return []


def _ending(response: Mapping[str, Any]) -> list[ModelEvent]:
    told: list[ModelEvent] = []
    output: list[Mapping[str, Any]] = response.get("output") or []
    for item in output:
        match item["type"]:
            case "function_call":
                told.append(ToolCall(item["call_id"], item["name"], item["arguments"]))
            case "message":
                if any(part["type"] == "refusal" for part in item["content"]):
                    raise ModelError("The model declined.", reason="refused")
    is_cut = response.get("status") == "incomplete"
    # Smaller compatible servers count nothing.
    usage = response.get("usage") or {}
    told.append(
        Completed(
            model=str(response["model"]),
            finish="incomplete" if is_cut else "complete",
            reason=(response.get("incomplete_details") or {}).get("reason") if is_cut else None,
            usage=Usage(usage.get("input_tokens"), usage.get("output_tokens")),
            output=tuple(output),
        )
    )
    return told
