"""The sandbox's time: real, but it can be moved forward."""

from __future__ import annotations

import time


class Clock:
    """Unix seconds; `advance` makes codes, streams and rate windows older without waiting for it."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds
