"""QD-10: a worker that stood still past its lease wakes up, and neither says nor writes anything more.

A process is stopped by SIGSTOP in the middle of its answers, another takes them over, then the first goes on without
knowing that time has passed. Or its lease ends early, by the database's clock, while the other one is still at work: no
timer of its own is due then, and nothing but the claim's token tells it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from enablebot.tests.database import PostgresServers
from enablebot.tests.faults.instance import Instance
from enablebot.tests.faults.scale import seeded, sized
from enablebot.tests.faults.workshop import (
    CHANNEL,
    REACHED_WITHIN_SECONDS,
    Asked,
    Workshop,
    opened_workshop,
)

pytestmark = [pytest.mark.anyio, pytest.mark.fault, pytest.mark.slow]

PLACES = (CHANNEL, "@bot")
LONG = "Please explain it at length. [[long 60]]"
# Slept through for real, and long enough that a busy machine loses no other lease.
LEASE_SECONDS = 4
STILL_SECONDS = 0.6
# What the worker says when it is told that an event is somebody else's.
REFUSED = ("Somebody else has taken over this event", "no longer ours", "Somebody else has settled this event")


@dataclass(frozen=True)
class Step:
    """Where the worker stands when it is stopped."""

    name: str
    reached: Callable[[Workshop, list[Asked]], Awaitable[bool]]
    gate: str = ""
    word_seconds: float = 0.0
    model_seconds: float = 0.0
    # Whoever takes over has to ask the model first, and is found at work by the one that wakes up.
    asks_again: bool = True


async def _all_wait_for_the_model(workshop: Workshop, asked: list[Asked]) -> bool:
    return all(workshop.model_calls(one) == 1 for one in asked)


async def _all_show_half(workshop: Workshop, asked: list[Asked]) -> bool:
    return all(
        len(message["text"].split()) >= 8 for one in asked for message in workshop.shown(one)[:1] or [{"text": ""}]
    )


async def _all_wait_to_intend(workshop: Workshop, asked: list[Asked]) -> bool:
    return await workshop.waiting("intend_reply") == len(asked)


async def _all_wait_to_save_the_draft(workshop: Workshop, asked: list[Asked]) -> bool:
    return await workshop.waiting("save_draft") == len(asked)


async def _all_wait_to_record(workshop: Workshop, asked: list[Asked]) -> bool:
    return await workshop.waiting("record_reply") == len(asked)


async def _all_wait_to_finish(workshop: Workshop, asked: list[Asked]) -> bool:
    return await workshop.waiting("finish_answer") == len(asked)


# The first three come in `make test`, each lost in one way.
STEPS = (
    Step("before the post", _all_wait_to_intend, gate="intend_reply"),
    Step("mid stream", _all_show_half, word_seconds=0.03),
    Step("before the last update", _all_wait_to_save_the_draft, gate="save_draft"),
    Step("before the model's answer", _all_wait_for_the_model, model_seconds=1.0),
    Step("after the post, before it is recorded", _all_wait_to_record, gate="record_reply"),
    Step("before the end is recorded", _all_wait_to_finish, gate="finish_answer", asks_again=False),
)


@pytest.fixture(scope="module")
async def house(postgres_servers: PostgresServers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Workshop]:
    async with opened_workshop(
        postgres_servers, tmp_path_factory.mktemp("workshop"), WORKER_LEASE_SECONDS=str(LEASE_SECONDS)
    ) as opened:
        yield opened


@pytest.fixture
async def workshop(house: Workshop) -> AsyncIterator[Workshop]:
    await house.tidy()
    yield house
    house.tell()


async def stop_at(workshop: Workshop, step: Step, zombie: Instance, heir: Instance) -> list[Asked]:
    """Bring a question in each place to the step, and stop the process that is about to answer them."""
    workshop.model.desk.pace = step.word_seconds
    if step.model_seconds:
        workshop.model.faults.add("openai.responses", "slow", times=len(PLACES), seconds=step.model_seconds)
    workshop.listen_to(zombie)
    heir.freeze()
    async with workshop.held(*filter(None, [step.gate])):
        asked = [await workshop.ask(LONG, channel=place) for place in PLACES]
        await workshop.until(lambda: step.reached(workshop, asked), seconds=REACHED_WITHIN_SECONDS)
        zombie.freeze()
        assert await workshop.claimed_by(zombie, asked) == {one.mark for one in asked}
        # A network forgets who does not answer: what the database was about to do for it is undone.
        await workshop.cut_off_waiting()
        await workshop.arrived()
    workshop.model.desk.pace = 0.0
    workshop.listen_to(heir)
    heir.thaw()
    return asked


async def taken_over(workshop: Workshop, heir: Instance, asked: list[Asked]) -> None:
    """Wait until another process is at work on all of these questions."""
    async with asyncio.timeout(REACHED_WITHIN_SECONDS):
        while await workshop.claimed_by(heir, asked) != {one.mark for one in asked}:
            await asyncio.sleep(0.01)


async def refused(zombie: Instance, asked: list[Asked]) -> None:
    """Wait until the process has been told of each of these questions that it is somebody else's."""
    async with asyncio.timeout(REACHED_WITHIN_SECONDS):
        while sum(any(word in line for word in REFUSED) for line in zombie.lines) < len(asked):
            await asyncio.sleep(0.02)


async def test_a_worker_that_stood_still_past_its_lease_says_and_writes_nothing_more(workshop: Workshop) -> None:
    rng, struck = seeded("QD-10"), Counter[str]()
    expected = await workshop.said_without_faults(LONG)
    zombie, heir = workshop.instances
    for number in range(max(3, sized(50) // len(PLACES))):
        step = STEPS[number % len(STEPS)]
        ends_early = number != 1 and (number < 3 or rng.random() < 0.5)
        wakes_early = step.asks_again and number != 1 and (number < 1 or rng.random() < 0.5)
        zombie.lines.clear()
        asked = await stop_at(workshop, step, zombie, heir)
        # A shorter stop than the one that a process notices is over before anybody has looked for its messages.
        noticeable = asyncio.create_task(asyncio.sleep(STILL_SECONDS))
        workshop.model.desk.pace = 0.03 if wakes_early else 0.0
        if ends_early:
            await workshop.end_leases(asked)
        if wakes_early:
            await taken_over(workshop, heir, asked)
        else:
            await workshop.until_over(asked)
        await noticeable
        calls = len(workshop.sandbox.ledger.calls)
        zombie.thaw()
        await refused(zombie, asked)
        over = await workshop.until_over(asked)
        name = f"{step.name}, {'by the database only' if ends_early else 'for all'}{', early' if wakes_early else ''}"
        struck[name] += len(asked)
        for one in asked:
            about = f"{name}, {one.mark} in {one.channel}"
            shown = workshop.shown(one)
            assert [message["text"] for message in shown] == [expected], about
            assert shown[0].get("streaming_state") in (None, "completed"), about
            assert over[one.mark]["claimed_by"].split(":")[1] == str(heir.pid), about
            assert over[one.mark]["answer_state"] == "complete", about
            assert not workshop.is_working(one), f"{about}: shown as working again"
        if not wakes_early:
            said = [call.method for call in list(workshop.sandbox.ledger.calls)[calls:] if call.ok]
            assert not said, f"{name}: the one that stood still went on to call {said}"
        zombie, heir = heir, zombie
    assert not workshop.broken_rules()
    print(f"struck: {dict(struck)}")
