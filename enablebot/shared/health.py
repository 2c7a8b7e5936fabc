"""Alive, ready, leaving: what the process tells whoever sends it work."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse

from enablebot.shared.errors import EnableBotError

log = logging.getLogger(__name__)

Ping = Callable[[], Awaitable[object]]
DrainHook = Callable[[], Awaitable[object]]


class Readiness(NamedTuple):
    """Whether to send work here, and for each part “ok” or the reason why not."""

    ready: bool
    parts: Mapping[str, str]


class Pings:
    """The parts a process needs, each with a ping; and its readiness to leave.

    A part that only some answers need, such as the language model, does not belong here.
    """

    def __init__(self, *, deadline_seconds: float = 1.5) -> None:
        self._deadline_seconds = deadline_seconds
        self._pings: dict[str, Ping] = {}
        self._drain_hooks: list[DrainHook] = []
        self._round: asyncio.Task[Readiness] | None = None
        self._late: set[asyncio.Task[object]] = set()
        self.draining = False

    def add(self, name: str, ping: Ping) -> None:
        """Ask this part, too; its ping raises when the part does not work."""
        self._pings[name] = ping

    def on_drain(self, hook: DrainHook) -> None:
        """Run this between SIGTERM and the closing of the door, for instance to stop claiming work."""
        self._drain_hooks.append(hook)

    def begin_draining(self) -> None:
        """Not ready from here on; safe to call from a signal handler."""
        self.draining = True

    async def drain(self) -> None:
        """Run all hooks side by side; one that fails is logged and does not keep the others."""
        self.begin_draining()
        outcomes = await asyncio.gather(*(hook() for hook in self._drain_hooks), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                log.error("A part did not drain cleanly", exc_info=outcome)

    async def ready(self) -> Readiness:
        """Ask every part, all at once, within the deadline. Simultaneous callers share one round."""
        if self.draining:
            return Readiness(False, {"process": "draining"})
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._ask_all())
        # Shielded: a caller that hangs up must not take the answer from the others.
        return await asyncio.shield(self._round)

    async def _ask_all(self) -> Readiness:
        tasks = {name: asyncio.ensure_future(_ask(ping)) for name, ping in self._pings.items()}
        if tasks:
            await asyncio.wait(tasks.values(), timeout=self._deadline_seconds)
        parts: dict[str, str] = {}
        for name, task in tasks.items():
            if task.done():
                parts[name] = _verdict(name, task)
                continue
            # Not awaited: a ping that ignores its cancellation would hold up the answer.
            task.cancel()
            self._late.add(task)
            task.add_done_callback(self._forget)
            parts[name] = f"no answer within {self._deadline_seconds:g} s"
        return Readiness(all(verdict == "ok" for verdict in parts.values()), parts)

    def _forget(self, task: "asyncio.Task[object]") -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()


async def _ask(ping: Ping) -> object:
    return await ping()


def _verdict(name: str, task: "asyncio.Task[object]") -> str:
    error = None if task.cancelled() else task.exception()
    if task.cancelled():
        return "was interrupted"
    if error is None:
        return "ok"
    if isinstance(error, EnableBotError):
        return error.message
    log.warning("The ping of %s failed", name, exc_info=error)
    return f"failed ({type(error).__name__})"


async def health_endpoint(request: Request) -> JSONResponse:
    """GET /health: the process is alive. It touches nothing, so that a slow database gets nobody restarted."""
    return JSONResponse({"status": "ok"})


def ready_endpoint(pings: Pings) -> Callable[[Request], Awaitable[JSONResponse]]:
    """GET /ready: 200 when work may come, else 503 with the reason for each part."""

    async def show_readiness(request: Request) -> JSONResponse:
        readiness = await pings.ready()
        status = "ready" if readiness.ready else "not ready"
        return JSONResponse(
            {"status": status, "parts": dict(readiness.parts)}, status_code=200 if readiness.ready else 503
        )

    return show_readiness
