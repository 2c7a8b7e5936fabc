"""Who wants to know that something changed: live pages, and tests that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")
_LIVE_PAGE_BACKLOG = 1000


class Changes:
    """A wake-up for waiters and one queue for each live page."""

    def __init__(self) -> None:
        self._pulse = asyncio.Event()
        self._pages: list[tuple[str | None, asyncio.Queue[dict[str, Any]]]] = []

    def publish(self, what: str, *, team: str, **where: Any) -> None:
        """Tells every page that watches `team`, and wakes the waiters."""
        note = {"what": what, "team": team, **where}
        for watched, queue in self._pages:
            if watched is None or watched == team:
                # A page that stopped reading loses notes, not the sandbox its memory.
                with suppress(asyncio.QueueFull):
                    queue.put_nowait(note)
        self.touch()

    def touch(self) -> None:
        """Wakes the waiters only."""
        self._pulse.set()
        self._pulse = asyncio.Event()

    @contextmanager
    def watching(self, team: str | None) -> Iterator[asyncio.Queue[dict[str, Any]]]:
        """The notes of one workspace, or of all, while the block runs."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_LIVE_PAGE_BACKLOG)
        entry = (team, queue)
        self._pages.append(entry)
        try:
            yield queue
        finally:
            self._pages.remove(entry)

    async def wait_for(self, ready: Callable[[], T], *, timeout: float = 5.0) -> T:  # noqa: ASYNC109 - the door's name
        """What `ready` returns once it is true; looks after each change. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while True:
                pulse = self._pulse
                found = ready()
                if found:
                    return found
                await pulse.wait()
