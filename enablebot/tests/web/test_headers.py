"""The protective headers, on every address and every kind of answer."""

import re
from collections.abc import Iterator

import httpx2
import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute

from enablebot.sandbox.app import Sandbox
from enablebot.shared.database.operations import Database
from enablebot.tests.web.conftest import NewVisitor
from enablebot.tests.web.visiting import HTTP_URL, HTTPS_URL, Visitor, opened, settings_for
from enablebot.web.main import create_app

pytestmark = pytest.mark.anyio


def assert_protected(response: httpx2.Response, *, is_https: bool = True) -> None:
    headers = response.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] in {"same-origin", "no-referrer", "strict-origin"}
    policy = dict(directive.split(" ", 1) for directive in headers["content-security-policy"].split("; "))
    assert {policy[name] for name in ("default-src", "object-src", "base-uri", "frame-ancestors")} == {"'none'"}
    assert not any(unsafe in headers["content-security-policy"] for unsafe in ("unsafe", "*", "http:", "https:"))
    hsts = re.fullmatch(r"max-age=(\d+); includeSubDomains", headers.get("strict-transport-security", ""))
    assert (hsts is not None and int(hsts[1]) >= 31_536_000) == is_https
    is_file = response.request.url.path.startswith("/static/") and response.status_code in {200, 304}
    assert headers["cache-control"].startswith("public") if is_file else headers["cache-control"] == "no-store"
    assert len(headers.get_list("content-security-policy")) == len(headers.get_list("cache-control")) == 1
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,64}", headers["x-request-id"])


ANSWERS = [
    ("GET", "/", 200),
    ("GET", "/dashboard", 200),
    ("GET", "/dashboard/knowledge", 200),
    ("GET", "/dashboard/knowledge/search?query=notice", 200),
    ("GET", "/dashboard/knowledge/7", 404),
    ("GET", "/dashboard/knowledge/7/original", 404),
    ("GET", "/dashboard/knowledge/7/delete", 405),
    ("POST", "/dashboard/knowledge", 403),
    ("GET", "/dashboard/knowledge?after=%00", 400),
    ("GET", "/dashboard/knowledge?q=" + "a" * 300, 422),
    ("GET", "/health", 200),
    ("GET", "/ready", 200),
    ("GET", "/metrics", 200),
    ("GET", "/static/enablebot.css", 200),
    ("HEAD", "/", 200),
    ("HEAD", "/slack/install", 204),
    ("GET", "/slack/install", 303),
    ("GET", "/slack/oauth_redirect", 400),
    ("GET", "/slack/oauth_redirect?error=access_denied", 403),
    ("POST", "/logout", 403),
    ("GET", "/nothing", 404),
    ("GET", "/static/nothing.css", 404),
    ("GET", "/%2e%2e/%00", 404),
    ("GET", "/docs", 404),
    ("GET", "/openapi.json", 404),
    ("GET", "/redoc", 404),
    ("GET", "/logout", 405),
    ("OPTIONS", "/dashboard", 405),
    ("TRACE", "/", 405),
    ("POST", "/static/enablebot.css", 405),
    ("GET", "/slack/oauth_redirect?state=" + "a" * 2000, 422),
]


@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
async def test_every_answer_carries_the_headers(visitor: Visitor, accept: str) -> None:
    await visitor.install()
    for method, address, status in ANSWERS:
        response = await visitor.http.request(method, address, headers={"Accept": accept})
        assert response.status_code == status, (method, address)
        assert_protected(response)


async def test_failures_inside_carry_the_headers(broken: Visitor, crashing: Visitor) -> None:
    for visitor, status in ((broken, 503), (crashing, 500)):
        for accept in ("text/html", "application/json"):
            response = await visitor.get("/slack/install", headers={"Accept": accept})
            assert response.status_code == status
            assert_protected(response)


async def test_the_nonce_of_each_answer_is_new(visitor: Visitor) -> None:
    policies = {(await visitor.get("/")).headers["content-security-policy"] for _ in range(5)}
    assert len(policies) == 5


async def test_over_plain_http_nothing_promises_https(web_database: Database, sandbox: Sandbox) -> None:
    app = create_app(settings_for(sandbox.base_url, public_url=HTTP_URL), database=web_database)
    async with opened(app) as served:
        assert_protected(await Visitor(served, sandbox, HTTP_URL).get("/"), is_https=False)


OPEN_TO_EVERYBODY = {
    "/",
    "/health",
    "/ready",
    "/metrics",
    "/slack/install",
    "/slack/oauth_redirect",
    "/static/{name:path}",
}

CLOSED = {
    "/dashboard",
    "/dashboard/knowledge",
    "/dashboard/knowledge/search",
    "/dashboard/knowledge/{id_}",
    "/dashboard/knowledge/{id_}/original",
    "/dashboard/knowledge/{id_}/delete",
    "/dashboard/knowledge/{id_}/restore",
    "/dashboard/knowledge/{id_}/reindex",
    "/dashboard/knowledge/{id_}/channels",
    "/logout",
}


def routes_of(router: object) -> Iterator[BaseRoute]:
    for route in getattr(router, "routes", ()):
        if getattr(route, "path", None) is not None and getattr(route, "methods", None):
            yield route
        inner = getattr(route, "router", None) or getattr(route, "original_router", None)
        if inner is not None:
            yield from routes_of(inner)


async def test_every_other_address_asks_who_you_are(
    new_visitor: NewVisitor, web_database: Database, sandbox: Sandbox
) -> None:
    app: FastAPI = create_app(settings_for(sandbox.base_url), database=web_database)
    found = {(route.path, method) for route in routes_of(app) for method in route.methods}  # type: ignore[attr-defined]
    assert {path for path, _ in found} == OPEN_TO_EVERYBODY | CLOSED
    stranger = new_visitor()
    own = {"Sec-Fetch-Site": "same-origin", "Origin": HTTPS_URL}
    for path, method in found:
        if path not in OPEN_TO_EVERYBODY:
            response = await stranger.http.request(method, path, headers=own)
            assert response.status_code == 401, (method, path)


async def test_the_figures_are_closed_in_production_without_a_token(web_database: Database, sandbox: Sandbox) -> None:
    settings = settings_for(sandbox.base_url).model_copy(update={"environment": "production"})
    async with opened(create_app(settings, database=web_database)) as served:
        visitor = Visitor(served, sandbox, HTTPS_URL)
        response = await visitor.get("/metrics")
        assert response.status_code == 404
        assert_protected(response)
