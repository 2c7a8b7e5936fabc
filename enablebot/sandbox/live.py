"""Server-sent events for live pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import orjson
from starlette.requests import Request
from starlette.responses import StreamingResponse

if TYPE_CHECKING:
    from enablebot.sandbox.sandbox import Sandbox

_HEARTBEAT_SECONDS = 15.0


def live_updates(sandbox: Sandbox, request: Request) -> StreamingResponse:
    """`hello`, then one `change` for each message, edit, deletion and status, until page or sandbox leaves."""
    team = request.query_params.get("team") or None

    async def updates() -> AsyncIterator[bytes]:
        with sandbox.changes.watching(team) as notes:
            yield b"event: hello\ndata: {}\n\n"
            while not sandbox.stopping.is_set():
                taking = asyncio.create_task(notes.get())
                stopping = asyncio.create_task(sandbox.stopping.wait())
                try:
                    await asyncio.wait(
                        {taking, stopping}, timeout=_HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
                    )
                    if taking.done():
                        yield b"event: change\ndata: " + orjson.dumps(taking.result()) + b"\n\n"
                    elif not stopping.done():
                        yield b": still here\n\n"
                finally:
                    taking.cancel()
                    stopping.cancel()

    return StreamingResponse(
        updates(), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
