"""kill -9 at every step of a file's way from Slack into the knowledge: one confirmation, one document, one answer.

Two files are brought to the same step, one of them beside a question; then the process that has them is killed.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from enablebot.tests.database import PostgresServers
from enablebot.tests.faults.instance import Instance
from enablebot.tests.faults.scale import seeded, sized
from enablebot.tests.faults.workshop import ADA, REACHED_WITHIN_SECONDS, TEAM, Asked, Workshop, opened_workshop

pytestmark = [pytest.mark.anyio, pytest.mark.fault, pytest.mark.slow]

QUESTION = "Why is the sky blue?"
# Gates of this test's own, beside the workshop's: where the next step is about to be stored.
_STEPS = {"take": 826190, "tell": 826191}
_OUTCOME = """
select i.event_key, i.state, i.outcome from enablebot.inbox i where i.state not in ('done', 'set_aside')
"""


@dataclass(frozen=True)
class Dropped:
    """A file in the bot's DM, and the thread its confirmation stands in."""

    name: str
    thread: Asked
    asks: bool


@dataclass(frozen=True)
class Step:
    """A step of the way: what keeps the process there, and how to see that both files have come to it."""

    name: str
    reached: Callable[[Workshop], Awaitable[bool]]
    gates: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    faults: tuple[tuple[str, str], ...] = ()
    echo_may_come: bool = True


def _waits(operation: str) -> Callable[[Workshop], Awaitable[bool]]:
    async def look(workshop: Workshop) -> bool:
        return await workshop.waiting(operation) >= 2

    return look


async def _faults_are_met(workshop: Workshop) -> bool:
    return not workshop.sandbox.faults.left()


STEPS = (
    Step("before the confirmation", _waits("open_answer"), gates=("open_answer",)),
    Step("confirmed, and Slack tells nobody", _waits("record_reply"), gates=("record_reply",), echo_may_come=False),
    Step("confirmed, nothing to follow yet", _waits("accept_events"), keys=("take",)),
    Step("what follows is stored, the message not settled", _waits("finish_answer"), gates=("finish_answer",)),
    Step("while it is fetched", _faults_are_met, faults=(("files.download", "hang"),) * 2),
    Step("added, nobody to tell of it yet", _waits("accept_events"), keys=("tell",)),
    Step("before it is told", _faults_are_met, faults=(("chat.update", "hang"),) * 2),
    Step("told, and the answer lost", _faults_are_met, faults=(("chat.update", "lost_answer"),) * 2),
)


async def drop(workshop: Workshop, number: int, *, asks: bool) -> Dropped:
    name = f"file-{number}{'-asked' if asks else ''}.md"
    content = f"# Rules {name}\n\nWhat {name} says is known to nobody else.\n".encode()
    file_id = workshop.sandbox.upload(team=TEAM, user=ADA, name=name, content=content)
    text = f"{name} {QUESTION}" if asks else ""
    ts = await workshop.sandbox.post(team=TEAM, channel="@bot", user=ADA, text=text, files=[file_id])
    return Dropped(name, Asked(name, workshop.sandbox.world.direct_channel(TEAM, ADA).id, ts), asks)


async def end_all_leases(workshop: Workshop) -> None:
    await workshop.admin.execute(
        "update enablebot.inbox set lease_until = clock_timestamp() - interval '1 millisecond' where state = 'claimed'"
    )


async def until_settled(workshop: Workshop) -> None:
    """Wait until nothing is left to do for anybody."""

    async def is_settled() -> bool:
        await workshop.admin.execute(
            "update enablebot.inbox set available_at = clock_timestamp() "
            "where state = 'ready' and available_at > clock_timestamp() and reason = 'lease_expired'"
        )
        return not await workshop.admin.fetch(_OUTCOME)

    try:
        await workshop.until(is_settled)
    except TimeoutError:
        raise AssertionError(str(await workshop.admin.fetch(_OUTCOME))) from None


async def strike(
    workshop: Workshop, step: Step | None, victim: Instance, heir: Instance, rng: random.Random, number: int
) -> list[Dropped]:
    """Drop two files, bring them to the step, or to any moment at all, and kill the process that has them."""
    workshop.withheld = step is not None and not step.echo_may_come
    for method, kind in step.faults if step else ():
        workshop.sandbox.faults.add(method, kind)  # type: ignore[arg-type]
    workshop.listen_to(victim)
    # Or it might be quicker to claim some of it.
    heir.freeze()
    keys = [_STEPS[key] for key in step.keys] if step else []
    async with workshop.held(*(step.gates if step else ())):
        for key in keys:
            await workshop.admin.execute("select pg_advisory_lock($1)", key)
        dropped = [await drop(workshop, number, asks=asks) for asks in (False, True)]
        if step is None:
            await asyncio.sleep(rng.uniform(0, 1.5))
        else:
            await workshop.until(lambda: step.reached(workshop), seconds=REACHED_WITHIN_SECONDS)
        workshop.listen_to(heir)
        await victim.kill()
        if rng.random() < 0.5:
            await workshop.cut_off_waiting()
        await workshop.arrived()
        for key in keys:
            await workshop.admin.execute("select pg_advisory_unlock($1)", key)
    heir.thaw()
    return dropped


@pytest.fixture(scope="module")
async def house(postgres_servers: PostgresServers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Workshop]:
    async with opened_workshop(postgres_servers, tmp_path_factory.mktemp("workshop")) as opened:
        for kind, key in _STEPS.items():
            await opened.admin.execute(
                f"create trigger hold_{kind} before insert on enablebot.inbox for each row "
                f"when (new.event_key like '{kind}:%') execute function public.hold_back('{key}')"
            )
        yield opened


@pytest.fixture
async def workshop(house: Workshop) -> AsyncIterator[Workshop]:
    await house.tidy()
    yield house
    house.tell()


async def test_wherever_a_process_is_killed_a_file_is_confirmed_once_added_once_and_told(workshop: Workshop) -> None:
    rng, struck = seeded("shared files"), Counter[str]()
    victim, heir = workshop.instances
    # Once each at any rate, and one moment at random.
    for number in range(max(len(STEPS) + 1, sized(100) // 2)):
        place = number % (len(STEPS) + 1)
        step = STEPS[place] if place < len(STEPS) else None
        about = step.name if step else "at random"
        await victim.ready()
        dropped = await strike(workshop, step, victim, heir, rng, number)
        struck[about] += len(dropped)
        await victim.start()
        await end_all_leases(workshop)
        await until_settled(workshop)
        for one in dropped:
            shown = workshop.shown(one.thread)
            told = [
                message["text"] for message in shown if one.name in message["text"] and "sky" not in message["text"]
            ]
            assert told == [f"Added {one.name}: 1 passage."], f"{about}: {[message['text'] for message in shown]}"
            assert len(shown) == (2 if one.asks else 1), f"{about}: {[message['text'] for message in shown]}"
            rows = await workshop.admin.fetch(
                "select d.live_version, (select count(*) from enablebot.document_versions v "
                "where v.tenant_id = d.tenant_id and v.document_id = d.id) as versions "
                "from enablebot.documents d where d.name = $1",
                one.name,
            )
            assert [(row["live_version"], row["versions"]) for row in rows] == [(1, 1)], about
        victim, heir = heir, victim
    assert not workshop.broken_rules()
    print(f"struck: {dict(struck)}")
