"""Server-sent events, and the ways a stream can end that nobody hopes for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from enablebot.sandbox.faults import Fault
from enablebot.sandbox.openai import errors
from enablebot.sandbox.severing import Severed

_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_UNNAMED = Fault().error
_GARBAGE = b'event: response.created\ndata: {"type": "response.cre\n\n'


@dataclass(frozen=True, slots=True)
class StreamLost(Exception):
    """The stream ends here, without its last event: quietly, or with the connection torn down."""

    reset: bool = False


def event(data: Any, *, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + (data if isinstance(data, bytes) else orjson.dumps(data)) + b"\n\n"


class EventStream(Response):
    """Sends events as they come; stops making them when the caller leaves."""

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        super().__init__()
        self.raw_headers = list(_HEADERS)
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not sending.done():
                sending.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        if not sending.cancelled() and (lost := sending.result()) is not None:
            await Severed(reset=lost.reset)(scope, receive, send)

    async def _send(self, send: Send) -> StreamLost | None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async for part in self._events:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        except StreamLost as lost:
            if lost.reset:
                return lost
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return None


class Hanging(Response):
    """No answer for `seconds`, or until the caller leaves; then the connection is closed."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self._seconds or None):
                await _gone(receive)
        except TimeoutError:
            await Severed()(scope, receive, send)


class Dripping(Response):
    """Another answer, with a pause before each of its bytes."""

    def __init__(self, answer: Response, seconds: float) -> None:
        super().__init__()
        self.raw_headers = answer.raw_headers
        self._answer = answer
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def drip(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
                return
            for byte in message.get("body", b""):
                await asyncio.sleep(self._seconds)
                await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
            if not message.get("more_body"):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._answer(scope, receive, drip)


async def struck(fault: Fault | None, *, streams: bool) -> Response | None:
    """What a fault answers before any work is done; None when the work goes ahead."""
    if fault is None:
        return None
    midway = streams and fault.after_events > 0
    match fault.kind:
        case "status":
            return errors.with_status(fault.status, _code(fault)).response()
        case "ratelimit":
            return errors.too_fast(fault.retry_after).response()
        case "hang" if not midway:
            return Hanging(fault.seconds)
        case "reset" if not midway:
            return Severed(reset=True)
        case "lost_answer":
            return Severed()
        case "cut" if not streams:
            return Severed()
        case "slow":
            await asyncio.sleep(fault.seconds)
        case "garbage":
            return Response(_GARBAGE, media_type="text/event-stream" if streams else "application/json")
    return None


async def strike_midway(fault: Fault | None, sent: int) -> None:
    """Leaves a stream that has sent so many events, if that is where its fault strikes.

    Raises StreamLost. The kind `error` is the stream's own business, for it has a shape on each wire.
    """
    if fault is None or sent != fault.after_events:
        return
    match fault.kind:
        case "cut":
            raise StreamLost
        case "reset":
            raise StreamLost(reset=True)
        case "hang":
            await asyncio.sleep(fault.seconds or float(3600))
            raise StreamLost


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _code(fault: Fault) -> str | None:
    return None if fault.error == _UNNAMED else fault.error
