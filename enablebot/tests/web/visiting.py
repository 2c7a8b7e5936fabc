"""People in front of the web service: a browser without a window, and what it does on Slack's consent page."""

import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx2
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from enablebot.config.settings import Settings, SlackSettings, load_settings
from enablebot.sandbox.app import Sandbox

ACME, GLOBEX = "T0SANDBOX1", "T0SANDBOX2"
ADA, BEN, GUS, EVA = "U0ADA", "U0BEN", "U0GUEST", "U1EVA"
HTTPS_URL = "https://bot.example.com"
HTTP_URL = "http://localhost:8000"
EXCHANGE = "oauth.v2.access"
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
KEYS = "k20261122:3q2+796tvu/erb7v3q2+796tvu/erb7v3q2+796tvu8="


def settings_for(sandbox_url: str, *, public_url: str = HTTPS_URL, client_secret: str | None = None) -> Settings:
    """Settings of a web service whose Slack is the sandbox; the database is handed in beside them."""
    settings = load_settings(
        environ={
            "ENVIRONMENT": "test",
            "ENCRYPTION_KEYS": KEYS,
            "SESSION_SECRET": "an-honest-secret-of-forty-characters-0123",
            "WEB_PUBLIC_URL": public_url,
            "SLACK_BASE_URL": sandbox_url,
        },
        env_file=None,
        service="web",
    )
    slack = SlackSettings(
        client_id="sandbox-client-id",
        client_secret=SecretStr(client_secret or "sandbox-client-secret"),
        base_url=sandbox_url,
    )
    return settings.model_copy(update={"slack": slack})


class Visitor:
    """One browser: keeps cookies, follows no redirect by itself, says where its requests come from."""

    def __init__(self, app: ASGIApp, sandbox: Sandbox, public_url: str) -> None:
        self._sandbox = sandbox
        self.public_url = public_url
        self.http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app), base_url=public_url, follow_redirects=False, headers=PAGE
        )

    async def get(self, address: str, **options: object) -> httpx2.Response:
        return await self.http.get(address, **options)  # type: ignore[arg-type]

    async def begin(self) -> str:
        """Press Add to Slack; return the address of the consent page."""
        response = await self.get("/slack/install")
        assert response.status_code == 303, response.text
        return response.headers["location"]

    def consent(
        self, address: str, *, team: str = ACME, user: str = ADA, allow: bool = True, scopes: str | None = None
    ) -> str:
        """Answer the consent page, of fewer scopes if named; return where Slack sends the browser."""
        query = dict(parse_qsl(urlsplit(address).query)) | ({"scope": scopes} if scopes else {})
        asked = self._sandbox.granting.ask(query)
        return self._sandbox.granting.decide(asked.id, team=team, user=user, allow=allow)

    async def install(self, *, team: str = ACME, user: str = ADA, scopes: str | None = None) -> httpx2.Response:
        """The whole way from the button to the dashboard's address."""
        return await self.get(self.consent(await self.begin(), team=team, user=user, scopes=scopes))

    async def sign_out(self, **headers: str) -> httpx2.Response:
        """Press Sign out on the dashboard."""
        token = form_token((await self.get("/dashboard")).text)
        sent = {"Sec-Fetch-Site": "same-origin", "Origin": self.public_url} | headers
        return await self.http.post("/logout", data={"csrf_token": token}, headers=sent)

    def cookie(self, name: str) -> str | None:
        """What the browser holds under a cookie's plain name."""
        values = [cookie.value for cookie in self.http.cookies.jar if cookie.name.removeprefix("__Host-") == name]
        return values[0] if values else None


def exchanges(sandbox: Sandbox) -> int:
    """How often a code was traded for a token, or tried to be."""
    return len(sandbox.ledger.calls_of(EXCHANGE))


def callback(**query: str) -> str:
    """The address Slack sends a browser back to."""
    return f"/slack/oauth_redirect?{urlencode(query)}"


def state_in(address: str) -> str:
    return parse_qs(urlsplit(address).query)["state"][0]


def form_token(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]*)"', page)
    assert found, "the page has no form"
    return html.unescape(found[1])


def cookie_lines(response: httpx2.Response) -> list[str]:
    return response.headers.get_list("set-cookie")


@asynccontextmanager
async def opened(app: FastAPI) -> AsyncIterator[ASGIApp]:
    """The app within its lifespan, which ASGITransport would leave out."""
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = dict(state or {})
            await app(scope, receive, send)

        yield with_state
