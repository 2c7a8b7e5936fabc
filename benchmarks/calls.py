"""Function calls a second from one process: behind the tenant wall, without it, and the same over Supabase's Data API.

Prints one table. The call is one indexed read of one event. Behind the wall it is made as every operation is: by a
login that may execute and nothing else, into a SECURITY DEFINER function with a fixed search_path that first declares
its tenant, over tables whose row-level security is forced. The same function without the wall has none of that, and
its caller is a superuser, whom no policy binds. Both go through the same transport with the same held connections.
PostgREST stands where Supabase's does, behind the tests' gateway and without it. Medians of interleaved rounds on one
Postgres of our own.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from benchmarks.queueing.place import add_waiting, add_workspaces, place, tidy
from benchmarks.queueing.rounds import medians, table
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.database.supabase import SupabaseTransport
from enablebot.shared.database.transport import Transport
from enablebot.tests.database import LOGINS, PASSWORD, PostgresServer
from enablebot.tests.postgrest import data_api

CONNECTIONS, AT_ONCE = 10, 64

_FUNCTIONS = """
    create function enablebot.read_walled(p_tenant_id uuid, p_id bigint) returns jsonb
    language plpgsql security definer
    set search_path = pg_catalog, enablebot, pg_temp
    as $$
    begin
      perform enablebot.work_for(array[p_tenant_id]);
      return (
        select jsonb_build_object('id', i.id, 'state', i.state, 'lane', i.lane)
        from enablebot.inbox i where i.tenant_id = p_tenant_id and i.id = p_id);
    end
    $$;
    alter function enablebot.read_walled owner to enablebot_owner;
    revoke all on function enablebot.read_walled from public;
    grant execute on function enablebot.read_walled to enablebot_api, service_role;

    create function enablebot.read_bare(p_tenant_id uuid, p_id bigint) returns jsonb
    language plpgsql
    as $$
    begin
      return (
        select jsonb_build_object('id', i.id, 'state', i.state, 'lane', i.lane)
        from enablebot.inbox i where i.tenant_id = p_tenant_id and i.id = p_id);
    end
    $$;"""


@dataclass(frozen=True)
class Sizes:
    """How many calls make a round, and how many rounds."""

    calls: int
    rest_calls: int
    rounds: int


WHOLE, QUICK = Sizes(30_000, 3_000, 5), Sizes(2_000, 200, 1)


@dataclass(frozen=True)
class Event:
    """What is read, and so of one tenant only."""

    tenant_id: UUID
    id: int


async def _events(url: str) -> list[Event]:
    await add_waiting(url, await add_workspaces(url, 200), 20_000)
    admin = await asyncpg.connect(url)
    try:
        await admin.execute(_FUNCTIONS)
        rows = await admin.fetch("select tenant_id, id from enablebot.inbox order by id limit 1000")
    finally:
        await admin.close()
    await tidy(url)
    return [Event(row["tenant_id"], row["id"]) for row in rows]


async def rate(
    open_transport: Callable[[], Awaitable[Transport]], function: str, events: list[Event], calls: int
) -> float:
    """Calls a second, 64 under way at once."""
    transport = await open_transport()
    left = iter(range(calls))

    async def some() -> None:
        for number in left:
            event = events[number % len(events)]
            found = await transport.call(function, {"p_tenant_id": event.tenant_id, "p_id": event.id})
            assert found["id"] == event.id

    try:
        # Connections are opened and statements prepared before.
        await asyncio.gather(
            *(
                transport.call(function, {"p_tenant_id": events[0].tenant_id, "p_id": events[0].id})
                for _ in range(AT_ONCE)
            )
        )
        began = time.perf_counter()
        await asyncio.gather(*(some() for _ in range(AT_ONCE)))
        return calls / (time.perf_counter() - began)
    finally:
        await transport.aclose()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small and once: to see that it runs")
    sizes = QUICK if parser.parse_args().quick else WHOLE
    with place() as found:
        # Supabase's roles first: migrations grant to them where they are.
        server = PostgresServer(found.server.url(), is_ours=False)
        asyncio.run(server.prepare())
        url = asyncio.run(found.make_ours("calls"))
        asyncio.run(_add_login(url))
        events = asyncio.run(_events(url))
        with data_api(server, "calls") as api:

            def over_asyncpg(address: str, function: str) -> Callable[[], float]:
                return lambda: asyncio.run(
                    rate(
                        lambda: PostgresTransport.connect(address, pool_size=CONNECTIONS), function, events, sizes.calls
                    )
                )

            rates = medians(
                {
                    "behind the wall, asyncpg": over_asyncpg(
                        server.url("calls", login="enablebot_test_api"), "read_walled"
                    ),
                    "without the wall, asyncpg": over_asyncpg(url, "read_bare"),
                    "behind the wall, Data API": lambda: asyncio.run(
                        rate(
                            lambda: SupabaseTransport.connect(api.url, api.key()),
                            "read_walled",
                            events,
                            sizes.rest_calls,
                        )
                    ),
                },
                sizes.rounds,
            )
    bare = rates["without the wall, asyncpg"]
    goals = {"behind the wall, asyncpg": "10,000/s and 0.6 of the one without"}
    print(f"One indexed read a call, one process, {CONNECTIONS} connections, {AT_ONCE} calls under way\n")
    rows = [[name, f"{found:,.0f}", f"{found / bare:.2f}", goals.get(name, "")] for name, found in rates.items()]
    print(table(["", "calls a second", "x without the wall", "goal"], rows))


async def _add_login(url: str) -> None:
    admin = await asyncpg.connect(url)
    try:
        login = "enablebot_test_api"
        await admin.execute(f"create role {login} login password '{PASSWORD}'")
        await admin.execute(f"grant {', '.join(LOGINS[login])} to {login}")
    finally:
        await admin.close()


if __name__ == "__main__":
    main()
