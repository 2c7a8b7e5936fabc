"""Claiming while a million events wait for 10,000 workspaces, and a lone question behind another's 100,000.

Prints two tables. The first: how long claims of 32 and the settlements of what they brought take over one connection,
with plans and statistics from when the inbox was empty, and with fresh ones, and how many rows and index entries the
greediest of them read: a plan that scans would read a million. The second, with the real Worker, handlers of 20 ms and
the production settings: how long a question waits from its accept until its handler begins, alone in its workspace
while another one has 100,000 waiting, beside an idle inbox; and a stop, which belongs to the busy workspace itself.
One Postgres of our own as it comes, with fsync and synchronous_commit on.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import orjson

from benchmarks.queueing.place import Admin, Place, add_waiting, add_workspaces, place, tidy
from benchmarks.queueing.rounds import table
from enablebot.api.handling import RunningSignal
from enablebot.api.worker import Worker
from enablebot.config.settings import WorkerSettings
from enablebot.shared.database.models import ClaimedEventRow, EventKind
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.metrics import Metrics
from enablebot.shared.models.question import Outcome

LIMIT, TENANT_CAP = 32, 8
HANDLING_SECONDS = 0.02

_READ = """
    select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0) + (
             select coalesce(sum(pg_stat_get_xact_tuples_returned(indexrelid)), 0) from pg_stat_user_indexes
             where schemaname = 'enablebot')
    from pg_stat_xact_user_tables where schemaname = 'enablebot'"""


@dataclass(frozen=True)
class Sizes:
    """How much waits, and how often it is looked at."""

    workspaces: int
    events: int
    claims: int
    behind: int
    questions: int


WHOLE, QUICK = Sizes(10_000, 1_000_000, 500, 100_000, 20), Sizes(500, 20_000, 50, 5_000, 3)


@dataclass
class Cycles:
    """Claims and settlements, in seconds, and the most that one of either read."""

    claims: list[float]
    settlements: list[float]
    most_read: int


async def million(found: Place, sizes: Sizes) -> dict[str, Cycles]:
    """Fill the inbox under a connection that has planned everything already, and measure before and after ANALYZE."""
    url = await found.make_ours("million")
    workspaces = await add_workspaces(url, sizes.workspaces)
    await tidy(url)
    early = await asyncpg.connect(url)
    await add_waiting(url, workspaces[:4], 400)
    await _cycles(early, 30)
    await add_waiting(url, workspaces, sizes.events, body_bytes=100)
    results = {"planned on an empty inbox": await _cycles(early, sizes.claims)}
    await early.close()
    await tidy(url)
    late = await asyncpg.connect(url)
    results["fresh statistics"] = await _cycles(late, sizes.claims)
    await late.close()
    return results


async def _cycles(admin: Admin, many: int) -> Cycles:
    """Claim and settle, in turn over the workspaces, each call in a transaction that is asked what it read."""
    cycles = Cycles([], [], 0)
    after: UUID | None = None

    async def timed(took: list[float], statement: str, *values: object) -> str:
        async with admin.transaction():
            before = await admin.fetchval(_READ)
            began = time.perf_counter()
            result: str = await admin.fetchval(statement, *values)
            ended = time.perf_counter()
            cycles.most_read = max(cycles.most_read, await admin.fetchval(_READ) - before)
        # With its commit, but without the two questions about it.
        took.append(ended - began)
        return result

    for _ in range(many):
        claimed = await timed(
            cycles.claims, "select enablebot.claim_events('bench', $1, $2, $3, 60)", after, LIMIT, TENANT_CAP
        )
        rows = _rows(claimed)
        if not rows:
            break
        after = rows[-1].tenant_id
        await timed(
            cycles.settlements,
            "select enablebot.settle_events($1, $2, $3, array_fill('done'::text, array[$4::int]), "
            "array_fill(null::text, array[$4]), array_fill(0::double precision, array[$4]))",
            [row.tenant_id for row in rows],
            [row.id for row in rows],
            [row.claim_token for row in rows],
            len(rows),
        )
    return cycles


def _rows(claimed: str) -> list[ClaimedEventRow]:
    return [ClaimedEventRow.model_validate(row) for row in orjson.loads(claimed)]


class _Handlers:
    """Takes as long as an answer's next step would, and notes when each event's turn came."""

    def __init__(self) -> None:
        self.begun: dict[str, float] = {}

    async def handle(self, claimed: ClaimedEventRow) -> Outcome:
        self.begun[claimed.event_key] = time.perf_counter()
        await asyncio.sleep(HANDLING_SECONDS)
        return Outcome("done")

    async def give_up(self, claimed: ClaimedEventRow, reason: str) -> Outcome:
        return Outcome("failed", reason)

    def signal(self, claimed: ClaimedEventRow, signal: RunningSignal) -> bool:
        return False


async def behind(found: Place, sizes: Sizes, many: int) -> dict[str, list[float]]:
    """Ask while `many` events of another workspace wait; seconds from the accept until the handler began."""
    url = await found.make_ours("behind")
    busy, quiet = await add_workspaces(url, 2)
    if many:
        await add_waiting(url, [busy], many)
    await tidy(url)
    database = Database(await PostgresTransport.connect(url))
    handlers = _Handlers()
    worker = Worker(database, handlers, WorkerSettings(), metrics=Metrics())
    worker.start()
    waited: dict[str, list[float]] = {"question": [], "stop": []}
    asked: tuple[tuple[str, EventKind, UUID], ...] = (("question", "mention", quiet), ("stop", "stop", busy))
    for number in range(sizes.questions):
        for name, kind, workspace in asked:
            await asyncio.sleep(0.1)
            key = f"{name}-{number}"
            began = time.perf_counter()
            await _accept(database, workspace, key, kind, lane=None if kind == "stop" else f"C1:{key}")
            worker.wake()
            async with asyncio.timeout(60):
                while key not in handlers.begun:
                    await asyncio.sleep(0.001)
            waited[name].append(handlers.begun[key] - began)
    await worker.drain(10)
    await database.aclose()
    return waited


async def _accept(database: Database, workspace: UUID, key: str, kind: EventKind, *, lane: str | None) -> None:
    verdicts = await database.accept_events(
        tenant_ids=[workspace],
        event_keys=[key],
        message_keys=[None],
        lanes=[lane],
        kinds=[kind],
        joins=[lane is not None],
        bodies=[b"sealed"],
        data_key_ids=[uuid4()],
    )
    assert verdicts == ["accepted"]


def _quantile(seconds: Sequence[float], share: float) -> str:
    ordered = sorted(seconds)
    return f"{ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000:.1f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small: to see that it runs")
    sizes = QUICK if parser.parse_args().quick else WHOLE
    with place() as found:
        cycles = asyncio.run(million(found, sizes))
        idle = asyncio.run(behind(found, sizes, 0))
        waited = asyncio.run(behind(found, sizes, sizes.behind))

    print(f"{sizes.events:,} events waiting for {sizes.workspaces:,} workspaces; claims of {LIMIT}, one connection\n")
    rows = []
    for name, measured in cycles.items():
        for call, seconds in (("claim", measured.claims), ("settle", measured.settlements)):
            goal = "p99 10 ms" if call == "claim" else ""
            rows.append([call, name, _quantile(seconds, 0.5), _quantile(seconds, 0.99), str(measured.most_read), goal])
    print(table(["call", "plans", "p50, ms", "p99, ms", "most rows and index entries read", "goal"], rows))

    print(f"\nFrom the accept until the handler begins; {sizes.behind:,} events of another workspace waiting\n")
    rows = [
        [
            name,
            f"{statistics.median(idle[kind]) * 1000:.1f}",
            f"{statistics.median(waited[kind]) * 1000:.1f}",
            f"{max(waited[kind]) * 1000:.1f}",
            goal,
        ]
        for name, kind, goal in (
            ("a lone question", "question", "under 1,000 ms"),
            ("a stop of the busy workspace", "stop", ""),
        )
    ]
    print(table(["", "idle, p50 ms", "behind, p50 ms", "behind, longest ms", "goal"], rows))


if __name__ == "__main__":
    main()
