"""Claim, handle, settle: what every api process does with the inbox they share.

A claim is ours until its lease runs out or the database says otherwise; from then on nothing it does counts, and its
handler is stopped. Whoever dies without a word loses nothing: leases run out by themselves.
"""

import asyncio
import logging
import os
import random
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from secrets import token_hex
from typing import Protocol
from uuid import UUID

from enablebot.api.gathering import Gathering
from enablebot.config.settings import WorkerSettings
from enablebot.shared.database.models import ClaimedEventRow, EventOutcome, Settlement
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DatabaseError, DataRefused, EnableBotError, SlackRateLimited, StaleClaim
from enablebot.shared.logging import bind
from enablebot.shared.metrics import Metrics
from enablebot.shared.models.question import Outcome

log = logging.getLogger(__name__)

# The database sets an event aside when it would have to hand it out once more.
MOST_ATTEMPTS = 3
SHORTEST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0
LONGEST_BACKOFF_SECONDS = 60.0
_LONGEST_REASON = 300


class BodyUnreadable(Exception):
    """The stored body does not open: nobody can be answered, and trying again will not help."""


class Handlers(Protocol):
    """What the worker hands events to."""

    async def handle(self, claimed: ClaimedEventRow) -> Outcome:
        """Do what the event asks for; BodyUnreadable when it cannot even be read."""

    async def give_up(self, claimed: ClaimedEventRow, reason: str) -> Outcome:
        """Tell whoever waits that nothing more will be tried."""


@dataclass(slots=True, eq=False)
class _Claim:
    row: ClaimedEventRow
    task: "asyncio.Task[None] | None" = None
    expiry: asyncio.TimerHandle | None = None
    is_lost: bool = False
    is_settling: bool = False

    def hold_until(self, when: float) -> None:
        """Stop the handler at this time of the loop's clock, unless it is moved on before."""
        self.let_go()
        self.expiry = asyncio.get_running_loop().call_at(when, self.lose)

    def let_go(self) -> None:
        if self.expiry is not None:
            self.expiry.cancel()

    def lose(self) -> None:
        """Stop the handler: its event belongs to somebody else by now."""
        self.is_lost = True
        if self.task is not None:
            self.task.cancel()


@dataclass(frozen=True, slots=True)
class _Settling:
    row: ClaimedEventRow
    outcome: EventOutcome
    reason: str | None
    delay_seconds: float


