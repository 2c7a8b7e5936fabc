"""QD-13: the database answers nothing for a while: events are refused in time, never acknowledged, and work goes on."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import asyncpg
import pytest

from enablebot.tests.faults.driver import Load, until
from enablebot.tests.faults.postgres import LOGIN, OwnPostgres, own_postgres, through
from enablebot.tests.faults.proxy import FaultProxy
from enablebot.tests.faults.scale import FULL, seeded
from enablebot.tests.house import BUSY, House, run

pytestmark = [pytest.mark.anyio, pytest.mark.fault, pytest.mark.slow]

Trouble = Literal["blackhole", "stall", "locked"]
# Longer than an acknowledgement may take, so that its refusal is seen; a minute in the full run.
SILENT_SECONDS = 60.0 if FULL else 4.0
RECOVERS_WITHIN_SECONDS = 5.0 if FULL else 30.0
# The deadline is 2.5 s, Slack's is 3 s: what a busy machine adds lies between.
DECIDED_WITHIN_MS = 3000
POOL = 4
PLAN = replace(BUSY, environ={**BUSY.environ, "DATABASE_POOL_SIZE": str(POOL)})


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[OwnPostgres]:
    with own_postgres(tmp_path) as postgres:
        yield postgres


@dataclass(frozen=True)
class Site:
    """A house whose database lies behind a proxy."""

    house: House
    proxy: FaultProxy
    postgres: OwnPostgres

    @asynccontextmanager
    async def in_trouble(self, trouble: Trouble) -> AsyncIterator[None]:
        """While it lasts, no call of the services is answered."""
        if trouble == "locked":
            # The network is in order: every call waits until the pool is used up.
            connection = await asyncpg.connect(self.postgres.admin_url)
            try:
                async with connection.transaction():
                    await lock_at_once(connection)
                    yield
            finally:
                await connection.close()
        else:
            self.proxy.switch(trouble)
            yield
            self.proxy.switch("pass")

    async def sessions(self) -> int:
        """How many sessions the services hold on the server."""
        connection = await asyncpg.connect(self.postgres.admin_url)
        try:
            counted = await connection.fetchval("select count(*) from pg_stat_activity where usename = $1", LOGIN)
        finally:
            await connection.close()
        return int(counted)


async def lock_at_once(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Both tables, between two calls of the services: whoever waited for the one with the other would deadlock them."""
    async with asyncio.timeout(30):
        while True:
            try:
                async with connection.transaction():
                    await connection.execute("lock table enablebot.inbox, enablebot.dedupe_keys nowait")
            except asyncpg.LockNotAvailableError:
                await asyncio.sleep(0.01)
            else:
                return


async def test_a_silent_database_gets_events_refused_in_time_and_leaves_nothing_behind(
    postgres: OwnPostgres, tmp_path: Path
) -> None:
    chance = seeded("QD-13")

    async def play(site: Site) -> None:
        house, load = site.house, Load(site.house)
        await house.gather(workspaces=5)
        await load.talk(messages=100_000, per_second=10, seed=chance.randrange(1 << 30))
        await load.until_sent(40, hushed=False)
        troubles: list[Trouble] = (
            ["blackhole", "stall", "locked"] if FULL else [chance.choice(["blackhole", "stall", "locked"])]
        )
        for trouble in troubles:
            began = time.time()
            async with site.in_trouble(trouble):
                await asyncio.sleep(SILENT_SECONDS)
                over = time.time()
            for name in house.apis:
                await house.until_ready(name, within=RECOVERS_WITHIN_SECONDS)
            await refused_in_time(house, load, began=began, over=over)
        await house.control("talk", messages=0)
        await load.verdict()
        assert [house.running(name).starts for name in house.apis] == [1, 1], "a process of ours was started again"

        async def few() -> bool:
            return await site.sessions() <= POOL * len(house.apis) and site.proxy.open_connections <= POOL * 2

        await until(few, what=f"{await site.sessions()} sessions are held, more than the pools may", within=30)

    async with FaultProxy(postgres.socket) as proxy:
        await run(
            lambda house: play(Site(house, proxy, postgres)),
            plan=PLAN,
            services_url=through(proxy.port, postgres.services_url),
            admin_url=postgres.admin_url,
            data_dir=tmp_path / "data",
            at_owners=lambda _: postgres.services_url,
        )


async def refused_in_time(house: House, load: Load, *, began: float, over: float) -> None:
    """What Slack sent meanwhile was answered with 503, and soon enough for Slack to hear it."""
    asked = {one.place for one in (await load.history()).asked}
    deliveries = [
        one
        for one in (await house.look("ledger"))["deliveries"]
        # A first attempt that began well before the end was decided before it, too.
        if began + 0.5 < one["at"] < over - 3 and (one["team"], one["channel"], one["ts"]) in asked
    ]
    first = [one["attempts"][0] for one in deliveries if one["attempts"]]
    assert first, "nothing was sent meanwhile"
    assert not [one for one in first if one["status"] == 200], "acknowledged without a database"
    late = [one for one in first if one["status"] is None or one["ms"] > DECIDED_WITHIN_MS]
    assert not late or not FULL, f"{len(late)} of {len(first)} were not decided in time: {late[:3]}"
    assert len(late) <= len(first) / 2, f"{len(late)} of {len(first)} were not decided in time: {late[:3]}"
    assert {one["status"] for one in first} <= {503, None}
