"""Losing a connection on purpose: the caller sees it close, before an answer or in the middle of it."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Protocol, cast

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_KEY = "sandbox.transport"


class SeveredInProcess(ConnectionError):
    """Raised instead of closing a connection where there is none (an ASGI client in the same process)."""


class _Cycle(Protocol):
    transport: asyncio.Transport


def remember_transport(scope: Scope, send: Send) -> None:
    """Notes the connection behind a request, for `Severed`.

    It must see the server's own `send`: uvicorn's is a method of the request's cycle, which holds the transport,
    and middleware would hide it behind a closure.
    """
    cycle = getattr(send, "__self__", None)
    if scope["type"] in ("http", "websocket") and hasattr(cycle, "transport"):
        scope.setdefault("extensions", {})[_KEY] = cast(_Cycle, cycle).transport


def sever(scope: Scope) -> None:
    """Drops the connection behind a request or a socket, without a word."""
    transport: asyncio.Transport | None = scope.get("extensions", {}).get(_KEY)
    if transport is not None:
        transport.abort()


class Halved(Response):
    """An answer of which the headers and half of the body arrive before the connection closes."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: asyncio.Transport | None = scope.get("extensions", {}).get(_KEY)
        if transport is None:
            raise SeveredInProcess("the sandbox cut this answer on purpose")
        answer, body = self._answer, bytes(self._answer.body)
        await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        # Not abort(): what was written has to arrive.
        transport.close()
        while (await receive())["type"] != "http.disconnect":
            pass


class Severed(Response):
    """An answer that is none: the connection is closed, or with `reset` torn down with a TCP reset."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: asyncio.Transport | None = scope.get("extensions", {}).get(_KEY)
        if transport is None:
            raise SeveredInProcess("the sandbox dropped this connection on purpose")
        if self._reset:
            raw = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        # The server answers 500 for an app that returned without an answer, unless it already knows of the disconnect.
        while (await receive())["type"] != "http.disconnect":
            pass
