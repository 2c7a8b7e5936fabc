"""A TCP proxy that fails on order: before Postgres, Slack or a model; its mode is switched while it runs."""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

Mode = Literal["pass", "delay", "refuse", "blackhole", "stall", "drop_reply", "cut_reply"]
_CHUNK = 65536


@dataclass(frozen=True)
class Target:
    """Where connections are passed on to: a port of loopback, or a Unix socket."""

    port: int | None = None
    path: str | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.path is not None:
            return await asyncio.open_unix_connection(self.path)
        return await asyncio.open_connection("127.0.0.1", self.port)


@dataclass(eq=False)
class _Pair:
    """One connection of a client, and its other half once there is one."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    # Bytes are missing from it: it can only be ended, never healed.
    is_maimed: bool = False
    reply_left: int | None = None
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    def reset(self) -> None:
        for writer in (self.client, self.server):
            if writer is not None:
                _reset(writer)


class FaultProxy:
    """Listens on a free port of loopback and passes on, in turn, to its targets.

    pass        everything goes through; a target that refuses is passed over for the next
    delay       each piece waits `delay_seconds` first, in both directions
    refuse      connections are reset: new ones at once, open ones when the mode is switched on
    blackhole   accepts and swallows: nothing arrives anywhere. What lost bytes is reset when the mode ends
    stall       holds everything back, as a network that loses packets; when it ends, all of it arrives, late
    drop_reply  requests arrive, answers are swallowed. What lost bytes is reset when the mode ends
    cut_reply   the first `cut_after` bytes of what comes back arrive, then the connection is closed
    """

    def __init__(self, *targets: Target) -> None:
        self._targets = targets
        self._turn = 0
        self._mode: Mode = "pass"
        self._delay_seconds = 0.1
        self._cut_after = 64
        self._pairs: set[_Pair] = set()
        self._switched = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.accepted = 0
        self.struck = 0

    @property
    def port(self) -> int:
        assert self._server is not None, "the proxy is not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def mode(self) -> Mode:
        return self._mode

    @property
    def open_connections(self) -> int:
        """How many clients are connected at this moment."""
        return len(self._pairs)

    def switch(self, mode: Mode, *, delay_seconds: float = 0.1, cut_after: int = 64) -> None:
        """Change what happens from now on, to open connections as well."""
        self._mode, self._delay_seconds, self._cut_after = mode, delay_seconds, cut_after
        for pair in list(self._pairs):
            pair.reply_left = cut_after if mode == "cut_reply" else None
            if mode == "refuse" or pair.is_maimed:
                self.struck += not pair.is_maimed
                pair.reset()
        self._switched.set()
        self._switched = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_CHUNK)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for pair in list(self._pairs):
            for task in pair.tasks:
                task.cancel()
            pair.reset()
        while self._pairs:
            await asyncio.sleep(0.001)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._mode == "refuse":
            self.struck += 1
            _reset(writer)
            return
        pair = _Pair(writer)
        pair.reply_left = self._cut_after if self._mode == "cut_reply" else None
        self._pairs.add(pair)
        try:
            pair.tasks = [asyncio.create_task(self._join(pair, reader))]
            await asyncio.wait(pair.tasks)
            pair.tasks[0].result()
        except asyncio.CancelledError:
            pair.reset()
        finally:
            self._pairs.discard(pair)
            for each in (pair.client, pair.server):
                if each is not None:
                    each.close()

    async def _join(self, pair: _Pair, reader: asyncio.StreamReader) -> None:
        if self._mode == "blackhole":
            self.struck += 1
            pair.is_maimed = True
            await self._swallow(reader)
            return
        while self._mode == "stall":
            self.struck += 1
            await self._switched.wait()
        try:
            server_reader, pair.server = await self._connect()
        except OSError:
            _reset(pair.client)
            return
        up = asyncio.create_task(self._pump(pair, reader, pair.server, is_reply=False))
        down = asyncio.create_task(self._pump(pair, server_reader, pair.client, is_reply=True))
        pair.tasks += [up, down]
        await asyncio.wait({up, down})

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._turn += 1
        targets = [self._targets[(self._turn + step) % len(self._targets)] for step in range(len(self._targets))]
        for target in targets[:-1]:
            with contextlib.suppress(OSError):
                return await target.open()
        return await targets[-1].open()

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(_CHUNK):
                pass

    async def _pump(
        self, pair: _Pair, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        try:
            while piece := await source.read(_CHUNK):
                passed = await self._judge(pair, piece, is_reply=is_reply)
                if passed:
                    sink.write(passed)
                    await sink.drain()
                if is_reply and pair.reply_left == 0:
                    self.struck += 1
                    pair.client.close()
                    assert pair.server is not None
                    pair.server.close()
                    return
            with contextlib.suppress(OSError, RuntimeError):
                if not pair.is_maimed:
                    sink.write_eof()
        except OSError:
            pair.reset()

    async def _judge(self, pair: _Pair, piece: bytes, *, is_reply: bool) -> bytes:
        """What of a piece goes on; it may take its time."""
        while self._mode == "stall":
            self.struck += 1
            await self._switched.wait()
        if self._mode == "delay":
            self.struck += 1
            await asyncio.sleep(self._delay_seconds)
        if self._mode == "blackhole" or (self._mode == "drop_reply" and is_reply):
            self.struck += not pair.is_maimed
            pair.is_maimed = True
        if pair.is_maimed and (is_reply or self._mode != "drop_reply"):
            return b""
        if is_reply and pair.reply_left is not None:
            piece = piece[: pair.reply_left]
            pair.reply_left -= len(piece)
        return piece


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: what was not read yet is lost, as when a machine vanishes."""
    found = writer.get_extra_info("socket")
    if found is not None and found.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
