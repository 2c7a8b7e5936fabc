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
from enablebot.tests.faults.scale import seeded, sized
from enablebot.tests.faults.workshop import (
    CHANNEL,
    REACHED_WITHIN_SECONDS,
    Asked,
    Instance,
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
    gates: tuple[str, ...] = ()
    hangs: tuple[str, ...] = ()
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


async def _all_hang_in_their_post(workshop: Workshop, _asked: list[Asked]) -> bool:
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


POSTING = ("chat.postMessage", "chat.postMessage", "chat.startStream", "chat.startStream")
STEPS = (
    Step("after the claim", _all_wait_to_open, gates=("open_answer",), arrives_late=True),
    Step("after the model's answer", _all_are_answered_by_the_model, gates=("save_draft", "intend_reply")),
    Step("before the post", _all_hang_in_their_post, hangs=POSTING),
    Step("posted, not recorded", _all_wait_to_record, gates=("record_reply",), echo_may_come=False),
    Step("recorded, not finished", _all_wait_to_finish, gates=("finish_answer",), extra_model_calls=0),
    Step("posted, not recorded, and Slack tells us", _all_wait_to_record, gates=("record_reply",)),
    Step("recorded, in mid answer", _all_are_recorded, word_seconds=SLOW_WORD_SECONDS),
)


async def strike(workshop: Workshop, step: Step, victim: Instance, heir: Instance, rng: random.Random) -> list[Asked]:
    """Bring a question in each place to the step, and kill the process that was about to answer them."""
    workshop.model.desk.pace = step.word_seconds
    workshop.withheld = not step.echo_may_come
    for method in step.hangs:
        # Silence until the caller leaves, and no effect.
        workshop.sandbox.faults.add(method, "hang")
    workshop.listen_to(victim)
    # Or it might be quicker to claim some of them.
    heir.freeze()
    async with workshop.held(*step.gates):
        asked = [await workshop.ask(LONG, channel=place) for place in PLACES]
        await workshop.until(lambda: step.reached(workshop, asked), seconds=REACHED_WITHIN_SECONDS)
        assert await workshop.claimed_by(victim, asked) == {one.mark for one in asked}
        workshop.listen_to(heir)
        await victim.kill()
        if not step.arrives_late or rng.random() < 0.5:
            await workshop.cut_off_waiting()
    heir.thaw()
    return asked


async def strike_at_random(workshop: Workshop, victim: Instance, heir: Instance, rng: random.Random) -> list[Asked]:
    """Kill at any moment at all."""
    workshop.model.desk.pace = SLOW_WORD_SECONDS
    workshop.withheld = False
    workshop.listen_to(victim)
    asked = [await workshop.ask(LONG, channel=place) for place in PLACES]
    async with asyncio.timeout(REACHED_WITHIN_SECONDS):
        while len(await workshop.events(asked)) < len(asked):
            await asyncio.sleep(0.01)
    await asyncio.sleep(rng.uniform(0, 1.0))
    workshop.listen_to(heir)
    await victim.kill()
    return asked


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
    for number in range(max(5, sized(200) // len(PLACES))):
        # In `make test` the five steps once each; at full size all seven, and any moment, again and again.
        place = number % (len(STEPS) + 1)
        step = STEPS[place] if place < len(STEPS) else None
        await victim.ready()
        if step:
            asked = await strike(workshop, step, victim, heir, rng)
        else:
            asked = await strike_at_random(workshop, victim, heir, rng)
        name = step.name if step else "at random"
        struck[name] += len(asked)
        await victim.start()
        await workshop.end_leases(asked)
        over = await workshop.until_over(asked)
        for one in asked:
            about = f"{name}, {one.mark} in {one.channel}"
            shown = workshop.shown(one)
            assert [message["text"] for message in shown] == [expected], about
            assert shown[0].get("streaming_state") in (None, "completed"), about
            assert over[one.mark]["answer_state"] == "complete", f"{about}: {over[one.mark]}"
            assert not workshop.is_working(one), f"{about}: still shown as working"
            assert workshop.model_calls(one) <= 1 + (step.extra_model_calls if step else 1), about
        workshop.model.desk.asked.clear()
        victim, heir = heir, victim
    assert not workshop.sandbox.ledger.violations
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
