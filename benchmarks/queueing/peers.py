"""procrastinate and pgqueuer over the same Postgres, each as its documentation runs it.

Their own packages are in requirements-bench.txt; they run in a process of their own each, as EnableBot does:
`python -m benchmarks.queueing.peers procrastinate <url> <jobs> [<Slack's address>]` prints jobs a second.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg

from benchmarks.queueing.reply import Reply, replying

if TYPE_CHECKING:
    from procrastinate.types import JSONValue

Job = Callable[[], Awaitable[None]]

PROCRASTINATE_CONCURRENCY = 32
PGQUEUER_BATCH = 50


async def procrastinate(url: str, jobs: int, job: Job) -> float:
    """One worker, concurrency 32: jobs a second from its start to the last job's end."""
    from procrastinate import App, PsycopgConnector

    app = App(connector=PsycopgConnector(conninfo=url, min_size=4, max_size=PROCRASTINATE_CONCURRENCY + 4))

    @app.task(name="job")
    async def task(number: int) -> None:
        await job()

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await app.configure_task("job").batch_defer_async(*(_numbered(number) for number in range(jobs)))
        began = time.perf_counter()
        await app.run_worker_async(
            concurrency=PROCRASTINATE_CONCURRENCY, wait=False, listen_notify=False, install_signal_handlers=False
        )
        took = time.perf_counter() - began
    await _insist(url, "select count(*) from procrastinate_jobs where status = 'succeeded'", jobs)
    return jobs / took


def _numbered(number: int) -> "dict[str, JSONValue]":
    return {"number": number}


async def pgqueuer(url: str, jobs: int, job: Job) -> float:
    """One queue manager, batches of 50, until the queue is empty."""
    from pgqueuer import PgQueuer
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.types import QueueExecutionMode

    connection = await asyncpg.connect(url)
    try:
        queue = PgQueuer(AsyncpgDriver(connection))
        await queue.qm.queries.install()
        await queue.qm.queries.enqueue(["job"] * jobs, [b"event"] * jobs, [0] * jobs)

        @queue.entrypoint("job")
        async def entrypoint(_job: object) -> None:
            await job()

        began = time.perf_counter()
        await queue.qm.run(
            batch_size=PGQUEUER_BATCH, mode=QueueExecutionMode.drain, dequeue_timeout=timedelta(seconds=30)
        )
        took = time.perf_counter() - began
        left = await connection.fetchval("select count(*) from pgqueuer")
        assert left == 0, f"{left} jobs were left over"
    finally:
        await connection.close()
    return jobs / took


async def _insist(url: str, question: str, expected: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        found = await connection.fetchval(question)
    finally:
        await connection.close()
    assert found == expected, f"{found} of {expected} jobs are done"


async def _nothing() -> None:
    return None


async def _main(name: str, url: str, jobs: int, slack: str | None) -> float:
    run = {"procrastinate": procrastinate, "pgqueuer": pgqueuer}[name]
    if slack is None:
        return await run(url, jobs, _nothing)
    async with replying(slack) as reply:
        return await run(url, jobs, _replying_as_one(reply))


def _replying_as_one(reply: Reply) -> Job:
    async def job() -> None:
        await reply("T1")

    return job


if __name__ == "__main__":
    name, url, jobs, *address = sys.argv[1:]
    print(asyncio.run(_main(name, url, int(jobs), address[0] if address else None)))
