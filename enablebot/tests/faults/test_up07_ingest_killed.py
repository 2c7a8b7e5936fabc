"""UP-7: kill -9 at every step of reading a document: it can be found whole or not at all, and is read to its end.

Several documents are brought to the same step, each is one moment; then their process is killed for real.
"""

import asyncio
import math
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import pytest

from enablebot.shared.models.document import Document
from enablebot.tests.database import PostgresServers
from enablebot.tests.faults.instance import Instance
from enablebot.tests.faults.reading_hall import (
    DOCUMENTS_AT_ONCE,
    GATES,
    Hall,
    is_there,
    opened_hall,
    readers_of,
)
from enablebot.tests.faults.scale import seeded, sized

pytestmark = [pytest.mark.anyio, pytest.mark.fault, pytest.mark.slow]

REACHED_WITHIN_SECONDS = 40.0
STEPS = (*GATES, "at random")


@pytest.fixture
async def hall(postgres_servers: PostgresServers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hall]:
    async with opened_hall(postgres_servers, tmp_path_factory.mktemp("hall")) as opened:
        yield opened
        await opened.tell()


@asynccontextmanager
async def watched(hall: Hall, marks: list[str]) -> AsyncIterator[None]:
    watching = asyncio.create_task(hall.watch(marks))
    try:
        yield
        assert not watching.done(), watching.exception()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def strike(hall: Hall, gate: str, victim: Instance, documents: list[Document], rng: random.Random) -> None:
    """Kill the process as soon as its documents have come to the gate, which is held."""
    # Settled together, and the counts of a workspace are one row: whoever holds it keeps the others waiting.
    wanted = 1 if gate in ("counted", "published") else len(documents)

    async def reached() -> bool:
        return await hall.waiting() >= wanted and await hall.claimed_by(victim, documents) == len(documents)

    await hall.until(reached, seconds=REACHED_WITHIN_SECONDS)
    await end(hall, victim)
    if rng.random() < 0.5:
        # Else the statement under way may still be carried out, with nobody there to hear of it.
        await hall.cut_off_waiting()


async def whoever_reads(hall: Hall, document: Document) -> Instance:
    """Wait until a process has brought the document to the gate that is held."""
    async with asyncio.timeout(REACHED_WITHIN_SECONDS):
        while True:
            await hall.hurry()
            for instance in hall.instances:
                if await hall.claimed_by(instance, [document]) and await hall.waiting():
                    return instance
            await asyncio.sleep(0.02)


async def strike_at_random(hall: Hall, victim: Instance, documents: list[Document], rng: random.Random) -> int:
    """Kill the process at any moment at all; how many documents it held then."""

    async def begun() -> bool:
        return await hall.claimed_by(victim, documents) > 0

    await hall.until(begun, seconds=REACHED_WITHIN_SECONDS)
    await asyncio.sleep(rng.uniform(0, 1.5))
    held = await hall.claimed_by(victim, documents)
    await end(hall, victim)
    return held


async def end(hall: Hall, victim: Instance) -> None:
    """Kill a process; nobody whom it had read for it outlives it."""
    readers = readers_of(victim)
    await victim.kill()

    async def are_gone() -> bool:
        return not any(map(is_there, readers))

    await hall.until(are_gone, seconds=20)


@pytest.mark.parametrize("is_replaced", [False, True], ids=["new", "a new version"])
async def test_wherever_ingest_is_killed_each_document_is_found_whole_or_not_at_all(
    hall: Hall, is_replaced: bool
) -> None:
    rng, struck = seeded("UP-7"), Counter[str]()
    victim, heir = hall.instances
    await asyncio.gather(victim.ready(), heir.ready())
    before: dict[str, Document] = {}
    if is_replaced:
        before = await hall.add()
        await hall.until_read(list(before.values()))
    order = list(STEPS)
    rng.shuffle(order)
    # Each of both tests has its half of the moments.
    strikes = max(2, math.ceil(sized(100) / DOCUMENTS_AT_ONCE / 2))
    for number in range(strikes):
        step = order[number % len(order)]
        print(f"strike {number}: {step}")
        await victim.ready()
        # Or it might be quicker to claim some of them.
        heir.freeze()
        async with hall.held(step) if step in GATES else nullcontext():
            added = await hall.add(names=[document.name for document in before.values()] or None)
            documents = list(added.values())
            if step in GATES:
                async with watched(hall, list(added)):
                    await strike(hall, step, victim, documents, rng)
                struck[step] += len(documents)
            else:
                struck[step] += await strike_at_random(hall, victim, documents, rng)
        async with watched(hall, list(added)):
            if step not in ("published", "publishing", "at random"):
                for mark, old in zip(added, before or added, strict=True):
                    assert not await hall.is_found(f"{mark}first"), f"{step}: found before it was published"
                    assert not before or await hall.is_found(f"{old}first"), f"{step}: the old version is gone"
            assert await hall.room.faults() == [], step
            heir.thaw()
            await hall.end_leases()
            await victim.start()
            await hall.until_read(documents)
        assert hall.halves == []
        for mark, document in added.items():
            about = f"{step}, {mark}"
            found = await hall.room.get(document)
            assert (found.status, found.replacement) == ("ready", None), f"{about}: {found}"
            assert await hall.is_found(f"{mark}first"), about
            assert await hall.is_found(f"{mark}last"), about
        for old in before:
            assert not await hall.is_found(f"{old}first"), f"{step}: the old version can still be found"
        assert await hall.room.faults() == [], step
        before = added if is_replaced else {}
        victim, heir = heir, victim
    print(f"struck: {dict(struck)}")
    copies = await hall.admin.fetchval(
        "select count(*) from (select tenant_id, document_id from enablebot.document_versions "
        "group by tenant_id, document_id having count(*) > 1) more"
    )
    assert copies == 0


async def test_a_reader_killed_three_times_gives_its_document_up_in_words_and_a_replay_reads_it(hall: Hall) -> None:
    await asyncio.gather(*(instance.ready() for instance in hall.instances))
    added = await hall.add()
    (mark, document), *_ = added.items()
    await hall.until_read(list(added.values()))
    async with hall.held("last batch"):
        await hall.room.library.reindex(hall.room.tenant_id, document.id, actor="U1")
        for _ in range(3):
            holder = await whoever_reads(hall, document)
            await end(hall, holder)
            await hall.cut_off_waiting()
            await holder.start()
            await holder.ready()
            await hall.end_leases()
    await hall.until_read([document])
    found = await hall.room.get(document)
    assert found.status == "ready"
    assert found.replacement is not None
    assert "took the reader down three times" in (found.replacement.reason or "")
    assert await hall.is_found(f"{mark}last")
    ((event_id,),) = await hall.admin.fetch("select id from enablebot.inbox where state = 'set_aside'")
    replayed = await hall.room.database.replay_event(tenant_id=hall.room.tenant_id, id=event_id, actor="cli")
    assert replayed.replayed
    await hall.until_read([document])
    assert (await hall.room.get(document)).replacement is None
    assert await hall.is_found(f"{mark}last")
    assert await hall.room.faults() == []
