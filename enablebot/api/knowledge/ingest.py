"""A document on its way: from its sealed bytes to passages that can be found, all of them at once or none.

Every write goes under the claim of the document's event, so that a process that lost it writes nothing more; what an
attempt has staged is invisible until it is published, and dropped by the next attempt.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Protocol
from uuid import UUID

from enablebot.api.failures import described
from enablebot.api.handling import LOST_TOO_OFTEN
from enablebot.api.knowledge import child
from enablebot.api.knowledge.sayings import CannotRead, Done, Progress, ReadPassage, Said
from enablebot.api.knowledge.vectors import Vectors
from enablebot.shared.database.document_rows import ReadingRow
from enablebot.shared.database.models import ClaimedDocumentRow
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DataRefused, NotFound
from enablebot.shared.knowledge.library import Library
from enablebot.shared.metrics import Metrics
from enablebot.shared.models.document import Format
from enablebot.shared.models.question import Outcome

log = logging.getLogger(__name__)

# As many as one call stores in a few hundredths of a second, and as few as fit in some hundred kilobytes.
PASSAGES_AT_ONCE = 100
PROGRESS_SECONDS = 1.0
# How long the child may take over one document, and how long at most until its passages are published without vectors.
READING_SECONDS = 300.0
EMBEDDING_SECONDS = 60.0
# The whole of it: a store or a database that neither answers nor fails must not hold a slot for ever.
LONGEST_SECONDS = 1200.0
_NO_ROOM_SECONDS = 5.0
_MOST_NO_ROOM_SECONDS = 3600.0

_TOOK_THE_READER_DOWN = (
    "Reading this document took the reader down three times: it is damaged, or asks for more than this server has. "
    "Save it anew or split it, then upload it again."
)
_OUR_FAULT = (
    "EnableBot could not read this document, for reasons on its side. Whoever runs it is told and can try it again."
)
_NOT_STORABLE = (
    "This document's text holds something that cannot be stored. Save it anew in another format, then upload it again."
)
_TOO_LONG = "Reading this document took longer than any document should. Split it, then upload the parts."


class Read(Protocol):
    """How a document is read: `child.read`."""

    def __call__(
        self,
        content: AsyncIterator[bytes],
        *,
        format: Format,  # noqa: A002 - the word everywhere
        name: str,
        tenant_id: UUID,
        title: str | None,
        timeout: float,
        without_walls: bool,
    ) -> AsyncGenerator[Said, None]: ...


class _Gone(Exception):
    """The document, or this version of it, is there no longer: nobody waits for it."""


class Ingest:
    """What the worker hands documents to."""

    def __init__(
        self,
        database: Database,
        library: Library,
        vectors: Vectors | None,
        *,
        metrics: Metrics,
        without_walls: bool = False,
        time_scale: float = 1.0,
        read: Read = child.read,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._library = library
        self._vectors = vectors
        self._metrics = metrics
        self._without_walls = without_walls
        self._time_scale = time_scale
        self._read = read
        self._clock = clock

    async def handle(self, claimed: ClaimedDocumentRow) -> Outcome:
        """Read a document and publish it, or fail it with a reason that a person understands. Raises StaleClaim."""
        began_at = self._clock()
        task = _Attempt(self._database, claimed)
        try:
            begun = await task.begin()
            if begun.already is not None:
                # An earlier attempt came so far and died before it could say so.
                return Outcome("done", f"it was {begun.already} already")
            async with asyncio.timeout(LONGEST_SECONDS):
                done = await self._stage(task, begun)
                await self._embed(task, done.title)
            await task.publish(done)
        except _Gone:
            return self._gone()
        except CannotRead as failure:
            if failure.transient and claimed.waited_seconds < _MOST_NO_ROOM_SECONDS:
                return Outcome("release", failure.why, _NO_ROOM_SECONDS * self._time_scale)
            log.info("A document could not be read: %s, at %s", failure.why, failure.where or "a known limit")
            return await self._fail(task, failure.reason, failure.why)
        except DataRefused as failure:
            log.exception("What was read cannot be stored")
            return await self._fail(task, _NOT_STORABLE, described(failure))
        except NotFound:
            # Its bytes went with it; or they are missing, which is another matter.
            return await self._fail(task, _OUR_FAULT, "its bytes are missing")
        except TimeoutError:
            return await self._fail(task, _TOO_LONG, "too_slow")
        self._metrics.document_seconds.observe(self._clock() - began_at)
        return self._ended("ready", Outcome("done"))

    async def give_up(self, claimed: ClaimedDocumentRow, reason: str) -> Outcome:
        """Say that nothing more will be tried; the event is kept, and a replay reads the document again."""
        words = _TOOK_THE_READER_DOWN if reason == LOST_TOO_OFTEN else _OUR_FAULT
        return await self._fail(_Attempt(self._database, claimed), words, reason)

    async def _stage(self, task: "_Attempt", begun: ReadingRow) -> Done:
        """Have the child read, and store what it says; the child never waits for anything but the database."""
        row = task.row
        batch: list[ReadPassage] = []
        content = self._library.open_version(row.tenant_id, row.document_id, row.version)
        done: Done | None = None
        noted_at, share = self._clock(), 100 if self._vectors is None else 60
        reading = self._read(
            content,
            format=begun.format,
            name=begun.name,
            tenant_id=row.tenant_id,
            title=begun.title,
            timeout=READING_SECONDS,
            without_walls=self._without_walls,
        )
        async with aclosing(reading) as said:
            async for saying in said:
                match saying:
                    case Progress():
                        if self._clock() - noted_at >= PROGRESS_SECONDS * self._time_scale:
                            noted_at = self._clock()
                            await task.note(saying.percent * share // 100)
                    case ReadPassage():
                        batch.append(saying)
                        if len(batch) == PASSAGES_AT_ONCE:
                            await self._store(task, batch)
                    case Done():
                        done = saying
        if batch:
            await self._store(task, batch)
        if done is None:
            raise CannotRead("broken", _OUR_FAULT, where="a reader that ended without a word")
        return done

    async def _store(self, task: "_Attempt", batch: list[ReadPassage]) -> None:
        await task.stage(batch)
        self._metrics.passages.inc(len(batch))
        batch.clear()

    async def _embed(self, task: "_Attempt", title: str) -> None:
        """Vectors beside the words, as far as the model comes in time. Words alone are found, too."""
        if self._vectors is None:
            return
        noted_at = self._clock()

        async def note(part: float) -> None:
            nonlocal noted_at
            if self._clock() - noted_at >= PROGRESS_SECONDS * self._time_scale:
                noted_at = self._clock()
                await task.note(60 + int(39 * min(part, 1.0)))

        await task.note(60)
        row = task.row
        await self._vectors.embed_version(
            row.tenant_id,
            row.document_id,
            row.version,
            title=title,
            seconds=EMBEDDING_SECONDS * self._time_scale,
            on_progress=note,
        )

    async def _fail(self, task: "_Attempt", words: str, why: str) -> Outcome:
        try:
            await task.fail(words)
        except _Gone:
            return self._gone()
        return self._ended("failed", Outcome("failed", why))

    def _gone(self) -> Outcome:
        return self._ended("gone", Outcome("dropped", "it was deleted or replaced meanwhile"))

    def _ended(self, name: str, outcome: Outcome) -> Outcome:
        self._metrics.documents.labels(name).inc()
        return outcome


class _Attempt:
    """The calls that one claim allows; each raises StaleClaim or _Gone where nothing is left to be done."""

    def __init__(self, database: Database, row: ClaimedDocumentRow) -> None:
        self._database = database
        self.row = row

    async def begin(self) -> ReadingRow:
        row = self.row
        begun = await self._database.begin_reading(
            tenant_id=row.tenant_id,
            document_id=row.document_id,
            version=row.version,
            event_id=row.id,
            claim_token=row.claim_token,
        )
        if begun.gone:
            raise _Gone
        return begun

    async def note(self, progress: int) -> None:
        row = self.row
        noted = await self._database.note_progress(
            tenant_id=row.tenant_id,
            document_id=row.document_id,
            version=row.version,
            event_id=row.id,
            claim_token=row.claim_token,
            progress=min(progress, 99),
        )
        if noted.gone:
            raise _Gone

    async def stage(self, batch: list[ReadPassage]) -> None:
        row = self.row
        staged = await self._database.stage_passages(
            tenant_id=row.tenant_id,
            document_id=row.document_id,
            version=row.version,
            event_id=row.id,
            claim_token=row.claim_token,
            positions=[one.position for one in batch],
            texts=[one.text for one in batch],
            headings=[one.heading for one in batch],
            places=[one.place for one in batch],
            tokens=[one.tokens for one in batch],
            term_ids=[one.term_ids for one in batch],
            weights=[one.weights for one in batch],
        )
        if staged.gone:
            raise _Gone

    async def publish(self, done: Done) -> None:
        row = self.row
        published = await self._database.publish_document(
            tenant_id=row.tenant_id,
            document_id=row.document_id,
            version=row.version,
            event_id=row.id,
            claim_token=row.claim_token,
            pages=done.pages,
            title=done.title,
        )
        if published.gone:
            raise _Gone

    async def fail(self, reason: str) -> None:
        row = self.row
        failed = await self._database.fail_document(
            tenant_id=row.tenant_id,
            document_id=row.document_id,
            version=row.version,
            event_id=row.id,
            claim_token=row.claim_token,
            reason=reason,
        )
        if failed.gone:
            raise _Gone
