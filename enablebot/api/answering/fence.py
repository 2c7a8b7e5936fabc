"""Keeps a process that stood still from speaking for an answer which somebody else may have taken over meanwhile.

While the process runs, the worker ends whatever loses its claim. A process that was stopped, swapped out or starved
wakes up in the middle of a step, before any timer of its own: there the lease may be long over, and only the database
can say whose answer this is.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from enablebot.shared.errors import StaleClaim

_EVERY_SECONDS = 0.1
_STILL_SECONDS = 0.5


def _waking_clock() -> float:
    """Seconds that go on while the machine sleeps, where the platform counts them."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class Pulse:
    """Counts how often this process stood still for `still_seconds` or longer; one for all answers of the process."""

    def __init__(self, *, still_seconds: float = _STILL_SECONDS, clock: Callable[[], float] = _waking_clock) -> None:
        self._still_seconds = still_seconds
        self._clock = clock
        self._stops = 0
        self._last = clock()
        self._holders = 0
        self._beat: asyncio.TimerHandle | None = None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Feel the pulse meanwhile."""
        self._holders += 1
        if self._holders == 1:
            self._last = self._clock()
            self._feel()
        try:
            yield
        finally:
            self._holders -= 1
            if self._holders == 0 and self._beat is not None:
                self._beat.cancel()

    def stops(self) -> int:
        """How often it stood still so far, the moment before this call included."""
        now = self._clock()
        if now - self._last >= self._still_seconds:
            self._stops += 1
        self._last = now
        return self._stops

    def _feel(self) -> None:
        self.stops()
        self._beat = asyncio.get_running_loop().call_later(min(_EVERY_SECONDS, self._still_seconds / 3), self._feel)


class Fence:
    """Open while this process is sure that the answer is its own. `confirm` raises StaleClaim where it is not."""

    def __init__(self, pulse: Pulse, confirm: Callable[[], Awaitable[object]]) -> None:
        self._pulse = pulse
        self._confirm = confirm
        self._sure_at = pulse.stops()
        self._is_lost = False

    def is_open(self) -> bool:
        """Whether something may be sent at this very moment."""
        return not self._is_lost and self._pulse.stops() == self._sure_at

    async def pass_through(self) -> None:
        """Return once the fence is open; raises StaleClaim where somebody else has the answer."""
        while not self.is_open():
            stops = self._pulse.stops()
            try:
                await self._confirm()
            except StaleClaim:
                self._is_lost = True
                raise
            self._sure_at = stops
