"""Claim, handle, settle: what every api process does with the inbox they share.

A claim is ours until its lease runs out or the database says otherwise; from then on nothing it does counts, and its
handler is stopped. Whoever dies without a word loses nothing: leases run out by themselves.
"""

import asyncio
import logging
import os
import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from secrets import token_hex
from uuid import UUID

from enablebot.api.claims import Claim
from enablebot.api.document_slots import DocumentSlots
from enablebot.api.failures import described, unless_ours
from enablebot.api.handling import EventHandlers, Handlers, Handling
from enablebot.api.leases import Leases
from enablebot.api.outage import SlackOutage
from enablebot.api.running import Running
from enablebot.api.settling import Settlements
from enablebot.api.suspects import has_to_run_alone, is_suspect, part, returned
from enablebot.config.settings import WorkerSettings
from enablebot.shared.database.models import ClaimedDocumentRow, ClaimedEventRow
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DatabaseUnavailable
from enablebot.shared.metrics import Metrics

log = logging.getLogger(__name__)

SHORTEST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0
# Between two looks while the database does not answer. With the longest a look may take, five seconds after its return
# work flows again.
SHORTEST_RECOVERY_SECONDS = 0.25
LONGEST_RECOVERY_SECONDS = 1.0
LONGEST_CLAIM_SECONDS = 3.0
# Urgent events run beside the others, so that whoever wants an answer stopped need not wait until it ends by itself.
URGENT_SLOTS = 4
# While all slots are busy, every accepted event wakes us and few of them are urgent.
URGENT_PAUSE_SECONDS = 0.05
# Other processes accept urgent events, too, and may be gone before they handle them.
LONGEST_BUSY_PAUSE_SECONDS = 1.0
# Settled or not, no more claims than this many times the slots: a database that does not settle gets no more to settle.
_MOST_CLAIMS = 4
_LONGEST_FAREWELL_SECONDS = 5.0
# Ten thousand documents may wait for hours, and are not given up because the database is away for a minute then.
DOCUMENT_PATIENCE_SECONDS = 7 * 86400.0


