"""What was claimed, at work: a task of its own for each claim, until its end is stored or somebody else owns it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial

from prometheus_client import Gauge

from enablebot.api.claims import Claim, Claims
from enablebot.api.settling import Settlements, Settling
from enablebot.shared.database.models import ClaimRow
from enablebot.shared.errors import StaleClaim
from enablebot.shared.logging import bind
from enablebot.shared.metrics import Metrics

log = logging.getLogger(__name__)

Handle = Callable[[], Awaitable[Settling | None]]


class Running:
    """Runs claims until they are settled; `on_free` hears of every claim whose place is free again."""

    def __init__(self, settlements: Settlements, metrics: Metrics, *, on_free: Callable[[Claim], None]) -> None:
        self.claims = Claims()
        self._settlements = settlements
        self._metrics = metrics
        self._on_free = on_free
        self._is_releasing = False

    def begin(
        self,
        row: ClaimRow,
        handle: Handle,
        *,
        until: float,
        gauge: Gauge,
        after: frozenset["asyncio.Task[None]"] = frozenset(),
    ) -> None:
        """Handle what was claimed, once those have ended, and settle it; ours until then, by the loop's clock."""
        self._start(row, partial(self._work, handle=handle, gauge=gauge, after=after), until=until)

    def put_back(self, settling: Settling, *, until: float) -> "asyncio.Task[None]":
        """Settle what was claimed without having begun it."""
        return self._start(settling.row, partial(self._return, settling=settling), until=until)

    def release(self) -> None:
        """Stop every handler and give its event back, which costs it no attempt."""
        self._is_releasing = True
        left = {claim.task for claim in self.claims.running if claim.task is not None}
        if left:
            log.info("Giving %d unfinished events back", len(left))
        for task in left:
            task.cancel()

    def _start(
        self, row: ClaimRow, work: Callable[[Claim], Coroutine[None, None, None]], *, until: float
    ) -> "asyncio.Task[None]":
        claim = Claim(row)
        claim.hold_until(until)
        claim.task = asyncio.create_task(work(claim))
        self.claims.add(claim)
        claim.task.add_done_callback(partial(self._done, claim))
        return claim.task

    def _done(self, claim: Claim, _task: "asyncio.Task[None]") -> None:
        claim.let_go()
        self.claims.discard(claim)
        self._on_free(claim)

    async def _work(
        self, claim: Claim, *, handle: Handle, gauge: Gauge, after: frozenset["asyncio.Task[None]"]
    ) -> None:
        with bind(event_id=claim.row.event_key, tenant_id=claim.row.tenant_id):
            try:
                if after:
                    await asyncio.wait(after)
                with gauge.track_inprogress():
                    settling = await handle()
            except StaleClaim:
                self._metrics.claims_lost.inc()
                log.info("Somebody else has taken over this event")
                return
            except asyncio.CancelledError:
                if claim.is_lost and claim.is_document:
                    log.info("This document is no longer ours to read: deleted, replaced, or taken over")
                    return
                if claim.is_lost:
                    self._metrics.claims_lost.inc()
                    log.warning("This event is no longer ours, its handler was stopped")
                    return
                if not self._is_releasing:
                    raise
                settling = Settling(claim.row, "release", "the process is leaving")
            if settling is None:
                self._metrics.events_settled.labels("answered").inc()
                return
            await self._settle(claim, settling)

    async def _return(self, claim: Claim, *, settling: Settling) -> None:
        with bind(event_id=claim.row.event_key, tenant_id=claim.row.tenant_id):
            await self._settle(claim, settling)

    async def _settle(self, claim: Claim, settling: Settling) -> None:
        # From here on the database decides whether this claim still counts; there is no handler left to stop, and its
        # slot is free for another.
        claim.is_settling = True
        claim.let_go()
        self._on_free(claim)
        if await self._settlements.settle(settling) == "settled" and settling.delay_seconds:
            asyncio.get_running_loop().call_later(settling.delay_seconds, self._on_free, claim)
