"""What a running api does on the side: show the inbox to the operator, and forget what is old."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from enablebot.shared.database.models import InboxDepthRow
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DatabaseError
from enablebot.shared.metrics import Metrics

log = logging.getLogger(__name__)

DEPTH_SECONDS = 15.0
PRUNE_SECONDS = 3600.0
# What was deleted with time to undo it is gone soon after that time.
PURGE_SECONDS = 60.0
# Slack repeats an event for six minutes at most, with Delayed Events for a day.
DEDUPE_DAYS = 7
DONE_DAYS = 7
# How long a repeated API request gets the answer it got before; api/rest/repeats.py promises it.
REQUEST_HOURS = 24
PRUNED_AT_ONCE = 5000
# Slack's signatures are refused when they are five minutes off; a clock that is one minute off is on its way there.
MOST_SKEW_SECONDS = 60.0


class Upkeep:
    """Quiet loops; what fails is tried again at the next turn.

    `purge_documents` erases documents that are due, and returns how many.
    """

    def __init__(
        self,
        database: Database,
        metrics: Metrics,
        *,
        purge_documents: Callable[[], Awaitable[int]] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._purge_documents = purge_documents
        self._now = now
        self._is_skewed = False
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin the loops."""
        self._loops = [asyncio.create_task(self._show_depth()), asyncio.create_task(self._prune())]
        if self._purge_documents is not None:
            self._loops.append(asyncio.create_task(self._purge(self._purge_documents)))

    async def aclose(self) -> None:
        """End the loops."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def _show_depth(self) -> None:
        while True:
            asked_at = self._now()
            try:
                depth = await self._database.get_inbox_depth()
            except DatabaseError as error:
                log.debug("The inbox could not be counted: %s", error.message)
            else:
                for state in ("ready", "queued", "held", "claimed", "set_aside"):
                    self._metrics.inbox_depth.labels(state).set(getattr(depth, state))
                self._metrics.inbox_oldest_seconds.set(depth.oldest_seconds)
                self._metrics.documents_depth.labels("waiting").set(depth.documents_waiting)
                self._metrics.documents_depth.labels("claimed").set(depth.documents_claimed)
                self._metrics.documents_oldest_seconds.set(depth.oldest_document_seconds)
                self._compare_clocks(depth, asked_at=asked_at, answered_at=self._now())
            await asyncio.sleep(DEPTH_SECONDS)

    def _compare_clocks(self, depth: InboxDepthRow, *, asked_at: datetime, answered_at: datetime) -> None:
        """Show how far our clock is from the database's, and complain once it is too far."""
        # The database's time lies between our two: what the call took is not a difference.
        ahead = (asked_at - depth.asked_at).total_seconds()
        behind = (depth.asked_at - answered_at).total_seconds()
        skew = max(ahead, 0.0) or -max(behind, 0.0)
        self._metrics.clock_skew_seconds.set(skew)
        if self._is_skewed == (abs(skew) > MOST_SKEW_SECONDS):
            return
        self._is_skewed = not self._is_skewed
        if self._is_skewed:
            log.warning(
                "This machine's clock is %.0f s %s the database's. Events are scheduled by the database's, but "
                "requests of Slack are refused by ours once it is 300 s wrong. Synchronise it (NTP)",
                abs(skew),
                "ahead of" if skew > 0 else "behind",
            )
        else:
            log.info("This machine's clock agrees with the database's again, within %.0f s", MOST_SKEW_SECONDS)

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            try:
                pruned = await self._database.prune(dedupe_days=DEDUPE_DAYS, done_days=DONE_DAYS, limit=PRUNED_AT_ONCE)
            except DatabaseError as error:
                log.warning("Old rows could not be removed: %s", error.message)
            else:
                log.info("Removed old rows", extra=pruned.model_dump())
            try:
                await self._database.prune_api_requests(hours=REQUEST_HOURS, limit=PRUNED_AT_ONCE)
            except DatabaseError as error:
                log.warning("Old answers to API requests could not be removed: %s", error.message)

    async def _purge(self, purge_documents: Callable[[], Awaitable[int]]) -> None:
        while True:
            await asyncio.sleep(PURGE_SECONDS)
            try:
                purged = await purge_documents()
            except DatabaseError as error:
                log.warning("Documents that are due could not be erased: %s", error.message)
            else:
                if purged:
                    log.info("Erased documents that were due", extra={"documents": purged})
