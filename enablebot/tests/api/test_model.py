"""The door to the model, against the played OpenAI and against servers that misbehave in ways it does not play."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st
from pydantic import SecretStr

from enablebot.api.answering.asking import ATTEMPTS, TOOL_ROUNDS, Asking
from enablebot.api.answering.breaker import Breaker
from enablebot.api.answering.model import Completed, ModelEvent, ModelRequest, OpenAIModel, TextDelta, ToolCall
from enablebot.api.answering.sse import event_data
from enablebot.config.settings import ModelSettings
from enablebot.sandbox.config import SandboxConfig
from enablebot.sandbox.server import running
from enablebot.shared.errors import ModelError
from enablebot.shared.models.answer import Draft, Usage
from enablebot.tests.sandbox.openai_door import Door, open_door

pytestmark = pytest.mark.anyio

TOOL = {
    "type": "function",
    "name": "look",
    "description": "Looks.",
    "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    "strict": True,
}


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door() as opened_door:
        yield opened_door


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[OpenAIModel]:
    model = OpenAIModel(
        ModelSettings(**{"api_key": SecretStr("sk-test"), "base_url": url, "deadline_seconds": 5} | settings)
    )
    try:
        yield model
    finally:
        await model.aclose()


def request(text: str = "What is a lighthouse?", *, seconds: float = 5, **more: Any) -> ModelRequest:
    return ModelRequest(
        instructions="Answer.",
        input=({"role": "user", "content": text},),
        safety_identifier="s" * 64,
        prompt_cache_key="c" * 64,
        seconds=seconds,
        **more,
    )


async def told(model: OpenAIModel, asked: ModelRequest) -> list[ModelEvent]:
    return [event async for event in model.stream(asked)]


async def test_text_comes_in_pieces_and_one_ending_counts_the_tokens(door: Door) -> None:
    async with opened(door.url) as model:
        *pieces, ending = await told(model, request())

    assert len(pieces) > 3
    assert "lighthouse" in "".join(piece.text for piece in pieces if isinstance(piece, TextDelta))
    assert isinstance(ending, Completed)
    assert ending.finish == "complete"
    assert ending.usage.input_tokens
    assert ending.usage.output_tokens


async def test_nothing_is_kept_at_the_provider_and_no_sampling_is_asked_for(door: Door) -> None:
    for effort in ("none", "low"):
        async with opened(door.url, effort=effort) as model:
            await told(model, request())

    for method, body in asked_of(door):
        assert method == "openai.responses"
        assert body["store"] is False
        assert body["stream_options"] == {"include_obfuscation": False}
        assert body["max_output_tokens"] > 0
        assert len(body["safety_identifier"]) == len(body["prompt_cache_key"]) == 64
        assert not {"temperature", "top_p", "user", "tools", "include"} & set(body)
    assert [body["reasoning"] for _, body in asked_of(door)] == [{"effort": "none"}, {"effort": "low"}]


async def test_an_answer_at_its_limit_is_marked_as_incomplete(door: Door) -> None:
    async with opened(door.url) as model:
        ending = (await told(model, request("[[long 500]]", max_output_tokens=16)))[-1]

    assert isinstance(ending, Completed)
    assert (ending.finish, ending.reason) == ("incomplete", "max_output_tokens")


@pytest.mark.parametrize("kind", ["cut", "reset"])
async def test_a_stream_without_its_last_event_is_a_failure_and_not_an_answer(door: Door, kind: Any) -> None:
    door.faults.add("openai.responses", kind, after_events=6)
    async with opened(door.url) as model:
        with pytest.raises(ModelError) as failure:
            await told(model, request())

    assert failure.value.reason == "cut"
    assert not failure.value.permanent


@pytest.mark.parametrize("after_events", [0, 5])
async def test_silence_is_bounded_before_and_in_mid_answer(door: Door, after_events: int) -> None:
    door.faults.add("openai.responses", "hang", after_events=after_events)
    async with opened(door.url, deadline_seconds=0.9) as model:
        with pytest.raises(ModelError) as failure:
            await told(model, request(seconds=30))

    assert failure.value.reason == "timeout"


async def test_the_whole_call_is_bounded_even_if_it_never_falls_silent() -> None:
    async with running(SandboxConfig(model_delay_ms=50, with_slack=False)) as slow, opened(slow.openai_url) as model:
        with pytest.raises(ModelError) as failure:
            await told(model, request("[[long 2000]]", seconds=0.5))

    assert failure.value.reason == "timeout"


async def test_without_a_key_nothing_is_called_and_the_reason_is_the_key(door: Door) -> None:
    async with opened(door.url, api_key=None) as model:
        with pytest.raises(ModelError) as failure:
            await told(model, request())

    assert failure.value.reason == "auth"
    assert asked_of(door) == []


async def test_ping_tells_a_good_key_from_a_bad_one_and_a_model_from_none(door: Door) -> None:
    async with opened(door.url) as model:
        await model.ping()
    for settings, reason in (({"api_key": SecretStr("sk-bad")}, "auth"), ({"name": "gpt-none"}, "model_missing")):
        async with opened(door.url, **settings) as model:
            with pytest.raises(ModelError) as failure:
                await model.ping()
        assert failure.value.reason == reason


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with opened("http://127.0.0.1:9/v1") as model:
        with pytest.raises(ModelError) as failure:
            await told(model, request())
    assert failure.value.reason == "unavailable"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["data: {not json", ""], "unavailable"),
        (["data: [1, 2]", ""], "unavailable"),
        (["data: {}", ""], "cut"),
        (['data: {"type":"response.completed","response":null}', ""], "unavailable"),
        (["<html>gateway</html>"], "cut"),
        ([], "cut"),
        (['data: {"type":"error","code":"insufficient_quota","message":"spent"}', ""], "quota"),
        (['data: {"type":"error","code":null,"message":"oops"}', ""], "unavailable"),
        (['data: {"error":{"code":"rate_limit_exceeded","message":"slow down"}}', ""], "rate_limited"),
        (['data: {"type":"response.failed","response":{"error":{"code":"invalid_prompt"}}}', ""], "refused"),
        (['data: {"type":"response.failed","response":{"error":null}}', ""], "unavailable"),
    ],
)
async def test_whatever_a_server_streams_becomes_a_reason(lines: list[str], reason: str) -> None:
    async with answering_with("\n".join(lines).encode() + b"\n") as url, opened(url) as model:
        with pytest.raises(ModelError) as failure:
            await told(model, request())
    assert failure.value.reason == reason


async def test_an_answer_that_drips_is_too_slow_however_long_it_goes_on(door: Door) -> None:
    door.faults.add("openai.responses", "drip", seconds=0.05)
    async with opened(door.url, deadline_seconds=0.9) as model:
        with pytest.raises(ModelError) as failure:
            await told(model, request(seconds=30))

    assert failure.value.reason == "timeout"


async def test_the_next_question_goes_over_the_connection_of_the_last_one() -> None:
    connected: list[int] = []
    async with kept_alive(connected) as url, opened(url) as model:
        for _ in range(3):
            assert isinstance((await told(model, request()))[-1], Completed)
    assert connected == [1]


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5), st.lists(st.integers(1, 40), min_size=1, max_size=30))
@trying(max_examples=200, deadline=None)
def test_events_are_the_same_however_they_are_cut(texts: list[str], lengths: list[int]) -> None:
    wanted = [orjson.dumps({"delta": text}) for text in texts]
    whole = b": hello\r\n\r\n" + b"".join(b"event: x\ndata: " + data + b"\r\n\r\n" for data in wanted) + b"data: half"

    async def pieces() -> AsyncIterator[bytes]:
        place = 0
        for length in [*lengths, len(whole)]:
            yield whole[place : place + length]
            place += length

    async def read() -> list[bytes]:
        return [data async for data in event_data(pieces())]

    assert asyncio.run(read()) == wanted


async def test_a_small_compatible_server_that_counts_nothing_is_good_enough() -> None:
    ending = {
        "type": "response.completed",
        "response": {
            "id": "r",
            "model": "small",
            "status": "completed",
            "output": [
                {
                    "type": "message",
                    "id": "m",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": "Hi.", "annotations": []}],
                }
            ],
        },
    }
    delta = {"type": "response.output_text.delta", "delta": "Hi.", "item_id": "m", "output_index": 0}
    body = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in (delta, ending))
    async with answering_with(body) as url, opened(url) as model:
        events = await told(model, request())

    assert events[0] == TextDelta("Hi.")
    assert isinstance(events[-1], Completed)
    assert events[-1].usage == Usage(None, None)


async def test_leaving_in_mid_answer_closes_the_connection() -> None:
    left = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        writer.write(b'data: {"type":"response.output_text.delta","delta":"and "}\n\n')
        await writer.drain()
        while await reader.read(1000):
            pass
        left.set()
        writer.close()

    async with (
        await asyncio.start_server(talk, "127.0.0.1", 0) as server,
        opened(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1") as model,
    ):
        events = model.stream(request())
        assert await anext(events) == TextDelta("and ")
        await events.aclose()
        async with asyncio.timeout(4):
            await left.wait()


async def test_a_cancelled_first_question_does_not_spoil_the_client_for_others(door: Door) -> None:
    async with opened(door.url) as model:
        first = asyncio.create_task(told(model, request()))
        second = asyncio.create_task(told(model, request()))
        await asyncio.sleep(0)
        first.cancel()
        assert isinstance((await second)[-1], Completed)


def test_importing_the_room_does_not_import_the_package_it_talks_through() -> None:
    code = "import enablebot.api.answering.service, sys; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Looking:
    """A tool that answers, and counts how often it was used."""

    name = "look"
    schema = TOOL

    def __init__(self) -> None:
        self.used: list[str] = []

    async def use(self, arguments: str) -> str:
        self.used.append(arguments)
        return "The heron sleeps at four."


def asking(model: Any, said: list[str], **more: Any) -> Asking:
    return Asking(
        model,
        breaker=more.pop("breaker", None) or Breaker(clock=lambda: 0.0),
        count=lambda _outcome: None,
        say=said.append,
        start_over=said.clear,
        **more,
    )


async def test_a_tool_the_model_calls_is_used_and_its_result_answered_from(door: Door) -> None:
    tool, said = Looking(), list[str]()
    async with opened(door.url) as model:
        asked = await asking(model, said, tools=[tool]).ask(request('When? [[tool look {"a": 1}]]'))

    assert tool.used == ['{"a": 1}']
    assert "heron" in "".join(said)
    assert len(asked_of(door)) == 2
    assert asked.usage.input_tokens is not None
    assert asked_of(door)[1][1]["include"] == ["reasoning.encrypted_content"]


class Calling:
    """A model that wants tools for ever."""

    def __init__(self) -> None:
        self.offered: list[int] = []

    async def stream(self, asked: ModelRequest) -> AsyncIterator[ModelEvent]:
        self.offered.append(len(asked.tools))
        yield ToolCall("c", "look", "{}")
        yield Completed("m", output=({"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},))


async def test_rounds_of_tools_are_bounded_and_the_last_one_offers_none() -> None:
    model = Calling()
    with pytest.raises(ModelError):
        await asking(model, [], tools=[Looking()]).ask(request())
    assert model.offered == [1] * TOOL_ROUNDS + [0]


class Failing:
    """A model that fails in these ways, one a call, and then answers."""

    def __init__(self, failures: Sequence[ModelError]) -> None:
        self.calls = 0
        self._failures = failures

    async def stream(self, asked: ModelRequest) -> AsyncIterator[ModelEvent]:
        self.calls += 1
        yield TextDelta("half ")
        if self.calls <= len(self._failures):
            raise self._failures[self.calls - 1]
        yield Completed("m")


async def test_text_of_a_failed_attempt_is_forgotten_before_the_next() -> None:
    said: list[str] = []
    model = Failing([ModelError("cut", reason="cut")])
    await asking(model, said).ask(request())
    assert (said, model.calls) == (["half "], 2)


@pytest.mark.parametrize(
    ("failures", "calls"),
    [
        ([ModelError("x", reason="unavailable")] * 9, ATTEMPTS),
        ([ModelError("x", reason="quota")], 1),
        ([ModelError("x", reason="auth")], 1),
        ([ModelError("x", reason="rate_limited", retry_after=60)], 1),
        ([ModelError("x", reason="rate_limited", retry_after=0.1)] * 9, ATTEMPTS),
    ],
)
async def test_only_what_may_pass_is_tried_again_and_never_more_than_three_times(
    failures: list[ModelError], calls: int
) -> None:
    model = Failing(failures)
    with pytest.raises(ModelError):
        await asking(model, []).ask(request(seconds=10))
    assert model.calls == calls


def test_the_breaker_opens_after_five_failures_and_lets_one_try_after_its_rest() -> None:
    now = [0.0]
    breaker = Breaker(clock=lambda: now[0], rest_seconds=10)
    for _ in range(5):
        breaker.admit()
        breaker.note(ModelError("x", reason="timeout"))
    with pytest.raises(ModelError):
        breaker.admit()
    now[0] = 11.0
    breaker.admit()
    with pytest.raises(ModelError):
        breaker.admit()
    breaker.note(None)
    breaker.admit()


@pytest.mark.parametrize("reason", ["quota", "auth", "refused", "rate_limited", "too_long"])
def test_failures_that_say_nothing_about_health_leave_the_breaker_closed(reason: Any) -> None:
    breaker = Breaker(clock=lambda: 0.0)
    for _ in range(20):
        breaker.admit()
        breaker.note(ModelError("x", reason=reason))


def test_a_draft_survives_being_stored_and_nothing_else_is_taken_for_one() -> None:
    draft = Draft("Hé 👋", state="failed", reason="cut", model="m", usage=Usage(1, None))
    assert Draft.from_bytes(draft.to_bytes()) == draft
    for broken in (b"", b"{", b"[]", b"{}", b'{"text":1}', b'"x"'):
        with pytest.raises(ValueError):  # noqa: PT011 - any of them
            Draft.from_bytes(broken)


def asked_of(door: Door) -> list[tuple[str, dict[str, Any]]]:
    """What the played OpenAI was asked."""
    return list(door.desk.asked)


@asynccontextmanager
async def kept_alive(connected: list[int]) -> AsyncIterator[str]:
    """A server that answers every request on its connection, and notes each connection."""
    response = {"model": "m", "status": "completed", "output": []}
    body = b"data: " + orjson.dumps({"type": "response.completed", "response": response}) + b"\n\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(1)
        while lines := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"content-length: (\d+)", lines, re.IGNORECASE)
            assert length is not None
            await reader.readexactly(int(length[1]))
            writer.write(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            await writer.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        # The caller has closed its connections: the handler's last steps.
        await asyncio.sleep(0.05)


@asynccontextmanager
async def answering_with(body: bytes) -> AsyncIterator[str]:
    """A server that answers every request with this stream."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1"
