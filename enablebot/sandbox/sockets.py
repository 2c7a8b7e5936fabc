"""Socket Mode: connections that the app opened, and envelopes that wait for their acknowledgement."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from uuid import uuid4

import orjson
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from enablebot.sandbox.clock import Clock
from enablebot.sandbox.config import SandboxConfig
from enablebot.sandbox.ledger import Ledger
from enablebot.sandbox.manifest import APP_ID
from enablebot.sandbox.severing import sever

MOST_CONNECTIONS = 10
_TICKET_SECONDS = 30.0
_NOTICE_SECONDS = 10.0
_DEBUG_SHARE = 0.1

Ending = Literal["warning", "refresh_requested", "link_disabled"]


@dataclass(eq=False, slots=True)
class Connection:
    """One socket; `leaving` once it was told that it ends."""

    socket: WebSocket
    seconds: float
    waiting: dict[str, asyncio.Future[str]] = field(default_factory=dict)
    leaving: Ending | None = None
    told: asyncio.Event = field(default_factory=asyncio.Event)


class Sockets:
    """Socket Mode is on when the sandbox has an app-level token; then nothing is posted to the app any more."""

    def __init__(self, config: SandboxConfig, *, clock: Clock, ledger: Ledger) -> None:
        self._config = config
        self._clock = clock
        self._ledger = ledger
        self._tickets: dict[str, float] = {}
        self._connections: list[Connection] = []
        self._envelopes: set[str] = set()
        self._turn = 0

    @property
    def is_on(self) -> bool:
        return self._config.app_token is not None

    @property
    def connected(self) -> int:
        """How many connections were greeted and are open."""
        return len(self._connections)

    def ticket(self) -> str:
        """What opens one connection, once, soon."""
        ticket = secrets.token_hex(16)
        self._tickets[ticket] = self._clock.now() + _TICKET_SECONDS
        return ticket

    async def deliver(
        self, kind: str, payload: dict[str, Any], *, retry: tuple[int, str] | None = None, answerable: bool = False
    ) -> tuple[str, float]:
        """Send one envelope to one connection; Slack's word for what went wrong, empty when acknowledged, and ms."""
        started = time.perf_counter()
        connection = self._next()
        if connection is None:
            return "connection_failed", 0.0
        envelope_id = str(uuid4())
        envelope = {
            "envelope_id": envelope_id,
            "type": kind,
            "payload": payload,
            "accepts_response_payload": answerable,
        }
        if retry is not None:
            envelope |= {"retry_attempt": retry[0], "retry_reason": retry[1]}
        self._envelopes.add(envelope_id)
        answer = connection.waiting[envelope_id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._config.ack_seconds):
                await connection.socket.send_text(orjson.dumps(envelope).decode())
                reason = await answer
        except TimeoutError:
            reason = "timeout"
        except (WebSocketDisconnect, RuntimeError):
            # Starlette's word for a socket that has closed meanwhile.
            reason = "connection_failed"
        finally:
            connection.waiting.pop(envelope_id, None)
        return reason, (time.perf_counter() - started) * 1000

    def end(self, reason: Ending) -> int:
        """Tell every connection that it will end, as Slack does; returns how many were told."""
        if reason not in get_args(Ending):
            raise ValueError(f"a socket ends by {', '.join(get_args(Ending))}, not by {reason!r}")
        told = [connection for connection in self._connections if connection.leaving is None]
        for connection in told:
            connection.leaving = reason
            connection.told.set()
        return len(told)

    def sever(self) -> int:
        """Drop every connection without a word, as a network does; returns how many."""
        lost = list(self._connections)
        for connection in lost:
            sever(connection.socket.scope)
        return len(lost)

    async def serve(self, socket: WebSocket) -> None:
        """One connection from its ticket to its end."""
        if self._tickets.pop(socket.query_params.get("ticket", ""), 0.0) < self._clock.now():
            await socket.close()
            return
        await socket.accept()
        if self.connected >= MOST_CONNECTIONS:
            await self._part(socket, "too_many_websockets")
            return
        is_short = socket.query_params.get("debug_reconnects") == "true"
        connection = Connection(socket, self._config.socket_seconds * (_DEBUG_SHARE if is_short else 1))
        self._connections.append(connection)
        ending = asyncio.create_task(self._live(connection))
        try:
            await self._greet(socket)
            await self._hear(connection)
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            ending.cancel()
            self._connections.remove(connection)
            for answer in connection.waiting.values():
                if not answer.done():
                    answer.set_result("connection_failed")
            self._ledger.touch()

    async def _greet(self, socket: WebSocket) -> None:
        hello = {
            "type": "hello",
            "num_connections": self.connected,
            "debug_info": {"host": "applink-sandbox", "build_number": 1, "approximate_connection_time": 3600},
            "connection_info": {"app_id": APP_ID},
        }
        await socket.send_text(orjson.dumps(hello).decode())
        self._ledger.touch()

    async def _hear(self, connection: Connection) -> None:
        while True:
            frame = await connection.socket.receive_text()
            try:
                told = orjson.loads(frame)
            except orjson.JSONDecodeError:
                told = None
            envelope_id = told.get("envelope_id") if isinstance(told, dict) else None
            if not isinstance(envelope_id, str):
                self._violated("malformed_acknowledgement", "a frame of the app names no envelope")
                continue
            if envelope_id not in self._envelopes:
                self._violated("unknown_envelope", f"{envelope_id} was never sent, or is acknowledged already")
                continue
            self._envelopes.discard(envelope_id)
            answer = connection.waiting.get(envelope_id)
            # One that comes after its three seconds was blamed when these were over.
            if answer is not None and not answer.done():
                answer.set_result("")

    async def _live(self, connection: Connection) -> None:
        notice = _NOTICE_SECONDS * self._config.time_scale
        try:
            async with asyncio.timeout(max(0.0, connection.seconds - notice)):
                await connection.told.wait()
        except TimeoutError:
            connection.leaving = "warning"
        reason = connection.leaving or "warning"
        with suppress(WebSocketDisconnect, RuntimeError):
            await connection.socket.send_text(orjson.dumps(_goodbye(reason)).decode())
            if reason != "link_disabled":
                await asyncio.sleep(notice)
            await connection.socket.close()

    async def _part(self, socket: WebSocket, reason: str) -> None:
        await socket.send_text(orjson.dumps(_goodbye(reason)).decode())
        await socket.close()

    def _next(self) -> Connection | None:
        """The connections take turns; those that were told to leave only where there is no other."""
        able = [connection for connection in self._connections if connection.leaving is None] or self._connections
        self._turn += 1
        return able[self._turn % len(able)] if able else None

    def _violated(self, kind: str, detail: str) -> None:
        self._ledger.violated(kind, detail, at=self._clock.now())


def socket_route(find: Callable[[], Sockets]) -> WebSocketRoute:
    """Where the address of `apps.connections.open` leads."""

    async def link(socket: WebSocket) -> None:
        await find().serve(socket)

    return WebSocketRoute("/link/", link)


def _goodbye(reason: str) -> dict[str, Any]:
    return {"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-sandbox"}}
