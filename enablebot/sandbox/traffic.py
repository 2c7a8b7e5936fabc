"""How much Slack sends: 30,000 events an hour for each workspace, and none to an app that keeps failing."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Literal

EVENTS_AN_HOUR = 30_000
_HOUR = 3600.0
# An app with fewer events than this in an hour is never switched off, however badly it does.
_JUDGED_FROM = 1000
_FAILING_SHARE = 0.95

Verdict = Literal["send", "announce", "drop"]


class Traffic:
    """Decides about each event before it is sent, and about the app after each attempt."""

    def __init__(self, *, enforced: bool) -> None:
        self._enforced = enforced
        self._sent: dict[str, deque[float]] = defaultdict(deque)
        self._announced: dict[str, int] = {}
        self._attempts: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self.disabled = False

    def admit(self, team: str, *, now: float) -> Verdict:
        """send it, drop it, or drop it and announce the limited minute with `app_rate_limited`."""
        if not self._enforced:
            return "send"
        if self.disabled:
            return "drop"
        sent = self._sent[team]
        while sent and sent[0] <= now - _HOUR:
            sent.popleft()
        if len(sent) < EVENTS_AN_HOUR:
            sent.append(now)
            return "send"
        minute = int(now // 60)
        if self._announced.get(team) == minute:
            return "drop"
        self._announced[team] = minute
        return "announce"

    def attempted(self, *, failed: bool, now: float) -> bool:
        """Counts an attempt; True at the one that switches the app's events off."""
        if not self._enforced:
            return False
        self._attempts.append((now, failed))
        self._failures += failed
        while self._attempts[0][0] <= now - _HOUR:
            self._failures -= self._attempts.popleft()[1]
        judged = len(self._attempts) >= _JUDGED_FROM and self._failures > _FAILING_SHARE * len(self._attempts)
        newly = judged and not self.disabled
        self.disabled = self.disabled or judged
        return newly

    def enable(self) -> None:
        """Switches events on again, as the app's owner does by hand; what failed before is forgotten."""
        self._attempts.clear()
        self._failures = 0
        self.disabled = False
