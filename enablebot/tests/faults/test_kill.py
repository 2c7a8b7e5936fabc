"""Kill a process at a bad moment; a person still sees exactly one whole answer."""

import asyncio
import os
import signal
from typing import Any

import pytest

from enablebot.tests.faults.conftest import Run
from enablebot.tests.house import House

pytestmark = [pytest.mark.anyio, pytest.mark.fault, pytest.mark.slow]

WORDS = 120
LONG = f"Please explain it at length. [[long {WORDS}]]"
PATIENCE_SECONDS = 45


async def shown(house: House, channel: str, asked: str) -> list[dict[str, Any]]:
    """The bot's messages in the question's thread."""
    return [message for message in await house.workspace.bot_messages(channel) if message.get("thread_ts") == asked]


async def until_half_written(house: House, channel: str, asked: str, *, characters: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            messages = await shown(house, channel, asked)
            if messages and len(messages[0]["text"]) >= characters:
                return
            await asyncio.sleep(0.02)


async def settled(house: House) -> None:
    """Wait until nothing waits in the inbox: whatever was going to be said has been said."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any((await house.inbox_depth()).values()):
            await asyncio.sleep(0.05)


async def until_whole(house: House, channel: str, asked: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not any(
            len(message["text"].split()) >= WORDS and message.get("streaming_state") in (None, "completed")
            for message in await shown(house, channel, asked)
        ):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(("channel", "characters"), [("@bot", 1), ("C0GENERAL", 150)])
async def test_an_api_killed_in_mid_answer_leaves_one_whole_answer(
    in_a_house: Run, channel: str, characters: int
) -> None:
    async def play(house: House) -> None:
        await house.install()
        asked = await house.workspace.post(channel, LONG if channel == "@bot" else f"@EnableBot {LONG}")
        await until_half_written(house, channel, asked, characters=characters)
        os.kill(house.pid("api"), signal.SIGKILL)
        await until_whole(house, channel, asked)
        await settled(house)
        messages = await shown(house, channel, asked)
        assert len(messages) == 1, messages
        assert messages[0].get("streaming_state") in (None, "completed")
        assert messages[0]["text"].count("Once there was a small model") == 1
        ledger = await house.workspace.ledger()
        assert not ledger["violations"]

    await in_a_house(play)


async def test_a_question_acknowledged_just_before_the_kill_is_answered_after_it(in_a_house: Run) -> None:
    async def play(house: House) -> None:
        await house.install()
        asked = await house.workspace.post("C0GENERAL", "@EnableBot Are you there?")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not any(delivery["acknowledged"] for delivery in (await house.workspace.ledger())["deliveries"]):
                await asyncio.sleep(0.001)
        os.kill(house.pid("api"), signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await shown(house, "C0GENERAL", asked):
                await asyncio.sleep(0.05)
        await settled(house)
        assert len(await shown(house, "C0GENERAL", asked)) == 1

    await in_a_house(play)
