"""The sandbox behind a port: in this process for tests, or until a signal as a process of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from enablebot.sandbox.app import create_app
from enablebot.sandbox.config import SandboxConfig
from enablebot.sandbox.sandbox import Sandbox

_GRACE_SECONDS = 1


class _Server(uvicorn.Server):
    """uvicorn that first tells the sandbox to let go of its live pages and hanging calls."""

    def __init__(self, config: uvicorn.Config, sandbox: Sandbox) -> None:
        super().__init__(config)
        self._sandbox = sandbox

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._sandbox.stop()
        await super().shutdown(sockets)


class _Guest(_Server):
    """A server inside somebody else's process, which leaves that process's signals alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def running(config: SandboxConfig, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Sandbox]:
    """A served sandbox on this event loop; `port` 0 takes a free one, `.base_url` says which."""
    listener = socket.create_server((host, port))
    server, sandbox = _prepared(config, listener, _Guest)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if serving.done():
                await serving
                raise RuntimeError("the sandbox ended before it was ready")
            await asyncio.sleep(0.005)
        yield sandbox
    finally:
        server.should_exit = True
        await serving


def serve(config: SandboxConfig, *, host: str, port: int) -> None:
    """Serves until SIGTERM or Ctrl-C; raises OSError when the port is taken."""
    listener = socket.create_server((host, port))
    server, _ = _prepared(config, listener, _Server)
    server.run(sockets=[listener])


def _prepared(config: SandboxConfig, listener: socket.socket, kind: type[_Server]) -> tuple[_Server, Sandbox]:
    app = create_app(config)
    sandbox: Sandbox = app.state.sandbox
    sandbox.base_url = f"http://localhost:{listener.getsockname()[1]}"
    settings = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=_GRACE_SECONDS
    )
    return kind(settings, sandbox), sandbox
