"""QD-8: an event that ends its process every time is set aside after three claims, and costs nobody else the answer."""

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random

import asyncpg
import pytest

from enablebot.api.answering.reasons import sentence
from enablebot.tests.faults.conftest import Run
from enablebot.tests.faults.driver import Load, until
from enablebot.tests.faults.scale import FULL, seeded, sized
from enablebot.tests.house import BUSY, House

pytestmark = [pytest.mark.anyio, pytest.mark.fault, pytest.mark.slow]

MESSAGES = sized(1000)
POISONS = max(1, MESSAGES // 100)
CLAIMS = 3
# A poison every twenty seconds at full size: it needs three restarts before it is over.
PER_SECOND = 5 if FULL else 20
# Out of memory, a fault in native code, an assertion there: how a process ends without a word.
ENDS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT)
EVER = 1_000_000
# Words come slowly, so that whoever is killed has others' answers half written.
PLAN = replace(BUSY, model_delay_ms=5, lease_seconds=20)


@dataclass
class Poison:
    """A question that nobody survives; `asked` is how often the model was asked it."""

    mark: str
    lane: str = ""
    asked: int = 0


async def test_poison_is_set_aside_after_three_claims_and_all_others_are_answered(in_a_house: Run) -> None:
    chance = seeded("QD-8")
    poisons = [Poison(f"x{number}x?") for number in sorted(chance.sample(range(MESSAGES), POISONS))]

    async def play(house: House) -> None:
        # The model never answers a poison: by then its process is gone.
        await house.control("faults", faults=[hangs(poison.mark) for poison in poisons])
        await house.gather(workspaces=10)
        load = Load(house)
        mix = {"mention": 3.0, "dm": 1.0}
        await load.talk(messages=MESSAGES, per_second=PER_SECOND, seed=chance.randrange(1 << 30), mix=mix)
        async with asyncpg.create_pool(house.admin_url, min_size=1, max_size=2) as database:
            killing = asyncio.create_task(kill_whoever_asks(house, database, poisons, chance))
            over = asyncio.create_task(all_set_aside(house, load, database, poisons))
            try:
                await asyncio.wait({killing, over}, return_when=asyncio.FIRST_COMPLETED)
                if killing.done():
                    killing.result()
                await over
                account = await load.verdict(excused_violations=frozenset({"late_acknowledgement"}))
            finally:
                for task in (killing, over):
                    task.cancel()
                await asyncio.gather(killing, over, return_exceptions=True)
            ended = await database.fetch(ENDINGS, [poison.lane for poison in poisons])
        # The model was asked at most once a claim, and never after the third; two that die together share a death.
        await count(house, poisons)
        fewest = CLAIMS if POISONS == 1 else 0
        assert not [poison for poison in poisons if not fewest <= poison.asked <= CLAIMS]
        assert [tuple(row) for row in ended] == [("set_aside", "failed", 1)] * POISONS
        told = [one["text"] for one in (await house.look("shown"))["messages"] if one["text"] == sentence("gave_up")]
        assert len(told) == POISONS
        assert account.endings == {"answered": MESSAGES - POISONS, "failed": POISONS}

    await in_a_house(play, PLAN)


def hangs(mark: str) -> dict[str, object]:
    return {"method": "openai.responses", "kind": "hang", "containing": mark, "times": EVER}


async def kill_whoever_asks(
    house: House, database: "asyncpg.Pool[asyncpg.Record]", poisons: list[Poison], chance: Random
) -> None:
    """Kill the process that holds a poison as soon as the model was asked it, as often as that happens."""
    while True:
        before = {poison.mark: poison.asked for poison in poisons}
        await count(house, poisons)
        for poison in poisons:
            assert poison.asked <= CLAIMS, f"the model was asked {poison.mark} {poison.asked} times"
            if poison.asked > before[poison.mark]:
                poison.lane = poison.lane or await lane_of(house, poison)
                holder = await database.fetchval(HOLDER, poison.lane)
                if holder is None:
                    # It died this moment with another poison.
                    continue
                await end(int(holder.split(":")[1]), chance.choice(ENDS))
                # Leases are long, so that a slow machine loses none of the living; those of the dead end here.
                await database.execute(END_LEASES, holder)
        await asyncio.sleep(0.02)


async def end(pid: int, number: signal.Signals) -> None:
    """End a process, and wait until its supervisor has noticed."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        async with asyncio.timeout(10):
            while True:
                os.kill(pid, 0)
                await asyncio.sleep(0.005)


async def count(house: House, poisons: list[Poison]) -> None:
    """Take from the sandbox's orders how often each was carried out."""
    left = {fault["containing"]: fault["times"] for fault in (await house.look("faults"))["faults"]}
    for poison in poisons:
        poison.asked = EVER - left[poison.mark]


async def lane_of(house: House, poison: Poison) -> str:
    said = (await house.look("crowd"))["said"]
    (found,) = [one for one in said if f"{one['token']}?".endswith(poison.mark)]
    return f"{found['channel']}:{found['thread_ts']}"


async def all_set_aside(
    house: House, load: Load, database: "asyncpg.Pool[asyncpg.Record]", poisons: list[Poison]
) -> None:
    await until(load.is_over, what="the crowd goes on talking", within=400)
    for poison in poisons:
        poison.lane = poison.lane or await lane_of(house, poison)

    async def is_so() -> bool:
        return int(await database.fetchval(SET_ASIDE, [poison.lane for poison in poisons])) == len(poisons)

    await until(is_so, what="poison is still tried", within=300)


HOLDER = "select claimed_by from enablebot.inbox where lane = $1 and state = 'claimed'"
END_LEASES = """
update enablebot.inbox set lease_until = clock_timestamp() - interval '1 millisecond'
where claimed_by = $1 and state = 'claimed'
"""
SET_ASIDE = "select count(*) from enablebot.inbox where lane = any ($1) and state = 'set_aside'"
ENDINGS = """
select i.state, a.state,
       (select count(*)::int from enablebot.replies r where (r.tenant_id, r.answer_id) = (a.tenant_id, a.id))
from enablebot.inbox i join enablebot.answers a on a.tenant_id = i.tenant_id and a.event_id = i.id
where i.lane = any ($1)
"""
