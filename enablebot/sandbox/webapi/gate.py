"""`/api/<method>`: faults, token, limits, scope, then the method; every call is recorded."""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from enablebot.sandbox.faults import Fault
from enablebot.sandbox.ledger import RecordedCall, summary
from enablebot.sandbox.limits import TIERS
from enablebot.sandbox.refusal import RateLimited, Refused
from enablebot.sandbox.severing import Halved, Severed
from enablebot.sandbox.webapi.arguments import Sent, read
from enablebot.sandbox.webapi.call import Call, Method
from enablebot.sandbox.webapi.methods import METHODS
from enablebot.sandbox.world import Token

if TYPE_CHECKING:
    from enablebot.sandbox.sandbox import Sandbox

_CAPPED_METHODS = ("conversations.history", "conversations.replies")


def web_api_route(sandbox: Sandbox) -> Route:
    """The one route behind every method name."""

    async def answer(request: Request) -> Response:
        return await Gate(sandbox, request).answer()

    return Route("/api/{method:path}", answer, methods=["GET", "POST"])


class Gate:
    """One request on its way to a method."""

    def __init__(self, sandbox: Sandbox, request: Request) -> None:
        self._sandbox = sandbox
        self._request = request
        self._name: str = request.path_params["method"]
        self._token: Token | None = None
        self._args: dict[str, Any] = {}

    async def answer(self) -> Response:
        try:
            sent = await read(self._request)
        except Refused as refused:
            return self._refuse(refused)
        self._args = sent.arguments.values
        self._token = self._find_token(sent)
        for name in sent.secrets_in_query:
            self._sandbox.violated("secret_in_query", f"{self._name} was sent {name} in the query string")
        if self._name not in METHODS:
            self._sandbox.violated("unknown_method", f"{self._name} is no method this Slack knows")
            return self._refuse(Refused("unknown_method", req_method=self._name))
        team = self._token.team if self._token else None
        fault = self._sandbox.faults.take(self._name, team=team, said=self._args)
        if fault:
            struck = await self._strike(fault)
            if struck:
                return struck
        answer = await self._answer_of(METHODS[self._name], sent, fault)
        return await self._lost(answer, fault) if fault and fault.kind == "lost_answer" else answer

    async def _answer_of(self, method: Method, sent: Sent, fault: Fault | None) -> Response:
        try:
            body, ts = await self._perform(method, sent)
        except Refused as refused:
            return self._refuse(refused, fault)
        self._record(ok=True, ts=ts, fault=fault)
        return self._respond(body)

    async def _perform(self, method: Method, sent: Sent) -> tuple[dict[str, Any], str | None]:
        if method.needs_token:
            self._authenticate(sent)
        self._limit(method)
        call = Call(
            sandbox=self._sandbox,
            method=method,
            args=sent.arguments,
            token=self._token,
            basic=_basic(self._request.headers.get("authorization", "")),
            bearer=self._presented(sent),
            warnings=sent.warnings,
        )
        if method.scope:
            call.need(method.scope)
        body = {"ok": True, **await method.handler(call)}
        if call.warnings:
            body["warning"] = ",".join(call.warnings)
            metadata = body.setdefault("response_metadata", {})
            metadata["warnings"] = list(call.warnings)
        ts = body.get("ts") or body.get("message_ts")
        return body, ts if isinstance(ts, str) else None

    def _find_token(self, sent: Sent) -> Token | None:
        return self._sandbox.world.tokens.get(self._presented(sent) or "")

    def _presented(self, sent: Sent) -> str | None:
        scheme, _, value = self._request.headers.get("authorization", "").partition(" ")
        return value.strip() if scheme.lower() == "bearer" else sent.form_token

    def _authenticate(self, sent: Sent) -> None:
        presented = self._presented(sent)
        if not presented:
            raise Refused("not_authed")
        if presented == self._sandbox.config.app_token:
            raise Refused("not_allowed_token_type")
        if self._token is None:
            raise Refused("invalid_auth")
        if self._token.dead:
            raise Refused(self._token.dead)

    def _limit(self, method: Method) -> None:
        limit = TIERS[method.tier] if method.tier else 0
        if self._sandbox.config.history_cap and method.name in _CAPPED_METHODS:
            limit = 1
        if limit and self._token:
            wait = self._sandbox.limits.minute(
                team=self._token.team, method=method.name, limit=limit, now=self._sandbox.clock.now()
            )
            if wait:
                raise RateLimited(wait)

    async def _strike(self, fault: Fault) -> Response | None:
        """The answer of a fault that keeps the method from running; None when it may run."""
        if fault.kind in ("lost_answer", "cut"):
            return None
        if fault.kind == "slow":
            await self._wait(fault.seconds)
            return None
        if fault.kind == "error":
            return self._refuse(Refused(fault.error), fault)
        if fault.kind == "ratelimit":
            return self._refuse(RateLimited(fault.retry_after), fault)
        if fault.kind == "status":
            self._record(ok=False, error=f"http_{fault.status}", fault=fault, status=fault.status)
            return Response("The sandbox was told to fail.", fault.status, media_type="text/plain")
        if fault.kind == "hang":
            await self._wait(fault.seconds)
        self._record(ok=False, error=fault.kind, fault=fault)
        return Severed(reset=fault.kind == "reset")

    async def _lost(self, answer: Response, fault: Fault) -> Response:
        if fault.lost == "half":
            return Halved(answer)
        if fault.lost == "hang":
            await self._wait(fault.seconds)
        return Severed(reset=fault.lost == "reset")

    async def _wait(self, seconds: float) -> None:
        """Until the caller leaves, the sandbox stops, or `seconds` (0: for ever) are over."""
        leaving = asyncio.create_task(self._left())
        stopping = asyncio.create_task(self._sandbox.stopping.wait())
        try:
            await asyncio.wait({leaving, stopping}, timeout=seconds or None, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            stopping.cancel()

    async def _left(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass

    def _refuse(self, refused: Refused, fault: Fault | None = None) -> Response:
        headers, status = {}, 200
        if isinstance(refused, RateLimited):
            headers, status = {"Retry-After": str(refused.retry_after)}, 429
        self._record(ok=False, error=refused.error, fault=fault, status=status)
        return self._respond({"ok": False, "error": refused.error, **refused.extra}, status=status, headers=headers)

    def _respond(self, body: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        shown = {"x-slack-req-id": secrets.token_hex(16), "Cache-Control": "private, no-cache, no-store"}
        if self._token:
            shown["x-oauth-scopes"] = ",".join(self._token.scopes)
        if self._name in METHODS and METHODS[self._name].scope:
            shown["x-accepted-oauth-scopes"] = METHODS[self._name].scope or ""
        return Response(
            orjson.dumps(body), status, shown | (headers or {}), media_type="application/json; charset=utf-8"
        )

    def _record(
        self, *, ok: bool, error: str = "", ts: str | None = None, fault: Fault | None = None, status: int = 200
    ) -> None:
        self._sandbox.ledger.called(
            RecordedCall(
                method=self._name,
                team=self._token.team if self._token else None,
                at=self._sandbox.clock.now(),
                ok=ok,
                error=error,
                args_summary=summary(self._args),
                ts=ts,
                fault=fault.kind if fault else None,
                status=status,
            )
        )


def _basic(header: str) -> tuple[str, str] | None:
    """Client credentials from a Basic header, or None."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return name, secret