class Worker:
    """Runs up to `settings.concurrency` handlers at once, and never more than its share for one workspace.

    Documents have slots of their own, where `documents` reads them.
    """

    def __init__(
        self,
        database: Database,
        handlers: EventHandlers,
        settings: WorkerSettings,
        *,
        metrics: Metrics,
        outage: SlackOutage | None = None,
        documents: Handlers[ClaimedDocumentRow] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._outage = outage or SlackOutage(metrics, time_scale=settings.time_scale)
        self._jitter = jitter
        self._name = f"{socket.gethostname()[:40]}:{os.getpid()}:{token_hex(3)}"
        self._settlements = Settlements(database, metrics)
        self._running = Running(self._settlements, metrics, on_free=self._freed)
        self._claims = self._running.claims
        self._handling = Handling(
            handlers,
            outage=self._outage,
            on_set_aside=self._settlements.note_set_aside,
            jitter=jitter,
            time_scale=settings.time_scale,
        )
        self._leases = Leases(
            database,
            self._claims,
            lease_seconds=settings.lease_seconds,
            time_scale=settings.time_scale,
            tell=handlers.signal,
        )
        self._documents: DocumentSlots | None = None
        if documents is not None:
            self._documents = DocumentSlots(
                database,
                Handling(
                    documents,
                    outage=self._outage,
                    on_set_aside=self._settlements.note_set_aside,
                    jitter=jitter,
                    time_scale=settings.time_scale,
                    patience_seconds=DOCUMENT_PATIENCE_SECONDS,
                ),
                settings,
                name=self._name,
                running=self._running,
                metrics=metrics,
                jitter=jitter,
            )
        self._after_tenant: UUID | None = None
        self._urgent_at = 0.0
        self._failed_at: float | None = None
        # Somebody's last chance was put back: it comes again as soon as nothing runs here that could spoil it.
        self._makes_room = False
        self._wake = asyncio.Event()
        self._leaving = asyncio.Event()
        self._claiming: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to claim."""
        self._claiming = asyncio.create_task(self._claim_forever())
        self._leases.start()
        if self._documents is not None:
            self._documents.start()

    def wake(self) -> None:
        """Look into the inbox now: something was accepted, or a slot or lane became free."""
        self._wake.set()

    def wake_documents(self) -> None:
        """Look now for documents that wait to be read."""
        if self._documents is not None:
            self._documents.wake()

    async def drain(self, deadline_seconds: float) -> None:
        """Claim no more, let running handlers finish until the deadline, give back what is left.

        May be called again where a first call was cut short.
        """
        self._leaving.set()
        self.wake()
        if self._claiming is None:
            return
        deadline = asyncio.get_running_loop().time() + deadline_seconds
        claiming = {self._claiming}
        if self._documents is not None:
            claiming |= self._documents.leave()
        # The claims under way are waited for: what they bring has to be given back.
        await _wait_for(claiming, until=deadline)
        await _wait_for(self._claims.tasks, until=deadline)
        self._running.release()
        for task in claiming:
            task.cancel()
        # With those that are being settled already: cut off now, they would be done a second time.
        await _wait_for(self._claims.tasks | claiming, until=deadline + _LONGEST_FAREWELL_SECONDS)
        for task in self._claims.tasks:
            task.cancel()
        await asyncio.gather(*self._claims.tasks, return_exceptions=True)
        await self._leases.aclose()
        self._claiming = None
        await self._settlements.aclose()

    async def _claim_forever(self) -> None:
        pause, recovery = SHORTEST_PAUSE_SECONDS, SHORTEST_RECOVERY_SECONDS
        while not self._leaving.is_set():
            self._wake.clear()
            try:
                claimed, longest_pause = await self._claim_what_fits()
            except Exception as error:
                self._note_failure(error)
                await self._sleep_for(self._leaving, recovery * (0.75 + self._jitter() / 2))
                recovery = min(recovery * 2, LONGEST_RECOVERY_SECONDS)
                continue
            recovery = SHORTEST_RECOVERY_SECONDS
            pause = SHORTEST_PAUSE_SECONDS if claimed else min(pause * 2, LONGEST_PAUSE_SECONDS)
            if await self._sleep_for(self._wake, min(pause, longest_pause)):
                pause = SHORTEST_PAUSE_SECONDS

    async def _sleep_for(self, event: asyncio.Event, seconds: float) -> bool:
        """Whether the event came before the time was over."""
        try:
            async with asyncio.timeout(seconds * self._settings.time_scale):
                return await event.wait()
        except TimeoutError:
            return False

    async def _claim_what_fits(self) -> tuple[int, float]:
        """Claim for the slots that are free; how many came, and how long at most until the next look."""
        asked_at = asyncio.get_running_loop().time()
        longest_pause = LONGEST_PAUSE_SECONDS
        running = self._claims.questions
        urgent = sum(claim.is_urgent for claim in running)
        free = self._settings.concurrency - (len(running) - urgent)
        if self._outage.is_on:
            # One event finds out whether Slack is back; for all others it would only cost attempts.
            rest = self._outage.rest_left
            free = 1 if rest == 0 and len(running) == urgent else 0
            longest_pause = rest / self._settings.time_scale if rest > 0 else SHORTEST_PAUSE_SECONDS
        is_alone = len(running) == urgent and not any(is_suspect(claim.row) for claim in self._claims.documents)
        if not is_alone and (self._makes_room or any(has_to_run_alone(claim.row) for claim in running)):
            free = 0
        free = min(free, _MOST_CLAIMS * self._settings.concurrency - len(self._claims))
        if free > 0:
            rows = await _in_time(
                self._database.claim_events(
                    worker=self._name,
                    after_tenant=self._after_tenant,
                    limit=free,
                    tenant_cap=self._settings.tenant_concurrency,
                    lease_seconds=self._settings.lease_seconds,
                )
            )
            self._makes_room = False
        elif urgent >= URGENT_SLOTS:
            return 0, LONGEST_BUSY_PAUSE_SECONDS
        elif asked_at < self._urgent_at:
            return 0, (self._urgent_at - asked_at) / self._settings.time_scale
        else:
            self._urgent_at = asked_at + URGENT_PAUSE_SECONDS
            rows = await _in_time(
                self._database.claim_urgent_events(
                    worker=self._name,
                    limit=URGENT_SLOTS - urgent,
                    lease_seconds=self._settings.lease_seconds,
                )
            )
            longest_pause = min(longest_pause, LONGEST_BUSY_PAUSE_SECONDS)
        self._note_success(asked_at)
        # The database counts the lease from later than `asked_at`, so ours never outlives it.
        self._begin_all(rows, until=asked_at + self._settings.lease_seconds)
        return len(rows), longest_pause

    def _begin_all(self, rows: Sequence[ClaimedEventRow], *, until: float) -> None:
        may_run, has_to_wait = part(rows, self._claims.running) if any(map(is_suspect, rows)) else (rows, [])
        self._makes_room = self._makes_room or any(map(has_to_run_alone, has_to_wait))
        scale = self._settings.time_scale
        parted = frozenset(
            self._running.put_back(returned(row, jitter=self._jitter, time_scale=scale), until=until)
            for row in has_to_wait
        )
        for row in may_run:
            self._running.begin(
                row,
                partial(self._handling.handle, row),
                until=until,
                gauge=self._metrics.events_running,
                # Those that must not die with it have to be gone before it begins.
                after=parted if is_suspect(row) else frozenset(),
            )
            if row.attempts == 1:
                self._metrics.event_wait_seconds.observe(row.waited_seconds)
        ordinary = [row for row in rows if row.lane is not None]
        if ordinary:
            self._after_tenant = ordinary[-1].tenant_id

    def _freed(self, claim: Claim) -> None:
        # A slot is free, and perhaps the next event of its lane may go.
        self.wake()
        if claim.is_document:
            self.wake_documents()
        elif claim.is_urgent and claim not in self._claims:
            self._leases.look()

    def _note_failure(self, error: Exception) -> None:
        self._metrics.claim_failures.inc()
        if self._failed_at is None:
            self._failed_at = asyncio.get_running_loop().time()
            log.warning("Could not look into the inbox: %s", described(error), exc_info=unless_ours(error))

    def _note_success(self, now: float) -> None:
        if self._failed_at is not None:
            log.warning("The inbox can be read again, after %.1f s", now - self._failed_at)
            self._failed_at = None


async def _in_time(claiming: Awaitable[list[ClaimedEventRow]]) -> list[ClaimedEventRow]:
    # What a claim cut short has claimed all the same comes back when its lease ends.
    try:
        async with asyncio.timeout(LONGEST_CLAIM_SECONDS):
            return await claiming
    except TimeoutError as error:
        raise DatabaseUnavailable(f"The database did not answer within {LONGEST_CLAIM_SECONDS:g} s.") from error


async def _wait_for(tasks: set["asyncio.Task[None]"], *, until: float) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=max(0.0, until - asyncio.get_running_loop().time()))
