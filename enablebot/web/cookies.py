"""The two cookies of this service: who holds a session, and which browser began an installation."""

import re
import secrets
from dataclasses import dataclass
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response

from enablebot.shared.sensitive import Sensitive

# 32 bytes, base64url without padding: what new_secret makes, and the only thing a cookie or a state may hold.
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


def new_secret() -> Sensitive[str]:
    """256 random bits, as text for a cookie or an address."""
    return Sensitive(secrets.token_urlsafe(32))


def secret_from(text: str | None) -> Sensitive[str] | None:
    """What somebody sent us, if it can be one of ours."""
    return Sensitive(text) if text is not None and _SECRET.fullmatch(text) else None


def fingerprint(secret: Sensitive[str]) -> bytes:
    """What the database keeps of a secret: enough to recognise it, useless to whoever reads the table."""
    return sha256(secret.reveal().encode()).digest()


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie; over https its `__Host-` name keeps other hosts of the domain from planting it."""

    name: str
    lifetime_seconds: int
    is_secure: bool

    def read(self, request: Request) -> Sensitive[str] | None:
        return secret_from(request.cookies.get(self.name))

    def is_sent(self, request: Request) -> bool:
        return self.name in request.cookies

    def give(self, response: Response, secret: Sensitive[str]) -> None:
        self._set(response, secret.reveal(), self.lifetime_seconds)

    def clear(self, response: Response) -> None:
        self._set(response, "", 0)

    def _set(self, response: Response, value: str, max_age: int) -> None:
        # Lax and not Strict: Slack sends the browser back from its own site, and the cookie has to come along.
        response.set_cookie(
            self.name, value, max_age=max_age, path="/", secure=self.is_secure, httponly=True, samesite="lax"
        )


@dataclass(frozen=True, slots=True)
class Cookies:
    oauth: Cookie
    session: Cookie


def cookies_for(public_url: str, *, oauth_seconds: int, session_seconds: int) -> Cookies:
    """The cookies of a service at this address: plain names on http, which only development allows."""
    is_https = public_url.startswith("https://")
    prefix = "__Host-" if is_https else ""
    return Cookies(
        oauth=Cookie(f"{prefix}enablebot_oauth", oauth_seconds, is_https),
        session=Cookie(f"{prefix}enablebot_session", session_seconds, is_https),
    )
