"""Group commit without a timer: whatever gathers while one batch is stored makes the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from enablebot.shared.errors import DatabaseError, DatabaseUnavailable, DataRefused

Item = TypeVar("Item")
Result = TypeVar("Result")

# A batch larger than this gains no throughput and makes its first item wait for its last.
LARGEST_BATCH = 256
# What may wait while the database does not answer, so that a stall costs refusals and not the process.
MOST_WAITING_BYTES = 64 * 1024 * 1024


class Gathering(Generic[Item, Result]):
    """Stores items in batches through `store`, which returns one result an item, in order.

    An idle gathering stores the first item at once, alone. A batch the database refuses for a value in it is stored
    one by one, so that one workspace's odd value stands in nobody else's way.
    """

    def __init__(
        self,
        store: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        weigh: Callable[[Item], int] = lambda _: 0,
        deadline_seconds: float | None = None,
    ) -> None:
        self._store = store
        self._weigh = weigh
        self._deadline = deadline_seconds
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._waiting_bytes = 0
        self._storing: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> Result:
        """The item's own result, once its batch is stored; raises what storing it raised."""
        weight = self._weigh(item)
        if self._waiting_bytes + weight > MOST_WAITING_BYTES:
            raise DatabaseUnavailable("Too much is waiting for the database. Try again.")
        self._waiting_bytes += weight
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_all())
        try:
            return await future
        finally:
            self._waiting_bytes -= weight

    async def aclose(self) -> None:
        """Wait until everything given is stored."""
        while self._storing is not None:
            await asyncio.wait({self._storing})

    async def _store_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:LARGEST_BATCH], self._waiting[LARGEST_BATCH:]
                # Whoever gave up meanwhile was told so: storing it now would only keep others waiting.
                batch = [(item, future) for item, future in batch if not future.done()]
                if batch and not await self._store_batch(batch):
                    for one in batch:
                        await self._store_batch([one])
        finally:
            self._storing = None

    async def _store_batch(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> bool:
        """False where the batch has to be stored one by one."""
        # The error is looked at and not raised: each item has somebody waiting to hear of it.
        (stored,) = await asyncio.gather(self._store_in_time([item for item, _ in batch]), return_exceptions=True)
        if isinstance(stored, DataRefused) and len(batch) > 1:
            return False
        for place, (_, future) in enumerate(batch):
            if future.done():
                continue
            if isinstance(stored, BaseException):
                future.set_exception(stored)
            else:
                future.set_result(stored[place])
        return True

    async def _store_in_time(self, items: Sequence[Item]) -> Sequence[Result]:
        try:
            async with asyncio.timeout(self._deadline):
                results = await self._store(items)
        except TimeoutError as error:
            raise DatabaseUnavailable("The database did not answer in time. Try again.") from error
        if len(results) != len(items):
            raise DatabaseError("The database answered for another number of events than it was given.")
        return results
