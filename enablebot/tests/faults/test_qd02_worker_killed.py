"""QD-2: kill -9 the worker at every step of an answer; a person still gets the whole answer, and gets it once.

Several questions are brought to the same step, each is one moment; then their process is killed for real.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from enablebot.api.answering.reasons import RETRY_ACTION
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

PLACES = (CHANNEL, CHANNEL, "@bot", "@bot")
LONG = "Please explain it at length. [[long 60]]"
SLOW_WORD_SECONDS = 0.01


@dataclass(frozen=True)
class Step:
    """A step of the answer: what keeps the worker there, and how to see that every question has come to it."""

    name: str
    reached: Callable[[Workshop, list[Asked]], Awaitable[bool]]
    places: tuple[str, ...] = PLACES
    gates: tuple[str, ...] = ()
    # Calls of Slack that hang, without effect: method, and a text that is in them.
    hangs: tuple[tuple[str, str], ...] = ()
    word_seconds: float = 0.0
    echo_may_come: bool = True
    # Statements under way may still arrive after their process is gone, unless the step would be another one then.
    arrives_late: bool = False
    extra_model_calls: int = 1


async def _all_wait_to_open(workshop: Workshop, asked: list[Asked]) -> bool:
    return await workshop.waiting("open_answer") == len(asked)


async def _all_are_answered_by_the_model(workshop: Workshop, asked: list[Asked]) -> bool:
    drafts, intents = await workshop.waiting("save_draft"), await workshop.waiting("intend_reply")
    return drafts == intents == len(asked)


async def _all_hang_in_slack(workshop: Workshop, _asked: list[Asked]) -> bool:
    return not workshop.sandbox.faults.left()


async def _all_wait_to_record(workshop: Workshop, asked: list[Asked]) -> bool:
    return await workshop.waiting("record_reply") == len(asked)


async def _all_wait_to_finish(workshop: Workshop, asked: list[Asked]) -> bool:
    return await workshop.waiting("finish_answer") == len(asked)


async def _all_are_recorded(workshop: Workshop, asked: list[Asked]) -> bool:
    recorded = await workshop.admin.fetchval(
        "select count(*) from enablebot.replies r join enablebot.answers a on a.id = r.answer_id "
        "where a.channel || ':' || a.thread_ts = any ($1) and r.recorded_at is not null",
        [one.lane for one in asked],
    )
    return bool(recorded == len(asked))


_OPENINGS = (("chat.postMessage", ""), ("chat.startStream", "")) * 2
_IDLE = ("agents.sessions.setStatus", '"status":"active"')
# The first six come in `make test`, once each.
STEPS = (
    Step("after the claim", _all_wait_to_open, gates=("open_answer",), arrives_late=True),
    Step("after the model's answer", _all_are_answered_by_the_model, gates=("save_draft", "intend_reply")),
    Step("before the post", _all_hang_in_slack, hangs=_OPENINGS),
    Step("posted, not recorded", _all_wait_to_record, gates=("record_reply",), echo_may_come=False),
    Step("recorded, not finished", _all_wait_to_finish, gates=("finish_answer",), extra_model_calls=0),
    Step(
        "whole, and still shown as at work",
        _all_hang_in_slack,
        places=(CHANNEL,) * 4,
        hangs=(_IDLE,) * 4,
        word_seconds=0.002,
        extra_model_calls=0,
    ),
    Step("posted, not recorded, and Slack tells us", _all_wait_to_record, gates=("record_reply",)),
    Step("recorded, in mid answer", _all_are_recorded, word_seconds=SLOW_WORD_SECONDS),
)


async def strike(workshop: Workshop, step: Step, victim: Instance, heir: Instance, rng: random.Random) -> list[Asked]:
    """Bring a question in each place to the step, and kill the process that was about to answer them."""
    workshop.model.desk.pace = step.word_seconds
    workshop.withheld = not step.echo_may_come
    for method, text in step.hangs:
        workshop.sandbox.faults.add(method, "hang", containing=text)
    workshop.listen_to(victim)
    # Or it might be quicker to claim some of them.
    heir.freeze()
    async with workshop.held(*step.gates):
        asked = [await workshop.ask(LONG, channel=place) for place in step.places]
        await workshop.until(lambda: step.reached(workshop, asked), seconds=REACHED_WITHIN_SECONDS)
        assert await workshop.claimed_by(victim, asked) == {one.mark for one in asked}
        workshop.listen_to(heir)
        await victim.kill()
        if not step.arrives_late or rng.random() < 0.5:
            await workshop.cut_off_waiting()
        await workshop.arrived()
    heir.thaw()
    return asked


async def strike_at_random(
    workshop: Workshop, victim: Instance, heir: Instance, rng: random.Random, struck: Counter[str]
) -> list[Asked]:
    """Kill at any moment at all; `struck` counts the questions that the process still held."""
    workshop.model.desk.pace = SLOW_WORD_SECONDS
    workshop.withheld = False
    workshop.listen_to(victim)
    heir.freeze()
    asked = [await workshop.ask(LONG, channel=place) for place in PLACES]
    async with asyncio.timeout(REACHED_WITHIN_SECONDS):
        while len(await workshop.events(asked)) < len(asked):
            await asyncio.sleep(0.01)
    await asyncio.sleep(rng.uniform(0, 0.8))
    workshop.listen_to(heir)
    struck["at random"] += len(await workshop.claimed_by(victim, asked))
    await victim.kill()
    await workshop.arrived()
    heir.thaw()
    return asked


async def kill_who_took_over(
    workshop: Workshop,
    heir: Instance,
    next_heir: Instance,
    asked: list[Asked],
    rng: random.Random,
    struck: Counter[str],
) -> None:
    """Kill the process that is healing what the first one left, at any moment at all."""
    await next_heir.ready()
    await asyncio.sleep(rng.uniform(0, 0.5))
    workshop.listen_to(next_heir)
    next_heir.freeze()
    struck["at random, while healing"] += len(await workshop.claimed_by(heir, asked))
    await heir.kill()
    await workshop.arrived()
    next_heir.thaw()
    await heir.start()


@pytest.fixture(scope="module")
async def house(postgres_servers: PostgresServers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Workshop]:
    async with opened_workshop(postgres_servers, tmp_path_factory.mktemp("workshop")) as opened:
        yield opened


@pytest.fixture
async def workshop(house: Workshop) -> AsyncIterator[Workshop]:
    await house.tidy()
    yield house
    house.tell()


async def test_wherever_a_worker_is_killed_each_question_gets_its_whole_answer_once(workshop: Workshop) -> None:
    rng, struck = seeded("QD-2"), Counter[str]()
    expected = await workshop.said_without_faults(LONG)
    victim, heir = workshop.instances
    for number in range(max(6, sized(200) // len(PLACES))):
        # At full size all the steps, and any moment, again and again.
        place = number % (len(STEPS) + 1)
        step = STEPS[place] if place < len(STEPS) else None
        await victim.ready()
        if step:
            asked = await strike(workshop, step, victim, heir, rng)
            struck[step.name] += len(asked)
        else:
            asked = await strike_at_random(workshop, victim, heir, rng, struck)
        name = step.name if step else "at random"
        await victim.start()
        await workshop.end_leases(asked)
        extra = step.extra_model_calls if step else 1
        if step is None and rng.random() < 0.5:
            await kill_who_took_over(workshop, heir, victim, asked, rng, struck)
            await workshop.end_leases(asked)
            extra = 2
        over = await workshop.until_over(asked)
        for one in asked:
            about = f"{name}, {one.mark} in {one.channel}"
            shown = workshop.shown(one)
            assert [message["text"] for message in shown] == [expected], about
            assert shown[0].get("streaming_state") in (None, "completed"), about
            assert over[one.mark]["answer_state"] == "complete", f"{about}: {over[one.mark]}"
            assert not workshop.is_working(one), f"{about}: still shown as working"
            assert workshop.model_calls(one) <= 1 + extra, about
        workshop.model.desk.asked.clear()
        victim, heir = heir, victim
    assert not workshop.broken_rules()
    print(f"struck: {dict(struck)}")


async def test_where_slack_refuses_the_look_up_a_kill_costs_at_most_a_note_and_says_so(workshop: Workshop) -> None:
    rng = seeded("QD-2, no look-up")
    unknown = next(step for step in STEPS if not step.echo_may_come)
    victim, heir = workshop.instances
    for _ in range(max(1, sized(40) // len(PLACES))):
        await victim.ready()
        workshop.sandbox.faults.add("conversations.replies", "error", error="missing_scope", times=10_000)
        asked = await strike(workshop, unknown, victim, heir, rng)
        await victim.start()
        await workshop.end_leases(asked)
        over = await workshop.until_over(asked)
        for one in asked:
            notes = [message for message in workshop.shown(one) if RETRY_ACTION in str(message.get("blocks"))]
            assert len(workshop.shown(one)) == 2, workshop.shown(one)
            assert len(notes) == 1, workshop.shown(one)
            assert over[one.mark]["answer_state"] == "ambiguous", over[one.mark]
            assert not workshop.is_working(one), f"{one.mark} in {one.channel}: still shown as working"
        assert f"enablebot_replies_ambiguous_total {float(len(asked))}" in await heir.metrics()
        victim, heir = heir, victim
