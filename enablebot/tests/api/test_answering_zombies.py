"""A process that stood still past its lease wakes up in mid-answer: whatever it was about to do, nobody sees it."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from enablebot.api.answering.fence import Fence, Pulse
from enablebot.shared.errors import StaleClaim
from enablebot.tests.api.answering_room import GENERAL, SETTLED, Recorded, Room, opened_house
from enablebot.tests.api.dying import STILL_SECONDS, StruckModel, zombie_of
from enablebot.tests.database import PostgresServers

pytestmark = pytest.mark.anyio

SENTENCES = tuple(f"Sentence number {number}. " for number in range(60))
CHANNELS = pytest.mark.parametrize("channel", ["@bot", GENERAL])


@pytest.fixture(scope="module")
async def house(postgres_servers: PostgresServers) -> AsyncIterator[Room]:
    async with opened_house(postgres_servers) as opened:
        yield opened


@pytest.fixture
async def room(house: Room) -> AsyncIterator[Room]:
    fresh = await house.fresh()
    yield fresh
    await fresh.leave()


def assert_whole(text: str) -> None:
    assert text.split() == "".join(SENTENCES).split()


@CHANNELS
@pytest.mark.parametrize(
    ("function", "when"),
    [
        pytest.param("open_answer", {}, id="opened"),
        pytest.param("intend_reply", {}, id="about-to-open"),
        pytest.param("record_reply", {}, id="about-to-grow"),
        pytest.param("save_draft", {}, id="about-to-show-the-end"),
        pytest.param("record_reply", {"number": 2, "before": True}, id="about-to-record-the-end"),
        pytest.param("record_reply", {"number": 2}, id="about-to-finish"),
    ],
)
async def test_whoever_stood_still_while_another_answered_calls_slack_no_more(
    room: Room, channel: str, function: str, when: dict[str, Any]
) -> None:
    question = await room.ask("@EnableBot go on", channel=channel)
    async with zombie_of(room, question) as zombie:
        zombie.heirs_words = SENTENCES

        with pytest.raises(StaleClaim):
            await zombie.service(Recorded(*SENTENCES, delay=0.002), at=function, **when).answer(question)

        assert zombie.has_slept
        assert zombie.calls_since == []
    assert_whole(room.the_answer(question))
    assert await room.inbox(question) == ("done", "done")


@CHANNELS
@pytest.mark.parametrize("number", [1, 3, 20, 59])
async def test_whoever_stood_still_in_mid_text_shows_no_more_of_it(room: Room, channel: str, number: int) -> None:
    question = await room.ask("@EnableBot go on", channel=channel)
    async with zombie_of(room, question) as zombie:
        zombie.heirs_words = SENTENCES
        model = StruckModel(*SENTENCES, act=zombie.stand_still, number=number, delay=0.005)

        with pytest.raises(StaleClaim):
            await zombie.service(model).answer(question)

        assert zombie.has_slept
        assert zombie.calls_since == []
    assert_whole(room.the_answer(question))


async def test_whoever_stood_still_and_is_still_the_one_goes_on(room: Room) -> None:
    async def stand_still() -> None:
        time.sleep(2 * STILL_SECONDS)  # noqa: ASYNC251 - that is what is tested

    question = await room.ask("@EnableBot go on", channel="@bot")
    model = StruckModel(*SENTENCES, act=stand_still, number=20, delay=0.005)

    assert await room.service(model=model, pulse=Pulse(still_seconds=STILL_SECONDS)).answer(question) == SETTLED

    assert_whole(room.the_answer(question))
    assert room.calls("chat.startStream") == 1


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_the_fence_closes_at_a_standstill_and_opens_only_when_the_database_confirms() -> None:
    clock, asked = Hands(), list[int]()
    pulse = Pulse(still_seconds=0.5, clock=clock)

    async def confirm() -> None:
        asked.append(1)

    fence = Fence(pulse, confirm)
    await fence.pass_through()
    clock.now += 0.4
    await fence.pass_through()
    assert asked == []

    clock.now += 0.6
    assert not fence.is_open()
    # Nobody has confirmed anything yet, however often it is looked at.
    assert not fence.is_open()
    await fence.pass_through()
    assert fence.is_open()
    assert asked == [1]


async def test_a_standstill_during_the_confirmation_makes_it_old() -> None:
    clock, asked = Hands(), list[int]()
    pulse = Pulse(still_seconds=0.5, clock=clock)

    async def confirm() -> None:
        asked.append(1)
        if len(asked) == 1:
            clock.now += 20

    fence = Fence(pulse, confirm)
    clock.now += 20
    await fence.pass_through()

    assert asked == [1, 1]


async def test_a_lost_fence_never_opens_again() -> None:
    clock = Hands()
    pulse = Pulse(still_seconds=0.5, clock=clock)
    answers: list[Exception | None] = [StaleClaim("gone"), None]

    async def confirm() -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    fence = Fence(pulse, confirm)
    clock.now += 20
    for _ in range(2):
        with pytest.raises(StaleClaim):
            await fence.pass_through()
        answers.insert(0, StaleClaim("gone"))
    assert not fence.is_open()


async def test_the_pulse_is_felt_while_an_answer_is_under_way_so_that_calm_is_no_standstill() -> None:
    pulse = Pulse(still_seconds=0.3)
    with pulse.taken():
        before = pulse.stops()
        await asyncio.sleep(0.7)
        assert pulse.stops() == before
        time.sleep(0.35)  # noqa: ASYNC251 - that is what is tested
        assert pulse.stops() == before + 1
