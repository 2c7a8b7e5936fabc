"""OAuth without its pages: who asked for which scopes, which code stands for it, and what a code buys."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from enablebot.sandbox.clock import Clock
from enablebot.sandbox.config import SandboxConfig
from enablebot.sandbox.delivery import AppUrls
from enablebot.sandbox.manifest import APP_ID, SCOPES
from enablebot.sandbox.refusal import Refused
from enablebot.sandbox.world import Install, World

_CODE_SECONDS = 600.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Request:
    """What an authorize link asked for; `redirect_uri` is None when the link named none."""

    id: str
    scopes: tuple[str, ...]
    redirect_uri: str | None
    state: str | None
    team: str | None
    asked_at: float


@dataclass(slots=True)
class Code:
    value: str
    team: str
    user: str
    scopes: tuple[str, ...]
    redirect_uri: str | None
    issued_at: float
    used: bool = False


class Granting:
    """The steps of OAuth v2 between the authorize link and the token."""

    def __init__(self, config: SandboxConfig, *, world: World, clock: Clock, urls: AppUrls) -> None:
        self._config = config
        self._world = world
        self._clock = clock
        self._urls = urls
        self._requests: dict[str, Request] = {}
        self._codes: dict[str, Code] = {}

    def ask(self, query: dict[str, str]) -> Request:
        """Checks an authorize link; raises Refused with the error Slack's page would name."""
        if query.get("client_id") != self._config.client_id:
            raise Refused("invalid_client_id")
        redirect_uri = query.get("redirect_uri") or None
        if redirect_uri is not None and not self.redirect_allowed(redirect_uri):
            raise Refused("bad_redirect_uri")
        scopes = tuple(dict.fromkeys(scope for scope in query.get("scope", "").split(",") if scope))
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown or not scopes or query.get("user_scope"):
            raise Refused("invalid_scope", detail=", ".join(unknown))
        self._forget_old()
        request = Request(
            id=secrets.token_urlsafe(18),
            scopes=scopes,
            redirect_uri=redirect_uri,
            state=query.get("state"),
            team=query.get("team"),
            asked_at=self._clock.now(),
        )
        self._requests[request.id] = request
        return request

    def decide(self, request_id: str, *, team: str, user: str, allow: bool) -> str:
        """Answers a request once and returns the address the browser goes back to."""
        request = self._requests.pop(request_id, None)
        if request is None or self._clock.now() - request.asked_at > _CODE_SECONDS:
            raise Refused("invalid_request", detail="this consent page is used up or too old; start again from the app")
        person = self._world.user_in(team, user)
        if person is None or person.is_bot:
            raise Refused("user_not_found")
        answer: dict[str, str] = {}
        if not allow:
            answer["error"] = "access_denied"
        elif person.is_restricted or person.deleted:
            answer |= {"error": "access_denied", "error_description": "guests cannot install apps"}
        else:
            answer["code"] = self._issue(request, team=team, user=user).value
        if request.state is not None:
            answer["state"] = request.state
        target = request.redirect_uri or self._urls.redirect_url
        return target + ("&" if urlsplit(target).query else "?") + urlencode(answer)

    def check_client(self, client_id: str | None, client_secret: str | None) -> None:
        if client_id != self._config.client_id:
            raise Refused("invalid_client_id")
        if not hmac.compare_digest((client_secret or "").encode(), self._config.client_secret.encode()):
            raise Refused("bad_client_secret")

    def exchange(self, code: str | None, *, redirect_uri: str | None) -> dict[str, Any]:
        """The answer of `oauth.v2.access`; a code works once, for ten minutes, with the same redirect address."""
        known = self._codes.get(code or "")
        if known is None or known.used or self._clock.now() - known.issued_at > _CODE_SECONDS:
            raise Refused("invalid_code")
        if (redirect_uri or None) != known.redirect_uri:
            raise Refused("bad_redirect_uri")
        known.used = True
        return self._answer(self.install(team=known.team, user=known.user, scopes=known.scopes))

    def install(self, *, team: str, user: str, scopes: tuple[str, ...]) -> Install:
        return self._world.install_app(team=team, installer=user, scopes=list(scopes), now=self._clock.now())

    def redirect_allowed(self, redirect_uri: str) -> bool:
        """Equal to or below the configured address; https, except on this machine."""
        asked, configured = urlsplit(redirect_uri), urlsplit(self._urls.redirect_url)
        if "#" in redirect_uri or "\\" in redirect_uri or "/.." in asked.path or asked.username is not None:
            return False
        if asked.scheme != "https" and not (asked.scheme == "http" and asked.hostname in _LOOPBACK):
            return False
        if (asked.scheme, asked.netloc) != (configured.scheme, configured.netloc):
            return False
        return asked.path == configured.path or asked.path.startswith(configured.path.rstrip("/") + "/")

    def _issue(self, request: Request, *, team: str, user: str) -> Code:
        value = f"{secrets.randbelow(10**12):012d}.{secrets.randbelow(10**13):013d}.{secrets.token_hex(32)}"
        code = Code(value, team, user, request.scopes, request.redirect_uri, self._clock.now())
        self._codes[value] = code
        return code

    def _forget_old(self) -> None:
        horizon = self._clock.now() - _CODE_SECONDS
        self._requests = {key: entry for key, entry in self._requests.items() if entry.asked_at >= horizon}
        self._codes = {key: entry for key, entry in self._codes.items() if entry.issued_at >= horizon}

    def _answer(self, install: Install) -> dict[str, Any]:
        return {
            "access_token": install.token,
            "token_type": "bot",
            "scope": ",".join(install.scopes),
            "bot_user_id": install.bot_user,
            "app_id": APP_ID,
            "team": {"id": install.team, "name": self._world.teams[install.team].name},
            "enterprise": None,
            "is_enterprise_install": False,
            "authed_user": {"id": install.installer},
        }
