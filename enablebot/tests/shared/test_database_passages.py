"""Passages and the counts that say how rare a term is: exact after everything, whoever else is at it."""

import asyncio
import random
from dataclasses import replace
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest

from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DatabaseUnavailable, DataRefused, StaleClaim
from enablebot.shared.knowledge.terms import Weighed, weigh
from enablebot.tests.database import postgres_versions
from enablebot.tests.shared import shelf
from enablebot.tests.shared.workspaces import Workspace, add_workspace

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

WORDS = [f"word{number}" for number in range(300)]


@pytest.fixture
async def acme(database: Database) -> Workspace:
    return await add_workspace(database)


async def insist_exact_counts(admin: Admin) -> None:
    """Count everything anew, and compare with what was kept."""
    wrong = await admin.fetch("""
        with counted as (
          select p.tenant_id, u.term_id, count(*) as df
          from enablebot.passages p cross join unnest(p.term_ids) as u (term_id) group by 1, 2
        )
        select c.tenant_id, c.term_id, c.df, t.df as kept
        from counted c full join enablebot.terms t using (tenant_id, term_id) where c.df is distinct from t.df""")
    assert wrong == []
    wrong = await admin.fetch("""
        with counted as (select p.tenant_id, count(*) as n from enablebot.passages p group by 1)
        select from counted c full join enablebot.corpora k using (tenant_id) where c.n is distinct from k.n""")
    assert wrong == []


def prose(rng: random.Random, passages: int) -> list[str]:
    return [" ".join(rng.choices(WORDS, k=40)) for _ in range(passages)]


@postgres_versions
async def test_counts_are_exact_after_staging_replacing_and_erasing(
    database: Database, admin: Admin, acme: Workspace
) -> None:
    rng = random.Random(1)
    readings = [await shelf.add(database, admin, acme.tenant_id, prose(rng, 120)) for _ in range(3)]
    await insist_exact_counts(admin)
    again = await shelf.begin(admin, acme.tenant_id, replaces=readings[0].document_id)
    await shelf.stage(database, again, prose(rng, 50))
    await insist_exact_counts(admin)
    await shelf.publish(admin, again)
    await insist_exact_counts(admin)
    assert await admin.fetchval("select n from enablebot.corpora") == 290
    for reading in readings:
        await shelf.drop(admin, reading)
    for table in ("passages", "passage_vectors", "terms", "corpora"):
        assert await admin.fetchval(f"select count(*) from enablebot.{table}") == 0, table


async def test_a_batch_that_is_staged_again_replaces_what_it_had_stored(
    database: Database, admin: Admin, acme: Workspace
) -> None:
    reading = await shelf.begin(admin, acme.tenant_id)
    await shelf.stage(database, reading, ["first text", "second text"])
    await shelf.stage(database, reading, ["another second", "third"], first_position=1)
    await shelf.publish(admin, reading)
    read = await database.read_passages(
        tenant_id=acme.tenant_id, document_id=reading.document_id, after_position=-1, limit=10
    )
    assert [(row.position, row.text) for row in read] == [(0, "first text"), (1, "another second"), (2, "third")]
    await insist_exact_counts(admin)


async def test_four_who_stage_publish_and_erase_at_once_neither_deadlock_nor_miscount(
    database: Database, admin_url: str, admin: Admin, acme: Workspace
) -> None:
    await write_at_once(database, admin_url, acme)
    assert await admin.fetchval("select n from enablebot.corpora") == 4 * 3 * 60
    await insist_exact_counts(admin)


async def test_counted_in_the_order_of_the_text_they_would_deadlock(
    database: Database, admin_url: str, admin: Admin, acme: Workspace
) -> None:
    await mutate(admin, "inner_count_terms", " order by u.term_id", " order by random()")
    with pytest.raises((DatabaseUnavailable, asyncpg.DeadlockDetectedError), match=r"busy|deadlock"):
        await write_at_once(database, admin_url, acme, rounds=100)


async def write_at_once(database: Database, admin_url: str, acme: Workspace, *, rounds: int = 6) -> None:
    """Let four write into one workspace, and erase every other of their documents."""

    async def write(number: int) -> None:
        rng = random.Random(number)
        own = await asyncpg.connect(admin_url)
        try:
            for turn in range(rounds):
                reading = await shelf.begin(own, acme.tenant_id)
                texts = prose(rng, 60)
                # Terms in any order, as a text has them: the database has to put them in one.
                weighed = [shuffled(weigh(acme.tenant_id, text), rng) for text in texts]
                await shelf.stage(database, reading, texts, weighed=weighed)
                await shelf.publish(own, reading)
                if turn % 2:
                    await shelf.drop(own, reading)
        finally:
            await own.close()

    writers = [asyncio.create_task(write(number)) for number in range(4)]
    try:
        await asyncio.gather(*writers)
    finally:
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)


