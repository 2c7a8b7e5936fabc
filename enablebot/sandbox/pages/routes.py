"""The chat page: `/` and the files under `/static` it is made of."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from enablebot.sandbox.borders import is_foreign_host

_FILES = Path(__file__).parent / "static"
_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


class _Urls(Protocol):
    @property
    def redirect_url(self) -> str: ...


class Shown(Protocol):
    """What the page needs of the sandbox: where the app sends people after an install."""

    @property
    def urls(self) -> _Urls: ...


def page_routes(sandbox: Shown) -> list[BaseRoute]:
    """The chat page of a sandbox; everything it loads comes from this origin."""

    async def chat(request: Request) -> Response:
        if is_foreign_host(request):
            return PlainTextResponse("The sandbox answers on this machine only.", status_code=403)
        page = (_FILES / "index.html").read_text(encoding="utf-8")
        shown = page.replace("%LANDING%", escape(landing_page(sandbox.urls.redirect_url)))
        return HTMLResponse(shown, headers={**_HEADERS, "cache-control": "no-store"})

    return [Route("/", chat, methods=["GET"]), Mount("/static", app=_Guarded(StaticFiles(directory=_FILES)))]


def landing_page(redirect_url: str) -> str:
    """The web service's front page: the origin its OAuth redirect lives on."""
    address = urlsplit(redirect_url)
    return f"{address.scheme}://{address.netloc}/"


class _Guarded:
    """Adds the page's headers to its files, and makes browsers ask whether a file is still the same."""

    def __init__(self, files: StaticFiles) -> None:
        self._files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = {**_HEADERS, "cache-control": "no-cache"}
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in more.items()),
                ]
            await send(message)

        await self._files(scope, receive, send_guarded)
