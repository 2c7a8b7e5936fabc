"""Headers that keep a browser from doing with our answers what we did not mean."""

from collections.abc import Iterable
from secrets import token_urlsafe

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STATIC = "/static/"


class SecurityHeaders:
    """Protective headers on every answer of whatever status; a fresh CSP nonce in `request.state.csp_nonce`.

    `form_targets` and `image_sources` are origins beyond our own, for instance where a form's redirect leads.
    Without pages the policy allows nothing at all, and there is no nonce.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        public_url: str,
        has_pages: bool = True,
        form_targets: Iterable[str] = (),
        image_sources: Iterable[str] = (),
    ) -> None:
        self._app = app
        self._has_pages = has_pages
        self._policy = _policy(has_pages, tuple(form_targets), tuple(image_sources))
        self._headers: list[tuple[bytes, bytes]] = [
            (b"x-content-type-options", b"nosniff"),
            (b"x-frame-options", b"DENY"),
            # Not no-referrer: browsers would send our own forms with `Origin: null`.
            (b"referrer-policy", b"same-origin"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
        ]
        if public_url.startswith("https://"):
            self._headers.append((b"strict-transport-security", b"max-age=31536000; includeSubDomains"))
        self._ours = frozenset(name for name, _ in self._headers) | {b"content-security-policy"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        nonce = ""
        if self._has_pages:
            nonce = token_urlsafe(16)
            scope.setdefault("state", {})["csp_nonce"] = nonce

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                is_static = scope["path"].startswith(_STATIC) and message["status"] in {200, 206, 304}
                message["headers"] = self._protected(message.get("headers", ()), nonce=nonce, is_static=is_static)
            await send(message)

        await self._app(scope, receive, send_protected)

    def _protected(
        self, headers: Iterable[tuple[bytes, bytes]], *, nonce: str, is_static: bool
    ) -> list[tuple[bytes, bytes]]:
        kept = [(name, value) for name, value in headers if name.lower() not in self._ours]
        has_cache_rule = any(name.lower() == b"cache-control" for name, _ in kept)
        if not is_static:
            kept = [(name, value) for name, value in kept if name.lower() != b"cache-control"]
            kept.append((b"cache-control", b"no-store"))
        elif not has_cache_rule:
            # Kept, but asked for again each time: the ETag answers, and a new release is seen at once.
            kept.append((b"cache-control", b"no-cache"))
        policy = self._policy.replace("NONCE", nonce).encode("ascii")
        return [*kept, *self._headers, (b"content-security-policy", policy)]


def _policy(has_pages: bool, form_targets: tuple[str, ...], image_sources: tuple[str, ...]) -> str:
    nothing = ["default-src 'none'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"]
    if not has_pages:
        return "; ".join([*nothing, "form-action 'none'"])
    return "; ".join(
        [
            *nothing,
            "script-src 'self' 'nonce-NONCE'",
            "style-src 'self' 'nonce-NONCE'",
            " ".join(["img-src 'self' data:", *image_sources]),
            "font-src 'self'",
            "connect-src 'self'",
            "manifest-src 'self'",
            " ".join(["form-action 'self'", *form_targets]),
        ]
    )
