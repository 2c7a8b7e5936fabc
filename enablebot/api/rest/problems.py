"""Errors of /v1 as RFC 9457 has them, and what the OpenAPI description says of them."""

import json
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Literal

from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from enablebot.shared.http import ErrorForm, ErrorView, Refused

PREFIX = "/v1"
MEDIA_TYPE = "application/problem+json"
_LONGEST_INSTANCE = 200

_WHY: Mapping[int, str] = {
    400: "The request cannot be read.",
    401: "There is no key, or none that counts.",
    403: "The key may not do this.",
    404: "There is no such thing in this workspace.",
    405: "The address does not know this method; `Allow` lists those it knows.",
    408: "The request took too long to arrive.",
    409: "What is there stands against it.",
    413: "It is larger than we accept.",
    415: "It is of a kind that we do not accept.",
    422: "Part of what was sent is missing or wrong.",
    429: "Too many requests; `Retry-After` says when to go on.",
    500: "A fault of ours, which names its `request_id`.",
    503: "Not now; `Retry-After` says when.",
}


class Problem(BaseModel):
    """What went wrong, why, and what the sender can do; RFC 9457."""

    model_config = ConfigDict(frozen=True)

    type: Literal["about:blank"] = Field("about:blank", description="The kind of the problem is in `code`.")
    title: str = Field(description="The HTTP status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="For a person: what happened, why, what to do.")
    code: str = Field(description="For a program: one word that stays the same.")
    instance: str = Field(description="The address that was asked.")
    request_id: str | None = Field(None, description="Only where the fault is ours: name it when you report one.")


class TooManyRequests(Refused):
    """More than a key or an address may ask in a minute."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.headers = {"Retry-After": str(retry_after)}


class NotNow(Refused):
    """The service is starting or leaving."""

    code = "unavailable"
    status = 503
    headers: Mapping[str, str] = {"Retry-After": "2"}


def problem_form(methods_of: Callable[[str], Iterable[str]]) -> ErrorForm:
    """Return what gives errors of /v1 their form; `methods_of` says which methods an address knows."""

    def problem(request: Request, view: ErrorView) -> Response | None:
        path = request.url.path
        if path != PREFIX and not path.startswith(f"{PREFIX}/"):
            return None
        body: dict[str, Any] = Problem(
            title=_phrase(view.status),
            status=view.status,
            detail=view.message,
            code=view.code,
            # The same for a foreign id and a missing one; the request's own id is in the headers.
            instance=path[:_LONGEST_INSTANCE],
            request_id=view.request_id if view.status >= 500 else None,
        ).model_dump(exclude_none=True)
        # A path from outside may hold what has no UTF-8.
        written = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        response = Response(written, media_type=MEDIA_TYPE, status_code=view.status)
        if view.status == 405:
            response.headers["Allow"] = ", ".join(sorted(methods_of(path)))
        return response

    return problem


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of an operation for OpenAPI; those that any request may meet are always among them."""
    described: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 401, 403, 422, 429, 500, 503}):
        described[status] = {
            "description": _WHY[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if status in {429, 503}:
            described[status]["headers"] = {
                "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
            }
    return described


def operation_id(route: APIRoute) -> str:
    """Name an operation as its function is named: clients are generated from it."""
    return route.name


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
