"""A played OpenAI behind a real server on loopback, and the real client in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from openai import AsyncOpenAI, DefaultAsyncHttpx2Client
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from enablebot.sandbox.config import SandboxConfig
from enablebot.sandbox.faults import Faults
from enablebot.sandbox.openai.app import create_openai_app
from enablebot.sandbox.openai.desk import Desk
from enablebot.sandbox.severing import remember_transport


@dataclass(frozen=True, slots=True)
class Door:
    """Where the server listens, its orders for misfortune, what it was asked, and a client that never retries."""

    url: str
    faults: Faults
    desk: Desk
    client: AsyncOpenAI

    def client_with(self, key: str) -> AsyncOpenAI:
        """The same client with another key."""
        return self.client.with_options(api_key=key)


@asynccontextmanager
async def open_door() -> AsyncIterator[Door]:
    """Serves until left, on a free port."""
    faults = Faults()
    played = create_openai_app(SandboxConfig(model_delay_ms=0), faults)
    mounted = Starlette(routes=[Mount("/openai/v1", app=played)])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        remember_transport(scope, send)
        await mounted(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_level="critical"))
    config = server.config
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}/openai/v1"
    try:
        # Loading the world's certificates takes most of a test's time, and nothing here speaks TLS.
        wire = DefaultAsyncHttpx2Client(verify=False)
        async with AsyncOpenAI(
            api_key="sk-sandbox", base_url=url, max_retries=0, timeout=20, http_client=wire
        ) as client:
            yield Door(url=url, faults=faults, desk=played.state.desk, client=client)
    finally:
        await server.shutdown()


async def collect(stream: Any) -> list[Any]:
    """Every event of a raw stream."""
    return [event async for event in stream]
