"""A Slack app for the sandbox to talk to: it checks signatures with Slack's own SDK and answers as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from slack_sdk.signature import SignatureVerifier

Say = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Heard:
    """One POST the app got."""

    path: str
    headers: dict[str, str]
    body: bytes
    signed: bool

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = self.json["event"]
        return event

    @property
    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(parse_qs(self.body.decode())["payload"][0])
        return payload

    @property
    def retry(self) -> tuple[str | None, str | None]:
        return self.headers.get("X-Slack-Retry-Num"), self.headers.get("X-Slack-Retry-Reason")


class PlayedApp:
    """Listens on a free port; `script` holds what it says next, then it says 200."""

    def __init__(self, signing_secret: str) -> None:
        self._verifier = SignatureVerifier(signing_secret)
        self.heard: list[Heard] = []
        self.script: list[Say] = []

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/{tail:.*}", self._hear)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The events heard, or those of one type; a subtype is written behind a slash."""
        return [
            heard.event
            for heard in self.heard
            if kind in (None, heard.event["type"], f"{heard.event['type']}/{heard.event.get('subtype', '')}")
        ]

    async def _hear(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        signed = self._verifier.is_valid_request(body, dict(request.headers))
        self.heard.append(Heard(request.path, dict(request.headers), body, signed))
        return await self.script.pop(0)(request) if self.script else web.Response()


def says(status: int, **headers: str) -> Say:
    async def say(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return say


def stays_silent() -> Say:
    async def say(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    return say


def drops_the_connection() -> Say:
    async def say(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return say
