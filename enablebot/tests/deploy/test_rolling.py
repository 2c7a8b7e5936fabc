"""Instances that restart one after the other behind nginx: Slack and people notice nothing."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import asyncpg
import pytest

from enablebot.tests.deploy.conftest import Run
from enablebot.tests.faults.driver import Load
from enablebot.tests.faults.scale import FULL, seeded
from enablebot.tests.house import BUSY, House

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

INSTANCES = ("api-8001", "api-8011")

# A restart of a process takes a while, however small the test is.
RESTARTS = 100 if FULL else 3
# A mention is delivered as two events, and each answer brings back events of our own: 50 requests a second and more.
MESSAGES_PER_SECOND = 13
# What a process is given to leave: longer than DRAIN_SECONDS, as every home here grants.
LEAVE_SECONDS = 30
COMPLAINTS = (
    "never awaited",
    "was destroyed",
    "never retrieved",
    "cut off",
    "before everything was closed",
    "Traceback",
)


@pytest.mark.fault
async def test_a_rolling_restart_under_load_refuses_nothing_loses_nothing_and_repeats_nothing(
    behind_nginx: Run,
) -> None:
    chance = seeded("OP-4")

    async def play(house: House) -> None:
        await house.install()
        await house.gather(workspaces=10)
        load = Load(house)
        restarts = 0
        # The talk lasts about as long as the restarts.
        await load.talk(
            messages=RESTARTS * 2 * MESSAGES_PER_SECOND, per_second=MESSAGES_PER_SECOND, seed=chance.randrange(1 << 30)
        )
        while restarts < RESTARTS or not await load.is_over():
            name = INSTANCES[restarts % 2]
            async with watched(house, name) as said:
                left = await leave(house, name)
            assert said[0] == 200, said
            assert 503 in said, f"{name} was ready until it was gone: {said}"
            assert await held_by(house, left) == 0, f"{name} left with events in its hands"
            restarts += 1
            await house.until_ready(name)
        account = await load.verdict()
        assert account.endings["answered"] == sum(account.endings.values()) > 0
        ledger = await house.workspace.ledger()
        refused = [one for one in ledger["deliveries"] if len(one["attempts"]) != 1 or not one["acknowledged"]]
        assert not refused, refused
        ends = [line for line in house.lines if line.startswith("api-") and " ended (" in line]
        assert len(ends) == restarts
        assert all("exit code 0" in end for end in ends), ends
        assert not [line for line in house.lines if any(each in line for each in COMPLAINTS)]

    plan = replace(
        BUSY,
        # Answers take most of a second, so that some are under way whenever an instance leaves.
        model_delay_ms=40,
        # A claim that is not given back when its instance leaves would stay for longer than this test.
        lease_seconds=60,
    )
    await behind_nginx(play, plan)


@asynccontextmanager
async def watched(house: House, name: str) -> AsyncIterator[list[int]]:
    """What the readiness page of one instance answers, over and over, until nobody answers; changes only."""
    url = house.running(name).child.ready_url
    said: list[int] = []
    async with aiohttp.ClientSession() as session:

        async def ask() -> int | None:
            try:
                async with session.get(url) as response:
                    return response.status
            except aiohttp.ClientError:
                return None

        async def watch() -> None:
            while (status := await ask()) is not None:
                if said[-1:] != [status]:
                    said.append(status)
                await asyncio.sleep(0.01)

        watching = asyncio.create_task(watch())
        while not said:
            await asyncio.sleep(0.01)
        yield said
        await watching


async def leave(house: House, name: str) -> int:
    """Send SIGTERM, as systemd does, and wait until the process is gone; returns which it was."""
    pid = house.pid(name)
    os.kill(pid, signal.SIGTERM)
    async with asyncio.timeout(LEAVE_SECONDS):
        while house.running(name).pid == pid:
            await asyncio.sleep(0.02)
    return pid


async def held_by(house: House, pid: int) -> int:
    """How many claims a process that is gone still holds."""
    connection = await asyncpg.connect(house.admin_url)
    try:
        return int(
            await connection.fetchval(
                "select count(*) from enablebot.inbox where state = 'claimed' and claimed_by like $1", f"%:{pid}:%"
            )
        )
    finally:
        await connection.close()
