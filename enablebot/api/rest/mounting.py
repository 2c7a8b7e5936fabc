"""/v1 put into the api's app, and its OpenAPI description."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.routing import Match

from enablebot import __version__
from enablebot.api.rest import documents, search
from enablebot.api.rest.problems import Problem, problem_form
from enablebot.api.rest.upload import MOST_FORM_BYTES
from enablebot.shared.http import ErrorForm

LARGER_BODIES = {documents.router.prefix: MOST_FORM_BYTES}

_DESCRIPTION = """\
Give a workspace documents, and find the right passage in them.

Every request carries a key: `Authorization: Bearer eb_…`. Errors are `application/problem+json` with a `code` for
programs and a `detail` for people. `RateLimit` says how much is left of the quota that `RateLimit-Policy` names;
beyond it the answer is 429 with `Retry-After`.
"""
_QUOTA_HEADERS = {
    "RateLimit": {
        "description": "What is left: `r` requests; all of them again in `t` s.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {"description": "The quota: `q` requests in `w` s.", "schema": {"type": "string"}},
}
# Answers that are given before, or whatever, the quota of a key is.
_WITHOUT_QUOTA = {"401", "403", "500", "503"}


def mount(web: FastAPI, *, public_url: str) -> ErrorForm:
    """Add the routes of /v1 and describe them; returns the form of their errors, for `protect`."""
    routers = (documents.router, search.router)
    for router in routers:
        web.include_router(router)
    web.openapi = lambda: _described(web, public_url)  # type: ignore[method-assign]
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]

    def methods_of(path: str) -> Iterable[str]:
        scope = {"type": "http", "method": "", "path": path}
        return {method for route in routes if route.matches(scope)[0] != Match.NONE for method in route.methods or ()}

    return problem_form(methods_of)


def _described(web: FastAPI, public_url: str) -> dict[str, Any]:
    if web.openapi_schema is None:
        described = get_openapi(
            title="EnableBot",
            version=__version__,
            description=_DESCRIPTION,
            routes=web.routes,
            servers=[{"url": public_url}],
        )
        described["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        for operations in described["paths"].values():
            for operation in operations.values():
                for status, response in operation["responses"].items():
                    if status not in _WITHOUT_QUOTA:
                        response["headers"] = {**_QUOTA_HEADERS, **response.get("headers", {})}
        web.openapi_schema = described
    return web.openapi_schema