class Worker:
    """Runs up to `settings.concurrency` handlers at once, and never more than its share for one workspace."""

    def __init__(
        self,
        database: Database,
        handlers: Handlers,
        settings: WorkerSettings,
        *,
        metrics: Metrics,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._settings = settings
        self._metrics = metrics
        self._jitter = jitter
        self._name = f"{socket.gethostname()[:40]}:{os.getpid()}:{token_hex(3)}"
        self._claims: set[_Claim] = set()
        self._settlements: Gathering[_Settling, Settlement] = Gathering(self._store_settlements)
        self._after_tenant: UUID | None = None
        self._wake = asyncio.Event()
        self._is_draining = False
        self._is_releasing = False
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to claim."""
        self._loops = [asyncio.create_task(self._claim_forever()), asyncio.create_task(self._renew_forever())]

    def wake(self) -> None:
        """Look into the inbox now: something was accepted, or a slot or lane became free."""
        self._wake.set()

    async def drain(self, deadline_seconds: float) -> None:
        """Claim no more, let running handlers finish until the deadline, give back what is left.

        May be called again where a first call was cut short.
        """
        self._is_draining = True
        self.wake()
        if not self._loops:
            return
        deadline = asyncio.get_running_loop().time() + deadline_seconds
        claiming, renewing = self._loops
        # The claim under way is waited for: what it brings has to be given back.
        await self._wait_for({claiming}, until=deadline)
        await self._wait_for(self._running(), until=deadline)
        self._is_releasing = True
        left = self._running()
        if left:
            log.info("Giving %d unfinished events back", len(left))
        for task in (*left, claiming):
            task.cancel()
        await self._wait_for({*left, claiming}, until=deadline + LONGEST_PAUSE_SECONDS)
        renewing.cancel()
        self._loops = []
        await self._settlements.aclose()

    async def _wait_for(self, tasks: set["asyncio.Task[None]"], *, until: float) -> None:
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, until - asyncio.get_running_loop().time()))

    async def _claim_forever(self) -> None:
        pause = SHORTEST_PAUSE_SECONDS
        while not self._is_draining:
            self._wake.clear()
            free = self._settings.concurrency - len(self._claims)
            claimed = await self._claim(free) if free > 0 else 0
            if claimed and claimed == free:
                continue
            pause = SHORTEST_PAUSE_SECONDS if claimed else min(pause * 2, LONGEST_PAUSE_SECONDS)
            try:
                async with asyncio.timeout(pause * self._settings.time_scale):
                    await self._wake.wait()
                pause = SHORTEST_PAUSE_SECONDS
            except TimeoutError:
                continue

    async def _claim(self, free: int) -> int:
        # The database counts the lease from later than this, so ours never outlives it.
        asked_at = asyncio.get_running_loop().time()
        try:
            rows = await self._database.claim_events(
                worker=self._name,
                after_tenant=self._after_tenant,
                limit=free,
                tenant_cap=self._settings.tenant_concurrency,
                lease_seconds=self._settings.lease_seconds,
            )
        except Exception as error:
            log.warning("Could not look into the inbox: %s", _described(error), exc_info=_unless_ours(error))
            return 0
        for row in rows:
            claim = _Claim(row)
            claim.hold_until(asked_at + self._settings.lease_seconds)
            claim.task = asyncio.create_task(self._work(claim))
            self._claims.add(claim)
            claim.task.add_done_callback(partial(self._done, claim))
        if rows:
            self._after_tenant = rows[-1].tenant_id
        return len(rows)

    def _done(self, claim: _Claim, _task: "asyncio.Task[None]") -> None:
        claim.let_go()
        self._claims.discard(claim)
        # A slot is free, and perhaps the next event of its lane may go.
        self.wake()

    def _running(self) -> set["asyncio.Task[None]"]:
        return {claim.task for claim in self._claims if claim.task is not None}

    async def _work(self, claim: _Claim) -> None:
        with bind(event_id=claim.row.event_key, tenant_id=claim.row.tenant_id):
            try:
                settling = await self._handle(claim.row)
            except StaleClaim:
                log.info("Somebody else has taken over this event")
                return
            except asyncio.CancelledError:
                if claim.is_lost:
                    log.warning("The lease on this event ran out, its handler was stopped")
                    return
                if not self._is_releasing:
                    raise
                settling = _Settling(claim.row, "release", "the process is leaving", 0)
            if settling is None:
                self._metrics.events_settled.labels("answered").inc()
                return
            await self._settle(claim, settling)

    async def _handle(self, row: ClaimedEventRow) -> _Settling | None:
        """Let the handler do its work; None where it settled the event itself."""
        try:
            outcome = await self._handlers.handle(row)
        except StaleClaim:
            raise
        except BodyUnreadable as error:
            log.error("An event was set aside: %s", error)  # noqa: TRY400 - its cause says no more than this
            return _Settling(row, "set_aside", _reason(str(error)), 0)
        except Exception as error:
            log.warning("Handling failed: %s", _described(error), exc_info=_unless_ours(error))
            wait = error.retry_after if isinstance(error, SlackRateLimited) else 0.0
            outcome = Outcome("retry", _described(error), wait)
        if outcome.name == "retry":
            if row.attempts >= MOST_ATTEMPTS:
                outcome = await self._give_up(row, outcome.reason or "it failed three times")
            else:
                outcome = Outcome("retry", outcome.reason, max(outcome.delay_seconds, self._backoff(row.attempts)))
        if outcome.name == "settled":
            return None
        return _Settling(row, outcome.name, _reason(outcome.reason), outcome.delay_seconds)

    async def _give_up(self, row: ClaimedEventRow, reason: str) -> Outcome:
        try:
            return await self._handlers.give_up(row, reason)
        except StaleClaim:
            raise
        except Exception as error:
            log.error("Giving up failed, too: %s", _described(error), exc_info=_unless_ours(error))  # noqa: TRY400 - as above
            return Outcome("failed", reason)

    def _backoff(self, attempts: int) -> float:
        spread = 0.5 + self._jitter()
        return min(2.0**attempts * spread, LONGEST_BACKOFF_SECONDS) * self._settings.time_scale

    async def _settle(self, claim: _Claim, settling: _Settling) -> None:
        # From here on the database decides whether this claim still counts; there is no handler left to stop.
        claim.is_settling = True
        claim.let_go()
        while True:
            try:
                settlement = await self._settlements.add(settling)
                break
            except DataRefused:
                log.exception("The reason of an outcome cannot be stored")
                settling = _Settling(settling.row, settling.outcome, None, settling.delay_seconds)
            except DatabaseError as error:
                log.warning("Could not settle, trying again: %s", error.message)
                await asyncio.sleep(SHORTEST_PAUSE_SECONDS)
        self._metrics.events_settled.labels(settling.outcome if settlement == "settled" else "stale").inc()
        if settlement == "stale":
            log.info("Somebody else has settled this event")
        elif settling.delay_seconds:
            asyncio.get_running_loop().call_later(settling.delay_seconds, self.wake)

    async def _store_settlements(self, settling: Sequence[_Settling]) -> list[Settlement]:
        return await self._database.settle_events(
            tenant_ids=[one.row.tenant_id for one in settling],
            ids=[one.row.id for one in settling],
            tokens=[one.row.claim_token for one in settling],
            outcomes=[one.outcome for one in settling],
            reasons=[one.reason for one in settling],
            delays=[one.delay_seconds for one in settling],
        )

    async def _renew_forever(self) -> None:
        pause = self._settings.lease_seconds / 3
        while True:
            await asyncio.sleep(pause)
            claims = [claim for claim in self._claims if not claim.is_settling]
            if claims:
                try:
                    await self._renew(claims, within=pause)
                except Exception as error:
                    log.warning("Could not renew leases: %s", _described(error), exc_info=_unless_ours(error))

    async def _renew(self, claims: Sequence[_Claim], *, within: float) -> None:
        asked_at = asyncio.get_running_loop().time()
        async with asyncio.timeout(within):
            renewed = await self._database.renew_leases(
                tenant_ids=[claim.row.tenant_id for claim in claims],
                ids=[claim.row.id for claim in claims],
                tokens=[claim.row.claim_token for claim in claims],
                lease_seconds=self._settings.lease_seconds,
            )
        for claim, is_ours in zip(claims, renewed, strict=True):
            if claim.is_settling or claim not in self._claims:
                continue
            if is_ours:
                claim.hold_until(asked_at + self._settings.lease_seconds)
            else:
                claim.lose()


def _described(error: Exception) -> str:
    return f"{error.code}: {error.message}" if isinstance(error, EnableBotError) else type(error).__name__


def _unless_ours(error: Exception) -> Exception | None:
    """Our own errors explain themselves; every other one is a fault whose place has to be found."""
    return None if isinstance(error, EnableBotError) else error


def _reason(text: str | None) -> str | None:
    return None if text is None else text.replace("\0", "")[:_LONGEST_REASON]
