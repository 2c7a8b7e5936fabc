"""A Slack and a model that answer at once and note when each call came and when it was answered.

Bare on purpose: what they cost is taken off the time measured, and the less there is of it, the less hangs on that.
"""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

TEXT = "Trains abroad are booked by the travel desk. Ask them for the exception."


@dataclass(frozen=True, slots=True)
class Call:
    """One call: which, and the moments of `time.perf_counter` between which a stand-in had it."""

    method: str
    came_at: float
    answered_at: float


class StandIns:
    """Both services behind one port."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.arrived = asyncio.Event()
        self._numbers = itertools.count(1)

    def answer(self, path: str) -> bytes:
        """The whole HTTP answer to a call of this path."""
        if path.endswith("/responses"):
            return _MODEL
        ts = f"{1_900_000_000 + next(self._numbers)}.000100"
        return _http("application/json", json.dumps({"ok": True, "channel": "C0GENERAL01", "ts": ts}).encode())


class _Connection(asyncio.Protocol):
    def __init__(self, stand_ins: StandIns) -> None:
        self._stand_ins = stand_ins
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._came_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._received:
            self._came_at = time.perf_counter()
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found or len(rest) < _length_of(head):
            return
        self._received = b""
        path = head.split(b" ", 2)[1].decode().partition("?")[0]
        assert self._transport is not None
        self._transport.write(self._stand_ins.answer(path))
        method = "model" if path.endswith("/responses") else path.rpartition("/")[2]
        self._stand_ins.calls.append(Call(method, self._came_at, time.perf_counter()))
        self._stand_ins.arrived.set()


@asynccontextmanager
async def stand_ins() -> AsyncIterator[tuple[StandIns, str]]:
    """Both on a free port, until the end; yields them and their address."""
    played = StandIns()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(played), "127.0.0.1", 0)
    async with server:
        yield played, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def _length_of(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _http(kind: str, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (kind.encode(), len(body), body)


def _streamed() -> bytes:
    """The model's answer as its server streams it, all at once."""
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    content = [{"type": "output_text", "text": TEXT, "annotations": []}]
    words = TEXT.split(" ")
    deltas = [word + " " for word in words[:-1]] + words[-1:]
    events = [
        {
            "type": "response.output_text.delta",
            "delta": delta,
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
        }
        for delta in deltas
    ]
    response = {
        "id": "resp_1",
        "object": "response",
        "model": "gpt-6-luna",
        "status": "completed",
        "output": [{**item, "content": content}],
        "usage": {"input_tokens": 900, "output_tokens": 20, "total_tokens": 920},
    }
    events.append({"type": "response.completed", "response": response})
    lines = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return _http("text/event-stream", "".join(lines).encode())


_MODEL = _streamed()
