"""QD-9: what was set aside is listed with its reason, and replayed once however often somebody asks for it.

The claims of all questions are lost three times over, as those of a worker that dies with them; the model answers
again only when they are replayed.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from enablebot.api.answering.reasons import sentence
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.tests.database import PostgresServers
from enablebot.tests.faults.scale import seeded, sized
from enablebot.tests.faults.workshop import CHANNEL, Asked, Workshop, opened_workshop

pytestmark = [pytest.mark.anyio, pytest.mark.fault, pytest.mark.slow]

LONG = "Please explain it at length. [[long 60]]"
ACTOR = "U0OPERATOR"


@pytest.fixture
async def workshop(
    postgres_servers: PostgresServers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Workshop]:
    many = {"WORKER_CONCURRENCY": "200", "WORKER_TENANT_CONCURRENCY": "200"}
    async with opened_workshop(postgres_servers, tmp_path_factory.mktemp("workshop"), instances=1, **many) as opened:
        await opened.tidy()
        yield opened
        opened.tell()


async def lose_until_set_aside(workshop: Workshop, asked: list[Asked], *, silent: list[Asked]) -> None:
    """Let claim after claim run out. The last one, for the apology, runs out for the `silent` only, with it in hand."""
    for one in silent:
        workshop.sandbox.faults.add("chat.*", "hang", containing=one.ts, times=10_000)
    silent_lanes = [one.lane for one in silent]

    async def are_set_aside() -> bool:
        await workshop.hurry(asked)
        await workshop.admin.execute(
            "update enablebot.inbox i set lease_until = clock_timestamp() - interval '1 millisecond' "
            "where i.state = 'claimed' and (i.attempts <= 3 or i.lane = any ($1) and exists ("
            "select from enablebot.answers a where a.event_id = i.id and a.text is not null))",
            silent_lanes,
        )
        rows = await workshop.events(asked)
        return len(rows) == len(asked) and all(row["state"] == "set_aside" for row in rows.values())

    await workshop.until(are_set_aside)
    workshop.sandbox.faults.replace([])


async def are_counted(workshop: Workshop, number: int) -> bool:
    """Whether the figure that alerts says so many."""
    told = await workshop.instances[0].metrics()
    return f"enablebot_events_set_aside_total {float(number)}" in told.splitlines()


async def test_what_was_set_aside_is_listed_and_replayed_once_however_often_it_is_asked_for(workshop: Workshop) -> None:
    rng = seeded("QD-9")
    expected = await workshop.said_without_faults(LONG)
    assert await are_counted(workshop, 0)
    workshop.model.faults.add("openai.responses", "hang", times=10_000)
    asked = [await workshop.ask(LONG, channel=rng.choice((CHANNEL, "@bot"))) for _ in range(sized(100))]
    silent = rng.sample(asked, len(asked) // 5)
    await lose_until_set_aside(workshop, asked, silent=silent)

    apology = sentence("gave_up")
    for one in asked:
        assert [message["text"] for message in workshop.shown(one)] == ([] if one in silent else [apology]), one
    await workshop.until(lambda: are_counted(workshop, len(asked) - len(silent)))
    listed = await workshop.database.list_set_aside(tenant_id=None, after_id=None, limit=1_000)
    ids = {row["id"]: mark for mark, row in (await workshop.events(asked)).items()}
    assert [row.id for row in listed] == sorted(ids)
    assert all(row.reason for row in listed), listed
    page = await workshop.database.list_set_aside(tenant_id=listed[0].tenant_id, after_id=listed[1].id, limit=2)
    assert [row.id for row in page] == [row.id for row in listed[2:4]]

    workshop.model.faults.replace([])
    workshop.model.desk.asked.clear()
    second = await PostgresTransport.connect(workshop.services_url)
    try:
        doors = (workshop.database, Database(second))
        verdicts = await asyncio.gather(
            *(door.replay_event(tenant_id=row.tenant_id, id=row.id, actor=ACTOR) for row in listed for door in doors)
        )
    finally:
        await second.aclose()
    replayed = Counter(
        row.id for row, verdict in zip([r for r in listed for _ in doors], verdicts, strict=True) if verdict.replayed
    )
    assert replayed == Counter(ids.keys()), "each is put back by one of the two"

    over = await workshop.until_over(asked)
    for one in asked:
        assert [message["text"] for message in workshop.shown(one)] == [expected], one
        assert over[one.mark]["state"] == "done", over[one.mark]
        assert over[one.mark]["answer_state"] == "complete", over[one.mark]
        assert workshop.model_calls(one) == 1, one
        assert not workshop.is_working(one), one
    for row in listed:
        again = await workshop.database.replay_event(tenant_id=row.tenant_id, id=row.id, actor=ACTOR)
        assert not again.replayed, row
    audited = await workshop.admin.fetch(
        "select object, actor, outcome from enablebot.audit where action = 'event.replay'"
    )
    assert Counter(map(tuple, audited)) == Counter((str(id_), ACTOR, "ok") for id_ in ids)
    assert await workshop.database.list_set_aside(tenant_id=None, after_id=None, limit=1) == []
    assert not workshop.broken_rules()
