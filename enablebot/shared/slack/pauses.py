"""Until when Slack wants to be left alone, by workspace and method; shared by every client of the process."""

import time
from collections.abc import Callable

_REMEMBERED = 5_000


class Pauses:
    """What Slack's `Retry-After` said. Slack counts each method in each workspace on its own, and so do we."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}

    def left(self, workspace: str, method: str) -> float:
        """Seconds until this method may be called again for this workspace."""
        until = self._until.get((workspace, method))
        return 0.0 if until is None else max(0.0, until - self._clock())

    def note(self, workspace: str, method: str, seconds: float) -> None:
        """Slack said how long to wait; the longest wait it named counts."""
        now = self._clock()
        if len(self._until) >= _REMEMBERED:
            self._until = {key: until for key, until in self._until.items() if until > now}
        self._until[workspace, method] = max(now + seconds, self._until.get((workspace, method), 0.0))
