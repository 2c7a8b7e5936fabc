"""Whose requests the sandbox's own pages and control API accept: this machine's, from its own origin."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def is_foreign_host(request: Request) -> bool:
    """Whether the Host header names another machine, as after a DNS rebinding."""
    return urlsplit("//" + request.headers.get("host", "")).hostname not in _LOOPBACK


def is_cross_origin(request: Request) -> bool:
    """Whether a browser says that another origin's page sent this."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")
