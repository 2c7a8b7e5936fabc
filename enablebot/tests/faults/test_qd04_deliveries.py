"""QD-4: events come one to four times, side by side, in any order, as do their twins; each question has one answer."""

from dataclasses import replace

import pytest

from enablebot.tests.faults.conftest import Run
from enablebot.tests.faults.driver import Load
from enablebot.tests.faults.scale import seeded, sized
from enablebot.tests.house import BUSY, House

pytestmark = [pytest.mark.anyio, pytest.mark.fault, pytest.mark.slow]

MESSAGES = sized(2_000)
# Besides questions: talk among people, another app that names the bot, questions edited while they are answered.
MIX = {"mention": 5.0, "follow_up": 2.0, "dm": 2.0, "aside": 1.0, "robot": 1.0, "edit": 1.0}
# Twins and copies overtake each other, and meet in both instances.
SCATTERED = replace(BUSY, sandbox_flags=(*BUSY.sandbox_flags, "--copies", "4", "--scatter-ms", "100"))


async def test_each_question_is_answered_once_however_often_and_in_whatever_order_it_comes(in_a_house: Run) -> None:
    chance = seeded("QD-4")

    async def play(house: House) -> None:
        await house.gather(workspaces=10)
        load = Load(house)
        await load.talk(messages=MESSAGES, per_second=40, seed=chance.randrange(1 << 30), mix=MIX)
        await load.until_over()
        account = await load.verdict()
        history = await load.history()
        assert account.endings == {"answered": len(history.asked)}
        assert account.sent > 2 * len(history.asked), "hardly anything came more than once"

    await in_a_house(play, SCATTERED)
