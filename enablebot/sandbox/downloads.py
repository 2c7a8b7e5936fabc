"""`/files-pri/…`: the bytes of a file, for who carries a token, and Slack's sign-in page for everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from enablebot.sandbox.faults import Fault
from enablebot.sandbox.ledger import RecordedCall
from enablebot.sandbox.refusal import Refused
from enablebot.sandbox.severing import Halved, Severed
from enablebot.sandbox.world import File, Token

if TYPE_CHECKING:
    from enablebot.sandbox.sandbox import Sandbox

METHOD = "files.download"
_PIECE = 64 * 1024
_ENDLESS_BYTES = 2 * 1024 * 1024 * 1024
_SIGN_IN = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in | Slack</title></head>
<body><h1>Sign in to {team}</h1><form action="/signin" method="post"><input name="email" type="email"></form>
</body></html>
"""


def download_routes(sandbox: Sandbox) -> list[Route]:
    """Where `url_private` and `url_private_download` lead."""

    async def answer(request: Request) -> Response:
        return await _Download(sandbox, request).answer()

    place = "/files-pri/{team}-{file}"
    return [Route(f"{place}/download/{{name:path}}", answer), Route(f"{place}/{{name:path}}", answer)]


class _Download:
    def __init__(self, sandbox: Sandbox, request: Request) -> None:
        self._sandbox = sandbox
        self._request = request
        self._team: str = request.path_params["team"]
        self._fault: Fault | None = None

    async def answer(self) -> Response:
        if "token" in self._request.query_params:
            self._sandbox.violated("secret_in_query", "a file was fetched with its token in the query string")
        said = {"file": self._request.path_params["file"]}
        self._fault = fault = self._sandbox.faults.take(METHOD, team=self._team, said=said)
        if fault is not None:
            struck = await self._strike(fault)
            if struck is not None:
                return struck
        file = self._allowed_file()
        if file is None:
            # Slack tells nobody whether there is such a file: whoever may not see it is asked to sign in, with a 200.
            self._record(ok=False, error="sign_in")
            return HTMLResponse(_SIGN_IN.format(team=self._team))
        self._record(ok=True)
        return self._bytes_of(file)

    def _allowed_file(self) -> File | None:
        token = self._token()
        if token is None or token.dead or token.team != self._team or "files:read" not in token.scopes:
            return None
        install = self._sandbox.world.installs.get(token.team)
        try:
            file = self._sandbox.files.find(self._request.path_params["file"], team=self._team)
        except Refused:
            return None
        is_ours = install is not None and self._sandbox.files.is_visible(file, install.bot_user)
        return file if is_ours and not file.overrides.get("is_external") else None

    def _token(self) -> Token | None:
        scheme, _, value = self._request.headers.get("authorization", "").partition(" ")
        return self._sandbox.world.tokens.get(value.strip()) if scheme.lower() == "bearer" else None

    def _bytes_of(self, file: File) -> Response:
        content, fault = self._sandbox.files.content(file), self._fault
        picture = self._sandbox.files.picture(file)
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name)}",
            "Cache-Control": "private, no-store",
        }
        if fault is not None and fault.kind == "endless":
            return StreamingResponse(_endless(content), headers=headers, media_type=picture["mimetype"])
        if fault is not None and fault.kind == "drip":
            pieces = _dripping(content, fault.seconds or 1.0)
            headers["Content-Length"] = str(len(content))
            return StreamingResponse(pieces, headers=headers, media_type=picture["mimetype"])
        whole = Response(content, headers=headers, media_type=picture["mimetype"])
        if fault is not None and fault.kind == "lost_answer":
            return Halved(whole)
        if fault is not None and fault.kind == "cut":
            # Whole as far as HTTP can tell, and yet not the file.
            return Response(content[: len(content) // 2], headers=headers, media_type=picture["mimetype"])
        return whole

    async def _strike(self, fault: Fault) -> Response | None:
        match fault.kind:
            case "redirect":
                self._record(ok=False, error="redirect", status=302)
                return RedirectResponse(fault.location, status_code=302)
            case "sign_in":
                self._record(ok=False, error="sign_in")
                return HTMLResponse(_SIGN_IN.format(team=self._team))
            case "status":
                self._record(ok=False, error=f"http_{fault.status}", status=fault.status)
                return Response("The sandbox was told to fail.", fault.status, media_type="text/plain")
            case "ratelimit":
                self._record(ok=False, error="ratelimited", status=429)
                return Response("", 429, {"Retry-After": str(fault.retry_after)})
            case "reset" | "hang":
                if fault.kind == "hang":
                    await self._wait(fault.seconds)
                self._record(ok=False, error=fault.kind)
                return Severed(reset=fault.kind == "reset")
            case "slow":
                await self._wait(fault.seconds)
        return None

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds or None):
                await self._sandbox.stopping.wait()
        except TimeoutError:
            pass

    def _record(self, *, ok: bool, error: str = "", status: int = 200) -> None:
        token = self._token()
        self._sandbox.ledger.called(
            RecordedCall(
                method=METHOD,
                team=token.team if token else None,
                at=self._sandbox.clock.now(),
                ok=ok,
                error=error,
                args_summary={"file": self._request.path_params["file"], "with_token": token is not None},
                fault=self._fault.kind if self._fault else None,
                status=status,
            )
        )


async def _dripping(content: bytes, seconds: float) -> AsyncIterator[bytes]:
    for at in range(len(content)):
        await asyncio.sleep(seconds)
        yield content[at : at + 1]


async def _endless(content: bytes) -> AsyncIterator[bytes]:
    piece = (content * (_PIECE // max(1, len(content)) + 1))[:_PIECE]
    for _ in range(_ENDLESS_BYTES // _PIECE):
        yield piece
