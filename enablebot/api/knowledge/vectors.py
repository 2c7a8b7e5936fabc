"""Vectors beside the words: for a document that was just read, and later for whatever has none of today's model.

Words are found without them, so nothing waits for an embedding model that is away: what it has not seen yet is counted,
and caught up with slowly.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from uuid import UUID

from enablebot.api.failures import described, unless_ours
from enablebot.shared.database.operations import Database
from enablebot.shared.database.passage_rows import PassageTextRow
from enablebot.shared.errors import ModelError
from enablebot.shared.knowledge.embedding import Embedder
from enablebot.shared.metrics import Metrics
from enablebot.shared.models.passage import in_context

log = logging.getLogger(__name__)

# Texts of one call, and calls under way at once while somebody waits for a document.
TEXTS_AT_ONCE = 32
CALLS_AT_ONCE = 4
# How often a call is repeated, and the longest pause before it is.
MOST_TRIES = 4
LONGEST_PAUSE_SECONDS = 20.0
# After a failure: for how long documents are published without vectors at once, and nothing is caught up with.
REST_SECONDS = 30.0
LONGEST_REST_SECONDS = 600.0
# Between two looks for passages without vectors, which read what every workspace has; and the least pause between two
# batches of them. What this process left out it looks for at once.
LOOK_SECONDS = 600.0
PAUSE_SECONDS = 0.2
_WORKSPACES = 100
_TURNS_A_LOOK = 8
# Several processes catch up at once: each takes its batch from a wider choice, so that they seldom pay twice.
_CHOICE = 4
# What is wrong with a text, and not with the model or our account there.
_OF_THE_TEXT = frozenset({"bad_request", "too_long", "refused"})


class Vectors:
    """Embeds passages with one model. A loop of its own catches up with what has no vector of it yet."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder,
        *,
        metrics: Metrics,
        time_scale: float = 1.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._embedder = embedder
        self._metrics = metrics
        self._time_scale = time_scale
        self._jitter = jitter
        self._rests = 0
        self._rests_until = 0.0
        self._look = asyncio.Event()
        # Behind which passage to go on in a workspace where the model refused a whole batch.
        self._passed: dict[UUID, int] = {}
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to catch up."""
        self._loop = asyncio.create_task(self._catch_up_forever())

    async def aclose(self) -> None:
        """End the loop."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def embed_version(
        self,
        tenant_id: UUID,
        document_id: UUID,
        version: int,
        *,
        title: str,
        seconds: float,
        on_progress: Callable[[float], Awaitable[None]],
    ) -> bool:
        """Embed a version's passages under its title; False where time or the model ran out first.

        What is left then is caught up with. Raises what `on_progress` raises, and DatabaseError.
        """
        if self._is_resting:
            self._look.set()
            return False
        until = asyncio.get_running_loop().time() + seconds
        after: int | None = None
        embedded = 0
        try:
            while True:
                rows = await self._database.list_passages_without_vectors(
                    tenant_id=tenant_id,
                    model=self._embedder.model,
                    document_id=document_id,
                    version=version,
                    after=after,
                    limit=TEXTS_AT_ONCE * CALLS_AT_ONCE,
                )
                if not rows:
                    return True
                async with asyncio.timeout_at(until):
                    # Until it is published, the row knows the title of the version before.
                    await self._embed_all(tenant_id, [row.model_copy(update={"title": title}) for row in rows])
                after = rows[-1].id
                embedded += len(rows)
                # How many there are is not known here; the more, the closer to the end.
                await on_progress(embedded / (embedded + TEXTS_AT_ONCE * CALLS_AT_ONCE))
        except (ModelError, TimeoutError) as error:
            if isinstance(error, ModelError):
                self._rest(error)
            log.warning("A document is found by its words only for now: %s", described(error))
            self._look.set()
            return False

    async def _embed_all(self, tenant_id: UUID, rows: Sequence[PassageTextRow]) -> None:
        calls = [
            asyncio.create_task(self._embed(tenant_id, rows[first : first + TEXTS_AT_ONCE]))
            for first in range(0, len(rows), TEXTS_AT_ONCE)
        ]
        try:
            await asyncio.gather(*calls)
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    async def _embed(self, tenant_id: UUID, rows: Sequence[PassageTextRow]) -> int:
        """Embed and store; texts that the model refuses are left without a vector. How many were stored."""
        try:
            vectors = await self._ask([in_context(row.title, row.heading, row.text) for row in rows])
        except ModelError as error:
            if error.reason not in _OF_THE_TEXT:
                raise
            if len(rows) > 1:
                half = len(rows) // 2
                return await self._embed(tenant_id, rows[:half]) + await self._embed(tenant_id, rows[half:])
            log.warning("A passage is found by its words only, the embedding model refuses it: %s", described(error))
            return 0
        return await self._database.add_vectors(
            tenant_id=tenant_id, model=self._embedder.model, passage_ids=[row.id for row in rows], vectors=vectors
        )

    async def _ask(self, texts: Sequence[str]) -> list[list[float]]:
        tries = 0
        while True:
            tries += 1
            try:
                vectors = await self._embedder.embed(list(texts))
            except ModelError as error:
                self._metrics.embedding_calls.labels(error.reason).inc()
                if error.permanent or tries >= MOST_TRIES:
                    raise
                # What the server asks for is not shortened.
                pause = 2.0**tries * (0.25 + self._jitter() / 2) * self._time_scale
                await asyncio.sleep(min(max(pause, error.retry_after or 0.0), LONGEST_PAUSE_SECONDS))
            else:
                self._metrics.embedding_calls.labels("ok").inc()
                self._rests = 0
                return vectors

    @property
    def _is_resting(self) -> bool:
        return asyncio.get_running_loop().time() < self._rests_until

    def _rest(self, error: ModelError) -> None:
        seconds = max(REST_SECONDS * 2.0 ** min(self._rests, 10) * self._time_scale, error.retry_after or 0.0)
        self._rests += 1
        self._rests_until = asyncio.get_running_loop().time() + min(seconds, LONGEST_REST_SECONDS)

    async def _catch_up_forever(self) -> None:
        while True:
            try:
                left = await self._catch_up()
            except Exception as error:
                if isinstance(error, ModelError):
                    self._rest(error)
                log.warning("Passages without vectors wait: %s", described(error), exc_info=unless_ours(error))
                left = False
            rest = self._rests_until - asyncio.get_running_loop().time()
            await asyncio.sleep(max(rest, 0.0))
            if not left:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS * self._time_scale):
                        await self._look.wait()

    async def _catch_up(self) -> bool:
        """Some batches for each workspace that lacks vectors, in turn; whether more may be left."""
        self._look.clear()
        waiting = await self._database.count_passages_without_vectors(model=self._embedder.model, limit=_WORKSPACES)
        self._metrics.passages_without_vectors.set(sum(row.passages for row in waiting))
        left = [row.tenant_id for row in waiting]
        random.shuffle(left)
        for _ in range(_TURNS_A_LOOK):
            left = [tenant_id for tenant_id in left if await self._catch_up_with(tenant_id)]
        return bool(left)

    async def _catch_up_with(self, tenant_id: UUID) -> bool:
        """One batch; False when there was none."""
        rows = await self._database.list_passages_without_vectors(
            tenant_id=tenant_id,
            model=self._embedder.model,
            document_id=None,
            version=None,
            after=self._passed.pop(tenant_id, None),
            limit=TEXTS_AT_ONCE * _CHOICE,
        )
        if not rows:
            return False
        began_at = asyncio.get_running_loop().time()
        batch = random.sample(rows, min(len(rows), TEXTS_AT_ONCE))
        if not await self._embed(tenant_id, batch):
            self._passed[tenant_id] = max(row.id for row in batch)
        # As long as the work took: at most half of what the model and this machine can do.
        took = asyncio.get_running_loop().time() - began_at
        await asyncio.sleep(max(took, PAUSE_SECONDS * self._time_scale))
        return True
