"""Draining 20,000 waiting events of 200 workspaces: claim, reply, settle; procrastinate and pgqueuer in the same run.

Prints two tables: events a second when each makes one call through our Slack client to a Slack that answers at once,
and when each does nothing. Medians of interleaved rounds on the same Postgres, which is one of our own as it comes,
with fsync and synchronous_commit on; every contestant is one process. EnableBot is the real Worker with as many slots
as named (a setting; 32 by default) and at most eight for one workspace; the peers have no workspaces, no lanes and no
caps, and their jobs carry no body to speak of. A round in which an event is left over or was tried twice ends the run.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.queueing.place import Place, add_waiting, add_workspaces, place, tidy
from benchmarks.queueing.reply import instant_slack
from benchmarks.queueing.rounds import Run, measured, medians, table

WORKSPACES = 200
OURS, PEERS = "benchmarks.queueing.ours", "benchmarks.queueing.peers"


@dataclass(frozen=True)
class Sizes:
    """How many events wait for whom, and how often."""

    events: int
    peers_events: int
    rounds: int


WHOLE, QUICK = Sizes(20_000, 2_500, 3), Sizes(2_000, 300, 1)


def ours(found: Place, events: int, way: str, many: int, *address: str) -> Run:
    """Fill a database of its own and drain it."""

    async def filled() -> str:
        url = await found.make_ours("ours")
        await add_waiting(url, await add_workspaces(url, WORKSPACES), events)
        await tidy(url)
        return url

    return lambda: measured(OURS, way, asyncio.run(filled()), events, many, *address)


def peer(found: Place, name: str, jobs: int, *address: str) -> Run:
    """Have it fill a database of its own and drain it."""
    make: Callable[[str], Awaitable[str]] = found.make
    return lambda: measured(PEERS, name, asyncio.run(_made(make, name)), jobs, *address)


async def _made(make: Callable[[str], Awaitable[str]], name: str) -> str:
    return await make(name)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small and once: to see that it runs")
    sizes = QUICK if parser.parse_args().quick else WHOLE
    with place() as found, instant_slack() as slack:
        replying = medians(
            {
                "Worker, 32 slots": ours(found, sizes.events, "worker", 32, slack),
                "Worker, 128 slots": ours(found, sizes.events, "worker", 128, slack),
                "procrastinate": peer(found, "procrastinate", sizes.peers_events, slack),
                "pgqueuer": peer(found, "pgqueuer", sizes.peers_events, slack),
            },
            sizes.rounds,
        )
        nothing = medians(
            {
                "calls, batches of 50": ours(found, sizes.events, "calls", 50),
                "calls, batches of 200": ours(found, sizes.events, "calls", 200),
                "Worker, 128 slots": ours(found, sizes.events, "worker", 128),
                "procrastinate": peer(found, "procrastinate", sizes.peers_events),
                "pgqueuer": peer(found, "pgqueuer", sizes.events),
            },
            sizes.rounds,
        )
    print(f"Claim, one reply call, settle: {sizes.events:,} events of {WORKSPACES} workspaces\n")
    print(_rates(replying, {"Worker, 128 slots": "2,500/s and 3x procrastinate"}))
    print(f"\nClaim and settle, nothing between: {sizes.events:,} events of {WORKSPACES} workspaces\n")
    print(_rates(nothing, {"calls, batches of 50": "8,000/s"}))


def _rates(rates: dict[str, float], goals: dict[str, str]) -> str:
    described = {"procrastinate": "procrastinate, 1 worker, concurrency 32", "pgqueuer": "pgqueuer, batches of 50"}
    rows = [
        [
            described.get(name, f"EnableBot: {name}"),
            f"{rate:,.0f}",
            f"{rate / rates['procrastinate']:.1f}",
            f"{rate / rates['pgqueuer']:.2f}",
            goals.get(name, ""),
        ]
        for name, rate in rates.items()
    ]
    return table(["", "a second", "x procrastinate", "x pgqueuer", "goal"], rows)


if __name__ == "__main__":
    main()
