"""Runs several processes as one: all start together, all are ready, all stop together."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import aiohttp

from enablebot.local.children import USUAL_PATIENCE, Child, ChildBroken, Patience, RunningChild, Say

READY_WITHIN_SECONDS = 60.0
STOP_WITHIN_SECONDS = 25.0


class NotReady(Exception):
    """A service that did not answer on its readiness page in time."""


class Supervisor:
    """Starts children, waits for all to be ready, restarts the dead, and stops them in reverse order."""

    def __init__(self, children: Sequence[Child], *, say: Say, patience: Patience = USUAL_PATIENCE) -> None:
        self.running = [RunningChild(child, say=say, patience=patience) for child in children]
        self._stop = asyncio.Event()

    async def run(self, *, then: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """Run until SIGINT or SIGTERM, or, when given, until `then` (called once all are ready) returns.

        Raises NotReady or ChildBroken after having stopped everything.
        """
        stop = self._stop
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        keepers = [asyncio.create_task(child.run(), name=child.child.name) for child in self.running]
        stopped = asyncio.create_task(stop.wait())
        try:
            await self._until_ready(keepers, stopped)
            if not stop.is_set():
                await self._work(then, keepers, stopped)
        finally:
            await self._stop_all(keepers, stopped)
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def until_stopped(self) -> None:
        """Wait for SIGINT or SIGTERM."""
        await self._stop.wait()

    async def _until_ready(self, keepers: list[asyncio.Task[None]], stopped: asyncio.Task[bool]) -> None:
        asking = asyncio.create_task(_all_ready([child.child for child in self.running]))
        try:
            await self._until_over([*keepers, stopped, asking])
        finally:
            asking.cancel()
            with suppress(asyncio.CancelledError, NotReady):
                await asking

    async def _work(
        self,
        then: Callable[[], Coroutine[Any, Any, None]] | None,
        keepers: list[asyncio.Task[None]],
        stopped: asyncio.Task[bool],
    ) -> None:
        if then is None:
            await self._until_over([*keepers, stopped])
            return
        work = asyncio.create_task(then())
        try:
            await self._until_over([*keepers, stopped, work])
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    @staticmethod
    async def _until_over(tasks: Sequence[asyncio.Task[Any]]) -> None:
        """Wait for the first of the tasks and raise what it raised."""
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _stop_all(self, keepers: list[asyncio.Task[None]], stopped: asyncio.Task[bool]) -> None:
        services, last = self.running[1:], self.running[:1]
        # The first child is what the others call (the sandbox, when there is one): it goes last.
        for group in (services, last):
            await asyncio.gather(*(child.stop(within=STOP_WITHIN_SECONDS) for child in group))
        stopped.cancel()
        for task in [*keepers, stopped]:
            task.cancel()
            with suppress(asyncio.CancelledError, ChildBroken):
                await task


async def _all_ready(children: Sequence[Child]) -> None:
    deadline = asyncio.get_running_loop().time() + READY_WITHIN_SECONDS
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as session:
        for child in children:
            while (reason := await _unready(session, child.ready_url)) is not None:
                if asyncio.get_running_loop().time() > deadline:
                    raise NotReady(f"{child.name} was not ready within {READY_WITHIN_SECONDS:g} s: {reason}")
                await asyncio.sleep(0.05)


async def _unready(session: aiohttp.ClientSession, url: str) -> str | None:
    """None once the page answers 200; until then what it, or its silence, says."""
    try:
        async with session.get(url) as response:
            if response.status == 200:
                return None
            try:
                verdicts = dict((await response.json())["parts"]).values()
            except (aiohttp.ContentTypeError, ValueError, LookupError, TypeError):
                return f"{url} answers {response.status}. Its lines above say why."
            return " ".join(str(verdict) for verdict in verdicts if verdict != "ok")
    except (aiohttp.ClientError, TimeoutError):
        return f"{url} does not answer. Its lines above say why."
