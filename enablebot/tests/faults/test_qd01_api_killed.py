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

# A mention is delivered as two events, and each answer brings back events about our own message and its thread.
EVENTS_A_MESSAGE = 4
EVENTS, KILLS = sized(20_000), sized(200)


async def test_apis_killed_at_any_moment_lose_nothing_and_answer_nothing_twice(in_a_house: Run) -> None:
    chance = seeded("QD-1")
    kills = 0

    async def play(house: House) -> None:
        nonlocal kills
        await house.gather(workspaces=20)
        load = Load(house)
        # The talk is at least as long as the kills.
        messages = EVENTS // EVENTS_A_MESSAGE
        await load.talk(messages=messages, per_second=messages / (KILLS * 0.6), seed=chance.randrange(1 << 30))
        while kills < KILLS or not await load.is_over():
            await asyncio.sleep(chance.uniform(0.05, 0.6))
            kills += await kill_one(house, chance)
        # A process that starts has opened its door before it answers; on a busy machine that can take Slack's 3 s.
        account = await load.verdict(excused_violations=frozenset({"late_acknowledgement"}))
        assert account.sent >= EVENTS, "the load was not as large as it says"
        assert account.endings["answered"] == sum(account.endings.values()), "something was not simply answered"

    await in_a_house(play, BUSY)


async def kill_one(house: House, chance: random.Random) -> int:
    """Kill one of the instances that run; 0 where none does at this moment."""
    alive = [pid for name in house.apis if (pid := house.running(name).pid)]
    if not alive:
        return 0
    os.kill(chance.choice(alive), signal.SIGKILL)
    return 1
