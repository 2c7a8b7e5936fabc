"""The sandbox as an ASGI application: Slack under `/`, OpenAI under `/openai/v1`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send

from enablebot.sandbox.config import SandboxConfig
from enablebot.sandbox.control import control_routes
from enablebot.sandbox.downloads import download_routes
from enablebot.sandbox.oauth import consent_routes
from enablebot.sandbox.openai.app import create_openai_app
from enablebot.sandbox.pages.routes import page_routes
from enablebot.sandbox.responding import response_url_route
from enablebot.sandbox.sandbox import Installed, Sandbox
from enablebot.sandbox.severing import remember_transport
from enablebot.sandbox.sockets import socket_route
from enablebot.sandbox.webapi.gate import web_api_route

__all__ = ["Installed", "Sandbox", "SandboxConfig", "create_app"]


class SandboxApp(Starlette):
    """Starlette that notes each request's connection, so that a fault can sever it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        remember_transport(scope, send)
        await super().__call__(scope, receive, send)


def create_app(config: SandboxConfig) -> Starlette:
    """The played services `config` asks for; `app.state.sandbox` is the Sandbox behind them."""
    sandbox = Sandbox(config)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        sandbox.streams.watch()
        try:
            yield
        finally:
            await sandbox.close()

    async def health(_: Request) -> Response:
        return JSONResponse({"ok": True, "slack": config.with_slack, "openai": config.with_openai})

    routes: list[BaseRoute] = [Route("/sandbox/health", health), control_routes(sandbox)]
    if config.with_openai:
        routes.append(Mount("/openai/v1", app=create_openai_app(config, sandbox.faults, desk=sandbox.desk)))
    if config.with_slack:
        routes += [*consent_routes(sandbox), web_api_route(sandbox), response_url_route(sandbox)]
        routes += download_routes(sandbox)
        routes += [socket_route(lambda: sandbox.sockets), *page_routes(sandbox)]
    app = SandboxApp(routes=routes, lifespan=lifespan)
    app.state.sandbox = sandbox
    return app
