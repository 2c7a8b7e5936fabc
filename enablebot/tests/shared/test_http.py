import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient

from enablebot.shared.errors import DatabaseUnavailable, NotFound, SealBroken, WallBreached
from enablebot.shared.http import ErrorView, Refused, caller_address, protect

CANARY = "CANARY what somebody wrote"


class Body(BaseModel):
    question: str
    limit: int


async def draw(request: Request, view: ErrorView) -> Response | None:
    if request.url.path == "/undrawable":
        raise RuntimeError("no such template")
    if request.url.path.startswith("/api"):
        return None
    nonce = request.state.csp_nonce
    return HTMLResponse(f"<script nonce={nonce}></script><h1>{view.status} {view.code} {view.request_id}</h1>")


@pytest.fixture
def app(tmp_path: Any) -> FastAPI:
    (tmp_path / "style.css").write_text("body{}")
    app = FastAPI()

    @app.get("/fine")
    async def fine(request: Request) -> dict[str, str]:
        return {"nonce": getattr(request.state, "csp_nonce", "")}

    @app.get("/own-headers")
    async def own_headers() -> Response:
        loose = {"Content-Security-Policy": "default-src *", "X-Frame-Options": "ALLOWALL", "Cache-Control": "public"}
        return PlainTextResponse("x", headers={**loose, "Vary": "Cookie"})

    @app.get("/elsewhere")
    async def elsewhere() -> RedirectResponse:
        return RedirectResponse("/fine", status_code=302)

    @app.post("/body")
    async def body(body: Body) -> Body:
        return body

    @app.get("/boom")
    @app.get("/api/boom")
    @app.get("/undrawable")
    async def boom() -> None:
        raise ValueError(CANARY)

    @app.get("/group")
    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(boom())

    @app.get("/late")
    async def late() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"a"
            raise ValueError(CANARY)

        return StreamingResponse(pieces())

    @app.get("/ours/{kind}")
    async def ours(kind: str) -> None:
        raise {
            "missing": NotFound("There is no such document. Look at the list of documents."),
            "database": DatabaseUnavailable("The database does not answer. Try again in a moment."),
            "seal": SealBroken(),
            "wall": WallBreached(f"permission denied for {CANARY}"),
        }[kind]

    @app.get("/http/{status}")
    async def http(status: int) -> None:
        raise HTTPException(status, headers={"WWW-Authenticate": "Bearer"} if status == 401 else None)

    @app.get("/worded")
    async def worded() -> None:
        raise HTTPException(403, "Only admins may upload. Ask one of yours.")

    app.mount("/static", StaticFiles(directory=tmp_path))
    return app


def client(app: FastAPI, **protection: Any) -> TestClient:
    protect(app, **{"public_url": "https://enablebot.example", "has_pages": True, "largest_body": 1000, **protection})
    return TestClient(app)


REQUESTS = [
    ("GET", "/fine", 200),
    ("HEAD", "/nowhere", 404),
    ("GET", "/own-headers", 200),
    ("GET", "/elsewhere", 302),
    ("GET", "/nowhere", 404),
    ("GET", "/%00%ff%2e%2e", 404),
    ("DELETE", "/fine", 405),
    ("POST", "/body", 422),
    ("GET", "/boom", 500),
    ("GET", "/group", 500),
    ("GET", "/ours/missing", 404),
    ("GET", "/ours/database", 503),
    ("GET", "/ours/seal", 500),
    ("GET", "/http/401", 401),
    ("GET", "/http/429", 429),
    ("GET", "/http/418", 418),
    ("GET", "/static/nothing.css", 404),
]


# What every answer carries (SD-3)


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
@pytest.mark.parametrize(("method", "path", "status"), REQUESTS)
def test_every_answer_of_every_status_is_protected(
    app: FastAPI, method: str, path: str, status: int, accept: str
) -> None:
    answer = client(app, error_page=draw).request(method, path, headers={"Accept": accept}, follow_redirects=False)
    assert answer.status_code == status
    headers = answer.headers
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert headers["x-frame-options"] == "DENY"
    assert len(headers["x-request-id"]) == 16
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    for directive in ("default-src", "object-src", "base-uri", "frame-ancestors"):
        assert policy[directive] == "'none'"
    assert policy["form-action"] == "'self'"
    assert policy["script-src"].startswith("'self' 'nonce-")
    assert "unsafe" not in headers["content-security-policy"]
    assert len(headers.get_list("content-security-policy")) == len(headers.get_list("cache-control")) == 1


def test_the_nonce_is_the_page_s_own_and_never_the_same(app: FastAPI) -> None:
    http = client(app)
    seen = set()
    for _ in range(50):
        answer = http.get("/fine")
        nonce = answer.json()["nonce"]
        assert len(nonce) >= 22
        assert f"'nonce-{nonce}'" in answer.headers["content-security-policy"]
        seen.add(nonce)
    assert len(seen) == 50


