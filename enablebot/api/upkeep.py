"""What a running api does on the side: show the inbox to the operator, and forget what is old."""

import asyncio
import logging

from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DatabaseError
from enablebot.shared.metrics import Metrics

log = logging.getLogger(__name__)

DEPTH_SECONDS = 15.0
PRUNE_SECONDS = 3600.0
# Slack repeats an event for six minutes at most, with Delayed Events for a day.
DEDUPE_DAYS = 7
DONE_DAYS = 7
PRUNED_AT_ONCE = 5000


class Upkeep:
    """Two quiet loops; what fails is tried again at the next turn."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin both loops."""
        self._loops = [asyncio.create_task(self._show_depth()), asyncio.create_task(self._prune())]

    async def aclose(self) -> None:
        """End both loops."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def _show_depth(self) -> None:
        while True:
            try:
                depth = await self._database.get_inbox_depth()
            except DatabaseError as error:
                log.debug("The inbox could not be counted: %s", error.message)
            else:
                for state in ("ready", "queued", "claimed", "set_aside"):
                    self._metrics.inbox_depth.labels(state).set(getattr(depth, state))
                self._metrics.inbox_oldest_seconds.set(depth.oldest_seconds)
            await asyncio.sleep(DEPTH_SECONDS)

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            try:
                pruned = await self._database.prune(dedupe_days=DEDUPE_DAYS, done_days=DONE_DAYS, limit=PRUNED_AT_ONCE)
            except DatabaseError as error:
                log.warning("Old rows could not be removed: %s", error.message)
            else:
                log.info("Removed old rows", extra=pruned.model_dump())
