"""QD-1: kill -9 an api at any moment, again and again, while Slack delivers to both: nothing lost, nothing twice."""

import asyncio
import os
import random
import signal

import pytest

from enablebot.tests.faults.conftest import Run
from enablebot.tests.faults.driver import Load
from enablebot.tests.faults.scale import seeded, sized
from enablebot.tests.house import BUSY, House

pytestmark = [pytest.mark.anyio, pytest.mark.fault, pytest.mark.slow]

EVENTS, KILLS = sized(20_000), sized(200)


async def test_apis_killed_at_any_moment_lose_nothing_and_answer_nothing_twice(in_a_house: Run) -> None:
    chance = seeded("QD-1")
    kills = 0

    async def play(house: House) -> None:
        nonlocal kills
        await house.gather(workspaces=20)
        load = Load(house)
        # A message is some five events: twins, and what comes back of its answer. They last as long as the kills.
        await load.talk(messages=EVENTS, per_second=EVENTS / 5 / (KILLS * 0.8), seed=chance.randrange(1 << 30))
        while kills < KILLS:
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            kills += await kill_one(house, chance)
        await load.until_sent(EVENTS)
        account = await load.verdict()
        # Who lost three claims in a row is told so, which many kills in a row bring about now and then.
        assert account.endings["answered"] >= 0.9 * sum(account.endings.values()), "too few were simply answered"

    await in_a_house(play, BUSY)


async def kill_one(house: House, chance: random.Random) -> int:
    """Kill one of the instances that run; 0 where none does at this moment."""
    alive = [pid for name in house.apis if (pid := house.running(name).pid)]
    if not alive:
        return 0
    os.kill(chance.choice(alive), signal.SIGKILL)
    return 1
