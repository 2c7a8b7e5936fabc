"""What every answer over HTTP carries, whichever service gives it: headers that protect, errors in one shape."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from inspect import isawaitable
from ipaddress import ip_address
from typing import NamedTuple

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enablebot.shared.body_limit import BodyLimit
from enablebot.shared.errors import EnableBotError
from enablebot.shared.logging import RequestIdMiddleware, bound
from enablebot.shared.security_headers import SecurityHeaders as SecurityHeaders

log = logging.getLogger(__name__)

_WORDS: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "This request cannot be understood. Check it and send it again."),
    401: ("unauthorized", "This needs you to sign in, or a valid key."),
    403: ("forbidden", "You may not do this."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address exists, but not for this method."),
    408: ("too_slow", "The request took too long to arrive. Send it again."),
    413: ("too_large", "This is larger than we accept. Send less at once."),
    415: ("unsupported_media_type", "We do not accept this kind of content here."),
    422: ("invalid_request", "Some of what was sent is missing or has the wrong form."),
    429: ("too_many_requests", "That was too often. Wait a moment and try again."),
    500: ("internal_error", "Something went wrong on our side. Try again; if it stays, name the request id to us."),
    503: ("unavailable", "We cannot do this right now. Try again in a moment."),
}


class ErrorView(NamedTuple):
    """An error as a person or a program gets to see it."""

    status: int
    code: str
    message: str
    request_id: str


class Refused(EnableBotError):
    """An error whose answer says more in its headers."""

    headers: Mapping[str, str] = {}


# A service with pages draws its own error page; None lets the JSON body stand.
ErrorPage = Callable[[Request, ErrorView], "Response | Awaitable[Response | None] | None"]
# Some addresses tell of errors in a form of their own; None lets the usual one stand.
ErrorForm = Callable[[Request, ErrorView], Response | None]


def protect(
    app: FastAPI,
    *,
    public_url: str,
    has_pages: bool,
    error_page: ErrorPage | None = None,
    error_form: ErrorForm | None = None,
    form_targets: Iterable[str] = (),
    image_sources: Iterable[str] = (),
    largest_body: int = 1_048_576,
    larger_bodies: Mapping[str, int] | None = None,
) -> None:
    """Give an app its body limits (bytes), error handlers, security headers and request ids, in the order they need.

    FastAPI's own `max_body_size` answers outside of all middleware, in a form of its own.
    """
    app.add_middleware(BodyLimit, largest=largest_body, larger=larger_bodies)
    error_handlers(app, error_page=error_page, error_form=error_form)
    app.add_middleware(
        SecurityHeaders,
        public_url=public_url,
        has_pages=has_pages,
        form_targets=tuple(form_targets),
        image_sources=tuple(image_sources),
    )
    app.add_middleware(RequestIdMiddleware)


def error_handlers(app: FastAPI, *, error_page: ErrorPage | None = None, error_form: ErrorForm | None = None) -> None:
    """Turn every error of an app into `{"error": {"code", "message", "request_id"}}`, or the service's page or form.

    Unforeseen ones are caught by a middleware, which must lie inside SecurityHeaders: see `protect`.
    """

    async def tell(
        request: Request, *, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        view = ErrorView(status, code, message, bound().get("request_id", ""))
        return await _answer(request, view, headers or {}, error_page=error_page, error_form=error_form)

    async def on_ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, EnableBotError)
        if error.status >= 500:
            log.error("%s %s: %s", request.method, error.code, error.message, exc_info=error)
        # What went wrong inside is for the log; its message may name what is none of the caller's business.
        code, message = _WORDS[500] if error.status == 500 else (error.code, error.message)
        headers = {"Retry-After": "5"} if error.status == 503 else {}
        if isinstance(error, Refused):
            headers |= error.headers
        return await tell(request, status=error.status, code=code, message=message, headers=headers)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code, message = _WORDS.get(error.status_code, (f"http_{error.status_code}", _phrase(error.status_code)))
        if isinstance(error.detail, str) and error.detail not in {"", _phrase(error.status_code)}:
            message = error.detail
        if error.status_code in {204, 304}:
            return Response(status_code=error.status_code, headers=error.headers)
        return await tell(request, status=error.status_code, code=code, message=message, headers=error.headers)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        code, message = _WORDS[422]
        # The place and the rule, never the input.
        faults = [f"{'.'.join(map(str, fault['loc']))[:100]}: {fault['msg']}" for fault in error.errors()[:5]]
        return await tell(request, status=422, code=code, message=f"{message} {'; '.join(faults)}.")

    async def on_unforeseen(request: Request) -> Response:
        code, message = _WORDS[500]
        return await tell(request, status=500, code=code, message=message)

    app.add_exception_handler(EnableBotError, on_ours)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_middleware(_CatchUnforeseen, answer=on_unforeseen)


class _CatchUnforeseen:
    """Starlette answers these outside of all middleware, where they would get no headers from us."""

    def __init__(self, app: ASGIApp, *, answer: Callable[[Request], Awaitable[Response]]) -> None:
        self._app = app
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception:
            if has_started:
                raise
            log.exception("%s failed unexpectedly", scope["method"])
            response = await self._answer(Request(scope, receive))
            await response(scope, receive, send)


async def _answer(
    request: Request,
    view: ErrorView,
    headers: Mapping[str, str],
    *,
    error_page: ErrorPage | None,
    error_form: ErrorForm | None,
) -> Response:
    answer = None if error_form is None else error_form(request, view)
    if answer is None and error_page is not None and "text/html" in request.headers.get("accept", ""):
        try:
            drawn = error_page(request, view)
            answer = await drawn if isawaitable(drawn) else drawn
        except Exception:
            log.exception("The error page could not be drawn")
    if answer is None:
        answer = JSONResponse({"error": {"code": view.code, "message": view.message, "request_id": view.request_id}})
    answer.status_code = view.status
    for name, value in headers.items():
        # What the form says by itself, it knows better.
        answer.headers.setdefault(name, value)
    return answer


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "The request failed."


def caller_address(request: Request, *, trusted_proxy: bool) -> str:
    """Who calls: the peer, or, behind a proxy we trust, what its X-Real-IP says; empty when unknown.

    X-Forwarded-For is never read: its first entry is whatever the caller wrote. An IPv4 caller has one spelling,
    although a socket that listens to both families says `::ffff:203.0.113.7`.
    """
    peer = request.client.host if request.client else ""
    for said in (request.headers.get("x-real-ip", "").strip() if trusted_proxy else "", peer):
        try:
            address = ip_address(said)
        except ValueError:
            continue
        return str(getattr(address, "ipv4_mapped", None) or address)
    return peer