def test_an_error_page_may_use_the_nonce(app: FastAPI) -> None:
    answer = client(app, error_page=draw).get("/boom", headers={"Accept": "text/html"})
    nonce = answer.text.partition("nonce=")[2].partition(">")[0]
    assert f"'nonce-{nonce}'" in answer.headers["content-security-policy"]


def test_without_https_there_is_no_hsts(app: FastAPI) -> None:
    answer = client(app, public_url="http://localhost:8000").get("/fine")
    assert "strict-transport-security" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_service_without_pages_allows_nothing(app: FastAPI) -> None:
    answer = client(app, has_pages=False).get("/fine")
    assert answer.json() == {"nonce": ""}
    policy = answer.headers["content-security-policy"]
    assert "-src 'self'" not in policy
    assert "nonce" not in policy
    assert "form-action 'none'" in policy


def test_static_files_may_be_kept_but_are_asked_for_again(app: FastAPI) -> None:
    http = client(app)
    first = http.get("/static/style.css")
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["x-content-type-options"] == "nosniff"
    again = http.get("/static/style.css", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["cache-control"] == "no-cache"


def test_other_origins_are_named_where_they_are_needed(app: FastAPI) -> None:
    answer = client(app, form_targets=["https://slack.com"], image_sources=["https://avatars.slack-edge.com"]).get(
        "/fine"
    )
    policy = answer.headers["content-security-policy"]
    assert "form-action 'self' https://slack.com" in policy
    assert "img-src 'self' data: https://avatars.slack-edge.com" in policy


def test_an_app_s_other_headers_stay(app: FastAPI) -> None:
    http = client(app)
    assert http.get("/own-headers").headers["vary"] == "Cookie"
    assert http.delete("/fine").headers["allow"] == "GET"
    assert http.get("/http/401").headers["www-authenticate"] == "Bearer"


# Errors in one shape


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/fine", 405, "method_not_allowed"),
        ("POST", "/body", 422, "invalid_request"),
        ("GET", "/boom", 500, "internal_error"),
        ("GET", "/ours/missing", 404, "not_found"),
        ("GET", "/ours/database", 503, "database_unavailable"),
        ("GET", "/ours/seal", 500, "internal_error"),
        ("GET", "/ours/wall", 500, "internal_error"),
        ("GET", "/http/401", 401, "unauthorized"),
        ("GET", "/http/418", 418, "http_418"),
        ("GET", "/worded", 403, "forbidden"),
    ],
)
def test_every_error_has_one_shape(app: FastAPI, method: str, path: str, status: int, code: str) -> None:
    answer = client(app).request(method, path, headers={"X-Request-Id": "edge-12345678"})
    assert answer.status_code == status
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "request_id"}
    assert body["error"]["code"] == code
    assert body["error"]["request_id"] == answer.headers["x-request-id"] == "edge-12345678"
    assert body["error"]["message"].endswith(".") or status in {418, 422}
    assert CANARY not in answer.text


def test_a_message_of_ours_reaches_the_reader(app: FastAPI) -> None:
    http = client(app)
    assert "Look at the list of documents." in http.get("/ours/missing").json()["error"]["message"]
    assert "Only admins may upload." in http.get("/worded").json()["error"]["message"]
    assert http.get("/ours/database").headers["retry-after"] == "5"


def test_an_invalid_body_is_named_by_place_and_not_repeated(app: FastAPI) -> None:
    answer = client(app).post("/body", json={"question": 7, "limit": CANARY})
    message = answer.json()["error"]["message"]
    assert "body.question" in message
    assert "body.limit" in message
    assert CANARY not in answer.text


@pytest.mark.parametrize("sent", [b"{", b"\xff\xfe", b"[" * 100_000, b'{"question": "\\ud800"}', b"null", b""])
def test_a_hostile_body_is_an_answer_and_not_an_accident(app: FastAPI, sent: bytes) -> None:
    answer = client(app).post("/body", content=sent, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 413, 422}
    assert set(answer.json()["error"]) == {"code", "message", "request_id"}


@pytest.mark.parametrize("path", ["/body", "/raw", "/static/style.css"])
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large_says_so(app: FastAPI, path: str, announced: bool) -> None:
    @app.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    pieces = [b'{"question": "', b"x" * 600, b"x" * 600, b'"}']
    sent = b"".join(pieces) if announced else iter(pieces)
    answer = client(app).post(path, content=sent, headers={"Content-Type": "application/json"})
    assert "cache-control" in answer.headers
    if path.startswith("/static"):
        assert answer.status_code == 405, "nobody read the body"
        return
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1e9", "x", "1001"])
def test_a_false_content_length_is_no_accident(app: FastAPI, length: str) -> None:
    answer = client(app).post("/body", content=b"{}", headers={"Content-Length": length})
    assert answer.status_code in {413, 422}


