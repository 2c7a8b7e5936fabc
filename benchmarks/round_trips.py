"""Install, ask and answer over both transports: database calls and time of each step, asyncpg beside the Data API.

Prints one table. Both services, the played Slack and the played model run in this process, Postgres and PostgREST
beside it on the same machine; pauses that people need are a fiftieth as long. The calls are the same over both
transports; times are medians of three rounds, until the step's last commit.
"""

import asyncio
import statistics
import time
from uuid import UUID

import pytest

from enablebot.shared.database.operations import Database
from enablebot.tests.database import VERSIONS, PostgresServer, PostgresServers
from enablebot.tests.round_trips import WAYS, Step, Way, counting, story

ROUNDS = 3
CALLS = 300


def measure(servers: PostgresServers) -> dict[Way, list[list[Step]]]:
    """Play the story in turns, each time on a fresh database; the first turn only warms up."""
    server = servers.server(VERSIONS[0])
    played: dict[Way, list[list[Step]]] = {way: [] for way in WAYS}
    for turn in range(ROUNDS + 1):
        for way in WAYS:
            with server.migrated() as name:
                steps = asyncio.run(story(server, name, way))
            if turn > 0:
                played[way].append(steps)
    return played


async def milliseconds_a_call(server: PostgresServer, name: str, way: Way) -> float:
    """One small call after the other over a transport, the median."""
    took = []
    async with counting(server, name, way) as transport:
        database = Database(transport)
        for _ in range(CALLS):
            began = time.perf_counter()
            await database.find_route_of_tenant(tenant_id=UUID(int=0))
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


def main() -> None:
    """Measure and print."""
    servers = PostgresServers()
    try:
        played = measure(servers)
        server = servers.server(VERSIONS[0])
        with server.migrated() as name:
            alone, through = (asyncio.run(milliseconds_a_call(server, name, way)) for way in WAYS)
    except pytest.skip.Exception as missing:
        print(missing)
        return
    finally:
        servers.stop()
    print("| step | calls | and nobody waits for | asyncpg, ms | Data API, ms | ratio |")
    print("|---|---|---|---|---|---|")
    for place, step in enumerate(played["Data API"][0]):
        counts = {(steps[place].on_the_way, steps[place].beside) for way in WAYS for steps in played[way]}
        calls, beside = (" to ".join(map(str, sorted(set(each)))) for each in zip(*counts, strict=True))
        direct, rest = (
            statistics.median(steps[place].seconds for steps in played[way]) * 1000 for way in ("asyncpg", "Data API")
        )
        print(f"| {step.name} | {calls} | {beside} | {direct:.0f} | {rest:.0f} | {rest / direct:.1f} |")
    print(f"| one small call alone | 1 | 0 | {alone:.2f} | {through:.2f} | {through / alone:.1f} |")
    last = played["Data API"][0][-1]
    print(f"\nAn answer calls: {', '.join(f'{name} ({n})' if n > 1 else name for name, n in last.calls.items())}.")


if __name__ == "__main__":
    main()
