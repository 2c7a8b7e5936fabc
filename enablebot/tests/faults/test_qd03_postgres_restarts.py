"""QD-3: Postgres crashes again and again under load: nothing acknowledged is lost, and work goes on by itself."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from enablebot.tests.faults.driver import Load
from enablebot.tests.faults.postgres import OwnPostgres, own_postgres
from enablebot.tests.faults.scale import FULL, seeded, sized
from enablebot.tests.house import BUSY, House, run

pytestmark = [pytest.mark.anyio, pytest.mark.fault, pytest.mark.slow]

EVENTS, RESTARTS = sized(10_000), sized(100)
# The promise is five seconds; beside other tests, on a machine of two cores, it is given more.
FLOWS_AGAIN_WITHIN_SECONDS = 5.0 if FULL else 30.0
_CLAIMING = ("claim_events", "claim_urgent_events")


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[OwnPostgres]:
    # It flushes nothing by itself for ten seconds: what is only promised to be there is then seen to be lost.
    with own_postgres(tmp_path, settings={"wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"}) as postgres:
        yield postgres


async def test_a_postgres_that_crashes_under_load_loses_nothing_and_needs_no_restart_of_ours(
    postgres: OwnPostgres, tmp_path: Path
) -> None:
    chance = seeded("QD-3")

    async def play(house: House) -> None:
        await house.gather(workspaces=20)
        load = Load(house)
        await load.talk(messages=EVENTS, per_second=12, seed=chance.randrange(1 << 30))
        # At first nobody claims: without other commits that flush the log along, each acknowledgement stands alone.
        await let_claim(postgres, allowed=False)
        for number in range(RESTARTS):
            await asyncio.sleep(chance.uniform(0.1, 0.8))
            await restart(postgres, chance)
            for name in house.apis:
                await house.until_ready(name, within=FLOWS_AGAIN_WITHIN_SECONDS)
            if number == RESTARTS // 2:
                await let_claim(postgres, allowed=True)
        await load.until_sent(EVENTS)
        account = await load.verdict()
        assert account.endings["answered"] == sum(account.endings.values()), "something was not simply answered"
        assert [house.running(name).starts for name in house.apis] == [1, 1], "a process of ours was started again"

    await run(
        play,
        plan=BUSY,
        services_url=postgres.services_url,
        admin_url=postgres.admin_url,
        data_dir=tmp_path / "data",
    )


async def restart(postgres: OwnPostgres, chance: random.Random) -> None:
    """Crash the server, leave it down for a moment, and bring it back."""
    await asyncio.to_thread(postgres.strike)
    await asyncio.sleep(chance.uniform(0, 0.2))
    await asyncio.to_thread(postgres.revive)


async def let_claim(postgres: OwnPostgres, *, allowed: bool) -> None:
    """Allow or forbid the api to take events out of the inbox."""
    connection = await asyncpg.connect(postgres.admin_url)
    try:
        for function in _CLAIMING:
            change = f"grant execute on function enablebot.{function} to enablebot_api"
            if not allowed:
                change = change.replace("grant", "revoke").replace(" to ", " from ")
            await connection.execute(change)
    finally:
        await connection.close()
