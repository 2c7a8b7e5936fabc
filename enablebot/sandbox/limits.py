"""Slack's rate limits: a sliding minute for each workspace and method, and a bucket for each channel's posts."""

from __future__ import annotations

import math
from collections import defaultdict, deque

# Calls a minute; Slack writes "20+", so these are what an app may count on.
TIERS = {1: 1, 2: 20, 3: 50, 4: 100}
POSTS_PER_SECOND = 1.0
_POSTS_PER_MINUTE_AND_WORKSPACE = 300
_MINUTE = 60.0


class RateLimits:
    """Counts calls; every method returns the seconds to wait, or 0 when the call may pass."""

    def __init__(self, *, enforced: bool, post_burst: int) -> None:
        self._enforced = enforced
        self._post_burst = float(post_burst)
        self._minutes: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._posts: dict[tuple[str, str], tuple[float, float]] = {}

    def minute(self, *, team: str, method: str, limit: int, now: float) -> int:
        """A place in the sliding minute of one method."""
        if not self._enforced:
            return 0
        window = self._minutes[team, method]
        while window and window[0] <= now - _MINUTE:
            window.popleft()
        if len(window) >= limit:
            return max(1, math.ceil(window[0] + _MINUTE - now))
        window.append(now)
        return 0

    def post(self, *, team: str, channel: str, now: float) -> int:
        """A post into a channel: one a second, with a burst allowed, and some hundred a minute in a workspace."""
        if not self._enforced:
            return 0
        tokens, since = self._posts.get((team, channel), (self._post_burst, now))
        tokens = min(self._post_burst, tokens + max(0.0, now - since) * POSTS_PER_SECOND)
        if tokens < 1.0:
            self._posts[team, channel] = (tokens, now)
            return max(1, math.ceil((1.0 - tokens) / POSTS_PER_SECOND))
        wait = self.minute(team=team, method="posts", limit=_POSTS_PER_MINUTE_AND_WORKSPACE, now=now)
        if wait == 0:
            self._posts[team, channel] = (tokens - 1.0, now)
        return wait

    def forget(self) -> None:
        self._minutes.clear()
        self._posts.clear()
