"""A served sandbox, an app that it calls, and Slack's own client to call it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from enablebot.sandbox.app import Installed, Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.tests.sandbox.played_app import PlayedApp

ACME, GLOBEX = "T0SANDBOX1", "T0SANDBOX2"


@pytest.fixture
async def played_app() -> AsyncIterator[PlayedApp]:
    app = PlayedApp(SandboxConfig().signing_secret)
    await app.start()
    yield app
    await app.stop()


@pytest.fixture
def config(played_app: PlayedApp) -> SandboxConfig:
    """Retries after 0, 0.06 and 0.3 s; streams live as long as in Slack, the clock can be moved."""
    return SandboxConfig(
        events_url=f"{played_app.url}/slack/events",
        interactions_url=f"{played_app.url}/slack/interactions",
        redirect_url="http://localhost:8000/slack/oauth_redirect",
        time_scale=0.001,
        stream_seconds=300_000,
        model_delay_ms=0,
    )


@pytest.fixture
async def sandbox(config: SandboxConfig) -> AsyncIterator[Sandbox]:
    async with running(config) as sandbox:
        yield sandbox


@pytest.fixture
def acme(sandbox: Sandbox) -> Installed:
    return sandbox.install(ACME)


@pytest.fixture
def client_of(sandbox: Sandbox) -> Callable[[str], AsyncWebClient]:
    """Slack's client with a token; its own retries are off, as in the product."""

    def client(token: str) -> AsyncWebClient:
        return AsyncWebClient(token, base_url=f"{sandbox.base_url}/api/", retry_handlers=[], timeout=5)

    return client


@pytest.fixture
def slack(client_of: Callable[[str], AsyncWebClient], acme: Installed) -> AsyncWebClient:
    return client_of(acme.token)


class Page:
    """What a page does with the control API."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url, self.http = f"{url}/sandbox/api", http

    async def get(self, name: str, **query: str) -> dict[str, Any]:
        async with self.http.get(f"{self.url}/{name}", params=query) as response:
            body: dict[str, Any] = await response.json()
            return body | {"status": response.status}

    async def post(self, name: str, **given: Any) -> dict[str, Any]:
        async with self.http.post(f"{self.url}/{name}", json=given) as response:
            body: dict[str, Any] = await response.json()
            return body | {"http": response.status}


@pytest.fixture
async def page(sandbox: Sandbox) -> AsyncIterator[Page]:
    async with aiohttp.ClientSession() as http:
        yield Page(sandbox.base_url, http)
