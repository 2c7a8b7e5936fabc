"""Kill a process at a bad moment; a person still sees exactly one whole answer."""

import asyncio
import os
import signal
from typing import Any

import pytest

from enablebot.tests.faults.conftest import House, Run

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LONG = "Please explain it at length. [[long 120]]"
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


@pytest.mark.parametrize("channel", ["@bot", "C0GENERAL"])
@pytest.mark.parametrize("characters", [1, 150])
async def test_an_api_killed_in_mid_answer_leaves_one_whole_answer(
    in_a_house: Run, channel: str, characters: int
) -> None:
    async def play(house: House) -> None:
        await house.install()
        asked = await house.workspace.post(channel, LONG if channel == "@bot" else f"@EnableBot {LONG}")
        await until_half_written(house, channel, asked, characters=characters)
        os.kill(house.pid("api"), signal.SIGKILL)
        whole = await house.workspace.answer_to(asked, channel=channel)
        assert len(whole["text"].split()) >= 120
        await asyncio.sleep(3)
        messages = await shown(house, channel, asked)
        assert [message["text"] for message in messages] == [whole["text"]]
        assert messages[0].get("streaming_state") in (None, "completed")
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
        await house.workspace.answer_to(asked, channel="C0GENERAL")
        await asyncio.sleep(2)
        assert len(await shown(house, "C0GENERAL", asked)) == 1

    await in_a_house(play)