async def test_who_erases_a_document_waits_for_the_batch_under_way_and_finds_it(
    database: Database, admin_url: str, admin: Admin, acme: Workspace
) -> None:
    reading = await shelf.begin(admin, acme.tenant_id)
    await shelf.stage(database, reading, ["one two three"])
    rng = random.Random(3)
    outcomes = await asyncio.gather(
        *(shelf.stage(database, reading, prose(rng, 100), first_position=100 * turn) for turn in range(5)),
        shelf.drop(admin, reading),
    )
    assert outcomes[-1] is None
    assert await admin.fetchval("select count(*) from enablebot.passages") == 0
    assert await admin.fetchval("select count(*) from enablebot.terms") == 0


async def test_nothing_is_staged_without_the_claim_or_for_a_document_that_is_gone(
    database: Database, admin: Admin, acme: Workspace
) -> None:
    reading = await shelf.begin(admin, acme.tenant_id)
    stale = replace(reading, claim_token=UUID(int=7))
    with pytest.raises(StaleClaim):
        await shelf.stage(database, stale, ["text"])
    other = await add_workspace(database)
    foreign = replace(reading, tenant_id=other.tenant_id)
    assert not await shelf.stage(database, foreign, ["text"])
    await admin.execute("update enablebot.documents set deleted_at = now(), due_at = now()")
    assert not await shelf.stage(database, reading, ["text"])
    assert await admin.fetchval("select count(*) from enablebot.passages") == 0


async def test_a_version_that_is_not_live_cannot_be_read_or_found(
    database: Database, admin: Admin, acme: Workspace
) -> None:
    reading = await shelf.begin(admin, acme.tenant_id)
    await shelf.stage(database, reading, ["alpha beta"])
    asked = weigh(acme.tenant_id, "alpha")
    for is_there in (False, True):
        found = await database.search_passages(
            tenant_id=acme.tenant_id, channel=None, lane=None, term_ids=asked.ids, counts=[1.0], limit=5,
            model=None, vector=None,
        )  # fmt: skip
        read = await database.read_passages(
            tenant_id=acme.tenant_id, document_id=reading.document_id, after_position=-1, limit=5
        )
        assert (len(found.found), len(read)) == (is_there, is_there)
        await shelf.publish(admin, reading)


async def test_what_is_no_passage_is_refused_whole(database: Database, admin: Admin, acme: Workspace) -> None:
    reading = await shelf.begin(admin, acme.tenant_id)
    for bad in ("nul \x00 inside", "lone \ud800 surrogate"):
        with pytest.raises(DataRefused):
            await shelf.stage(database, reading, ["fine", bad], weighed=[weigh(acme.tenant_id, "fine")] * 2)
    wrong = Weighed(ids=(5, 5), weights=(1.0, 1.0), count=2)
    with pytest.raises(DataRefused):
        await shelf.stage(database, reading, ["twice the same term"], weighed=[wrong])
    assert await admin.fetchval("select count(*) from enablebot.passages") == 0
    await insist_exact_counts(admin)


async def test_vectors_go_with_their_passages_and_are_added_only_to_what_is_there(
    database: Database, admin: Admin, acme: Workspace
) -> None:
    reading = await shelf.add(database, admin, acme.tenant_id, ["one", "two"])
    listed = await database.list_passages_without_vectors(
        tenant_id=acme.tenant_id, model="m", document_id=None, version=None, after=None, limit=10
    )
    other = await add_workspace(database)
    for tenant_id, added in ((other.tenant_id, 0), (acme.tenant_id, 2)):
        assert added == await database.add_vectors(
            tenant_id=tenant_id, model="m", passage_ids=[row.id for row in listed], vectors=[(1.0, 0.0)] * 2
        )
    await database.add_vectors(
        tenant_id=acme.tenant_id, model="n", passage_ids=[listed[0].id], vectors=[(1.0, 0.0, 0.0)]
    )
    kept = await admin.fetch("select model from enablebot.passage_vectors order by passage_id")
    assert [row["model"] for row in kept] == ["n", "m"]
    await shelf.drop(admin, reading)
    assert await admin.fetchval("select count(*) from enablebot.passage_vectors") == 0


async def mutate(admin: Admin, function: str, old: str, new: str) -> None:
    """Plant a fault in a function, for this test's database only."""
    text = await admin.fetchval(
        "select pg_get_functiondef(p.oid) from pg_proc p "
        "where p.proname = $1 and p.pronamespace = 'enablebot'::regnamespace",
        function,
    )
    assert old in text
    await admin.execute(text.replace(old, new))


def shuffled(weighed: Weighed, rng: random.Random) -> Weighed:
    pairs = list(zip(weighed.ids, weighed.weights, strict=True))
    rng.shuffle(pairs)
    return Weighed(tuple(number for number, _ in pairs), tuple(weight for _, weight in pairs), weighed.count)
