"""Documents, claimed and read beside what people ask: slots of their own, so that neither waits for the other."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from enablebot.api.failures import described, unless_ours
from enablebot.api.handling import Handling
from enablebot.api.running import Running
from enablebot.api.suspects import has_to_run_alone, is_suspect, part_documents, returned
from enablebot.config.settings import WorkerSettings
from enablebot.shared.database.models import ClaimedDocumentRow
from enablebot.shared.database.operations import Database
from enablebot.shared.metrics import Metrics

log = logging.getLogger(__name__)

# What the dashboard takes in, another process takes, wakes nobody here.
SHORTEST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 2.0
LONGEST_CLAIM_SECONDS = 5.0
_MOST_CLAIMS = 4


class DocumentSlots:
    """Reads up to `settings.documents` documents at once, and one more of a workspace of which none is being read.

    That place keeps a workspace that brings thousands of documents from keeping another's waiting.
    """

    def __init__(
        self,
        database: Database,
        handling: Handling[ClaimedDocumentRow],
        settings: WorkerSettings,
        *,
        name: str,
        running: Running,
        metrics: Metrics,
        jitter: Callable[[], float],
    ) -> None:
        self._database = database
        self._handling = handling
        self._settings = settings
        self._name = name
        self._running = running
        self._claims = running.claims
        self._metrics = metrics
        self._jitter = jitter
        # Somebody's last chance was put back: it comes again as soon as no document is read here.
        self._makes_room = False
        self._wake = asyncio.Event()
        self._leaving = False
        self._claiming: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to claim."""
        if self._settings.documents:
            self._claiming = asyncio.create_task(self._claim_forever())

    def wake(self) -> None:
        """Look now: a document was queued, or a slot became free."""
        self._wake.set()

    def leave(self) -> set["asyncio.Task[None]"]:
        """Claim no more; returns what has to end before that is so."""
        self._leaving = True
        self.wake()
        return set() if self._claiming is None else {self._claiming}

    async def _claim_forever(self) -> None:
        pause = SHORTEST_PAUSE_SECONDS
        while not self._leaving:
            self._wake.clear()
            try:
                claimed = await self._claim_what_fits()
            except Exception as error:
                # Who claims events complains of a database that is away; this one waits until it is back.
                self._metrics.claim_failures.inc()
                log.debug("Could not look for documents: %s", described(error), exc_info=unless_ours(error))
                claimed = 0
            pause = SHORTEST_PAUSE_SECONDS if claimed else min(pause * 2, LONGEST_PAUSE_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause * self._settings.time_scale):
                    await self._wake.wait()
                    pause = SHORTEST_PAUSE_SECONDS

    async def _claim_what_fits(self) -> int:
        running = self._claims.documents
        free, cap = self._settings.documents - len(running), self._settings.tenant_concurrency
        if free == 0:
            free, cap = 1, 1
        if any(has_to_run_alone(claim.row) for claim in self._claims.running) or (running and self._makes_room):
            return 0
        # Those that are being settled count here: a database that does not settle gets no more to settle.
        unsettled = sum(claim.is_document for claim in self._claims)
        free = min(free, _MOST_CLAIMS * self._settings.documents - unsettled)
        if free <= 0:
            return 0
        asked_at = asyncio.get_running_loop().time()
        async with asyncio.timeout(LONGEST_CLAIM_SECONDS):
            rows = await self._database.claim_documents(
                worker=self._name,
                limit=free,
                tenant_cap=cap,
                lease_seconds=self._settings.lease_seconds,
            )
        self._makes_room = False
        # The database counts the lease from later than `asked_at`, so ours never outlives it.
        self._begin_all(rows, until=asked_at + self._settings.lease_seconds)
        return len(rows)

    def _begin_all(self, rows: Sequence[ClaimedDocumentRow], *, until: float) -> None:
        may_run, has_to_wait = part_documents(rows, self._claims.running)
        self._makes_room = any(map(has_to_run_alone, has_to_wait))
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
                gauge=self._metrics.documents_reading,
                after=parted if is_suspect(row) else frozenset(),
            )
            if row.attempts == 1:
                self._metrics.document_wait_seconds.observe(row.waited_seconds)
