"""EnableBot's side of the queue benchmarks, in a process of its own as the peers are.

`python -m benchmarks.queueing.ours calls <url> <events> <batch>` claims and settles by the two calls alone;
`… worker <url> <events> <slots> [<Slack's address>]` runs the real Worker. Both print events a second.
"""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from uuid import UUID

import asyncpg

from benchmarks.queueing.reply import Reply, replying
from enablebot.api.handling import RunningSignal
from enablebot.api.worker import Worker
from enablebot.config.settings import WorkerSettings
from enablebot.shared.database.models import ClaimedEventRow
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.metrics import Metrics
from enablebot.shared.models.question import Outcome

_TENANT_CAP = 8


class _Handlers:
    """Replies at once, or does nothing at all, and says when the last event is done."""

    def __init__(self, reply: Reply | None, events: int) -> None:
        self._reply = reply
        self._left = events
        self.is_over = asyncio.Event()

    async def handle(self, claimed: ClaimedEventRow) -> Outcome:
        if self._reply is not None:
            await self._reply(claimed.tenant_id.hex)
        self._left -= 1
        if self._left == 0:
            self.is_over.set()
        return Outcome("done")

    async def give_up(self, claimed: ClaimedEventRow, reason: str) -> Outcome:
        return Outcome("failed", reason)

    def signal(self, claimed: ClaimedEventRow, signal: RunningSignal) -> bool:
        return False


async def by_worker(url: str, events: int, slots: int, address: str | None) -> float:
    """Drain through the Worker: events a second from its start until the last one is settled."""
    async with AsyncExitStack() as stack:
        database = Database(await PostgresTransport.connect(url))
        stack.push_async_callback(database.aclose)
        reply = None if address is None else await stack.enter_async_context(replying(address))
        handlers = _Handlers(reply, events)
        settings = WorkerSettings(concurrency=slots, tenant_concurrency=_TENANT_CAP)
        worker = Worker(database, handlers, settings, metrics=Metrics())
        began = time.perf_counter()
        worker.start()
        await handlers.is_over.wait()
        # Settlements of the last batch are still under way: a worker that drains waits for them.
        await worker.drain(30)
        took = time.perf_counter() - began
    await _insist_on_done(url, events)
    return events / took


async def by_calls(url: str, events: int, batch: int) -> float:
    """Claim and settle, one batch after the other over one connection, until nothing is left."""
    database = Database(await PostgresTransport.connect(url, pool_size=1))
    after: UUID | None = None
    began = time.perf_counter()
    while rows := await database.claim_events(
        worker="bench", after_tenant=after, limit=batch, tenant_cap=_TENANT_CAP, lease_seconds=60
    ):
        after = rows[-1].tenant_id
        await database.settle_events(
            tenant_ids=[row.tenant_id for row in rows],
            ids=[row.id for row in rows],
            tokens=[row.claim_token for row in rows],
            outcomes=["done"] * len(rows),
            reasons=[None] * len(rows),
            delays=[0.0] * len(rows),
        )
    took = time.perf_counter() - began
    await database.aclose()
    await _insist_on_done(url, events)
    return events / took


async def _insist_on_done(url: str, events: int) -> None:
    """A drain that lost or repeated something is no figure."""
    admin = await asyncpg.connect(url)
    try:
        states = await admin.fetch("select state, attempts, count(*) from enablebot.inbox group by 1, 2")
        assert [tuple(row) for row in states] == [("done", 1, events)], [tuple(row) for row in states]
    finally:
        await admin.close()


if __name__ == "__main__":
    way, url, events, many, *address = sys.argv[1:]
    if way == "calls":
        print(asyncio.run(by_calls(url, int(events), int(many))))
    else:
        print(asyncio.run(by_worker(url, int(events), int(many), address[0] if address else None)))