def test_an_address_may_be_sent_more_than_the_others(app: FastAPI) -> None:
    @app.post("/other")
    async def other(body: Body) -> Body:
        return body

    opened = client(app, larger_bodies={"/body": 2000})
    for path, length, status in (
        ("/body", 2001, 413),
        ("/body", 2000, 422),
        ("/other", 1001, 413),
        ("/other", 1000, 422),
    ):
        for content in (b" " * length, iter([b" " * length])):
            sent = opened.post(path, content=content, headers={"Content-Type": "application/json"})
            assert sent.status_code == status, (path, length)


def test_some_addresses_tell_of_errors_in_their_own_form_with_the_error_s_headers(app: FastAPI) -> None:
    class Slowly(Refused):
        """Come back later."""

        code, status = "slowly", 429
        headers = {"Retry-After": "7"}  # noqa: RUF012 - never changed

    @app.get("/api/slowly")
    @app.get("/slowly")
    async def slowly() -> None:
        raise Slowly("Come back in 7 s.")

    def form(request: Request, view: ErrorView) -> Response | None:
        if not request.url.path.startswith("/api"):
            return None
        return PlainTextResponse(f"{view.status} {view.code}", headers={"Allow": "everything"})

    asked = client(app, error_page=draw, error_form=form)
    for accept in ("text/html", "application/json"):
        told = asked.get("/api/slowly", headers={"Accept": accept})
        assert (told.status_code, told.text, told.headers["retry-after"]) == (429, "429 slowly", "7")
    elsewhere = asked.get("/slowly")
    assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (429, "slowly")
    assert elsewhere.headers["retry-after"] == "7"
    known = asked.post("/api/slowly")
    assert (known.status_code, known.headers["allow"]) == (405, "everything")
    assert asked.get("/api/boom").text == "500 internal_error"


def test_what_went_wrong_inside_is_logged_with_its_trace(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        client(app).get("/boom")
        TestClient(app).get("/ours/wall")
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert all(record.exc_info for record in caplog.records)


def test_people_get_a_page_and_programs_get_json(app: FastAPI) -> None:
    http = client(app, error_page=draw)
    page = http.get("/nowhere", headers={"Accept": "text/html,*/*"})
    assert page.status_code == 404
    assert f"404 not_found {page.headers['x-request-id']}" in page.text
    assert http.get("/nowhere").headers["content-type"] == "application/json"
    assert http.get("/api/boom", headers={"Accept": "text/html"}).headers["content-type"] == "application/json"


def test_a_page_that_cannot_be_drawn_becomes_json(app: FastAPI) -> None:
    answer = client(app, error_page=draw).get("/undrawable", headers={"Accept": "text/html"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"


def test_an_answer_that_breaks_halfway_is_not_passed_off_as_whole(app: FastAPI) -> None:
    with pytest.raises(ValueError, match=CANARY):
        client(app).get("/late")


# Who calls


@pytest.mark.parametrize(
    ("headers", "trusted", "expected"),
    [
        ({"x-real-ip": "203.0.113.7"}, True, "203.0.113.7"),
        ({"x-real-ip": "2001:db8::7"}, True, "2001:db8::7"),
        ({"x-real-ip": "::ffff:203.0.113.7"}, True, "203.0.113.7"),
        ({"x-real-ip": "203.0.113.7"}, False, "testclient"),
        ({"x-real-ip": "<script>"}, True, "testclient"),
        ({"x-forwarded-for": "203.0.113.7"}, True, "testclient"),
        ({}, True, "testclient"),
    ],
)
def test_the_caller_is_the_peer_unless_a_trusted_proxy_says(
    headers: dict[str, str], trusted: bool, expected: str
) -> None:
    app = FastAPI()

    @app.get("/")
    async def who(request: Request) -> str:
        return caller_address(request, trusted_proxy=trusted)

    assert TestClient(app).get("/", headers=headers).json() == expected


@pytest.mark.parametrize(
    ("peer", "expected"),
    [("::ffff:203.0.113.7", "203.0.113.7"), ("203.0.113.7", "203.0.113.7"), ("2001:db8::7", "2001:db8::7")],
)
def test_an_ipv4_caller_has_one_spelling_on_a_socket_of_both_families(peer: str, expected: str) -> None:
    request = Request({"type": "http", "headers": [], "client": (peer, 5)})
    assert caller_address(request, trusted_proxy=False) == expected
    assert caller_address(request, trusted_proxy=True) == expected


def test_a_caller_without_an_address_is_nobody() -> None:
    assert caller_address(Request({"type": "http", "headers": []}), trusted_proxy=True) == ""
