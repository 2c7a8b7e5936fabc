"""The whole api for tests: within its lifespan, and behind a port of this machine."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from pydantic import SecretStr
from starlette.types import ASGIApp

from enablebot.api.main import Api
from enablebot.config.settings import (
    EncryptionSettings,
    ModelSettings,
    Settings,
    SlackSettings,
    WorkerSettings,
)
from enablebot.sandbox.app import Sandbox
from enablebot.shared.database.transport import Argument, Json, Transport
from enablebot.shared.errors import DatabaseUnavailable
from enablebot.tests.api.conftest import MASTER_KEY
from enablebot.tests.api.slack_side import SIGNING_SECRET


def settings_for(sandbox: Sandbox, *, secrets: tuple[str, ...] = (SIGNING_SECRET,), **changed: object) -> Settings:
    """Settings of a service whose Slack and model are the sandbox's."""
    return Settings(
        environment="test",
        encryption=EncryptionSettings(keys=SecretStr(MASTER_KEY)),
        slack=SlackSettings(signing_secrets=tuple(SecretStr(secret) for secret in secrets), base_url=sandbox.base_url),
        model=ModelSettings(api_key=SecretStr("sk-test"), base_url=sandbox.openai_url),
        worker=WorkerSettings(time_scale=0.02, drain_seconds=4),
    ).model_copy(update=changed)


@asynccontextmanager
async def opened(api: Api) -> AsyncIterator[Api]:
    """The app within its lifespan, with no port."""
    async with api.web.router.lifespan_context(api.web):
        yield api


# What Slack's door calls, in contrast to the worker behind it.
_OF_REQUESTS = frozenset({"find_route", "register_tenant", "accept_events", "note_own_messages"})


class _Guest(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave this process's signals alone."""
        yield


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """The app, its lifespan included, behind a free port; yields its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = _Guest(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if serving.done():
                await serving
                raise RuntimeError("the app ended before it was ready")
            await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


class Observed:
    """A transport that tells which functions were called, and fails or hangs on request."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.called: list[str] = []
        self.failure: Exception | None = None
        self.fails_in: dict[str, Exception] = {}
        self.hangs = False

    async def call(self, function: str, arguments: Mapping[str, Argument]) -> Json:
        self.called.append(function)
        if self.failure is not None:
            raise self.failure
        if function in self.fails_in:
            raise self.fails_in[function]
        if self.hangs:
            while self.hangs:
                await asyncio.sleep(0.005)
            # What came afterwards need not wait for the callers' deadlines.
            raise DatabaseUnavailable("The database hung for a while.")
        return await self._transport.call(function, arguments)

    async def ping(self) -> None:
        if self.failure is not None:
            raise self.failure
        await self._transport.ping()

    async def aclose(self) -> None:
        await self._transport.aclose()

    @property
    def touched(self) -> list[str]:
        """What was called on behalf of a request; the worker's calls are its own business."""
        return [function for function in self.called if function in _OF_REQUESTS]
