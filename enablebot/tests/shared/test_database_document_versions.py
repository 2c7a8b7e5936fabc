"""Versions of documents in the database: what replaces, who wins, who may write, and what is read anew."""

from typing import Any, TypeAlias
from uuid import uuid4

import asyncpg
import pytest

from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DataRefused, StaleClaim
from enablebot.tests.database import postgres_versions
from enablebot.tests.shared.documents import (
    add_ready,
    begin,
    bring,
    claim_document,
    fetched,
    fill,
    get,
    read,
    reading_of,
    settle,
    version_of,
)
from enablebot.tests.shared.queued_documents import of
from enablebot.tests.shared.shelf import stage
from enablebot.tests.shared.workspaces import Workspace, add_workspace

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

LANE = "D1:1700000000.000100"


@pytest.fixture
async def acme(database: Database) -> Workspace:
    return await add_workspace(database)


@pytest.fixture
async def other(database: Database) -> Workspace:
    return await add_workspace(database)


async def count(admin: Admin, table: str, where: str = "true") -> int:
    return int(await admin.fetchval(f"select count(*) from enablebot.{table} where {where}"))


# Replacing


@postgres_versions
async def test_a_replacement_is_read_beside_the_old_version_and_takes_its_place_at_once(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    document_id = await add_ready(database, acme, b"A")
    second = await bring(database, acme, b"BB", added_by="U2")
    assert (second.id, second.outcome, second.version) == (document_id, "replaces", 2)
    claimed = await claim_document(database, document_id)
    await database.begin_reading(**of(claimed))
    await stage(database, reading_of(claimed), ["three"])
    await database.note_progress(**of(claimed), progress=50)
    document = await get(database, acme, document_id)
    assert (document.status, document.live_version, document.version, document.size_bytes) == ("ready", 1, 1, 1)
    assert document.replacement is not None
    assert (document.replacement.version, document.replacement.status, document.replacement.progress) == (
        *(2, "processing", 50),
    )
    assert [v.version for v in await database.list_document_versions(tenant_id=acme.tenant_id, id=document_id)] == [
        2,
        1,
    ]

    await database.publish_document(**of(claimed), pages=None, title=None)
    document = await get(database, acme, document_id)
    assert (document.live_version, document.version, document.size_bytes, document.added_by) == (2, 2, 2, "U2")
    assert (document.replacement, document.passages) == (None, 1)
    for table, column in (("document_versions", "version"), ("document_pieces", "original"), ("passages", "version")):
        assert await fetched(admin, f"select distinct {column} from enablebot.{table}") == [(2,)]


async def test_a_failed_replacement_leaves_the_old_version_and_says_why(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    document_id = await add_ready(database, acme, b"A")
    await bring(database, acme, b"B")
    claimed = await claim_document(database, document_id)
    await database.begin_reading(**of(claimed))
    await stage(database, reading_of(claimed), ["half"])
    await database.fail_document(**of(claimed), reason="It is damaged.")
    document = await get(database, acme, document_id)
    assert (document.status, document.reason, document.live_version) == ("ready", None, 1)
    assert document.replacement is not None
    assert (document.replacement.status, document.replacement.reason) == ("failed", "It is damaged.")
    assert await count(admin, "passages", "version = 2") == 0
    assert await count(admin, "passages", "version = 1") == 2
    # What it was before is there still, and the next attempt is a version of its own.
    assert (await bring(database, acme, b"A")).outcome == "same"
    assert (await bring(database, acme, b"B")).version == 3


async def test_of_two_replacements_the_newer_wins_while_the_older_is_being_read(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    document_id = await add_ready(database, acme, b"A")
    await bring(database, acme, b"B")
    older = await claim_document(database, document_id)
    await database.begin_reading(**of(older))
    assert await stage(database, reading_of(older), ["older"])
    await bring(database, acme, b"C")
    assert (await database.note_progress(**of(older), progress=1)).gone
    assert not await stage(database, reading_of(older), ["older still"])
    assert (await database.publish_document(**of(older), pages=1, title=None)).gone
    assert (await database.fail_document(**of(older), reason="no")).gone
    assert await count(admin, "passages", "version = 2") == await count(admin, "document_pieces", "original = 2") == 0
    assert (await get(database, acme, document_id)).live_version == 1
    await settle(database, older)
    await read(database, await claim_document(database, document_id, version=3))
    assert (await get(database, acme, document_id)).live_version == 3


async def test_whoever_began_earlier_and_ends_later_does_not_replace_the_newer_one(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    document_id = await add_ready(database, acme, b"A")
    slow = await begin(database, acme, b"B")
    await fill(database, acme, slow, b"B")
    assert (await bring(database, acme, b"C")).version == 3
    late = await database.queue_document(**version_of(acme, slow))
    assert (late.gone, late.queued, late.superseded) == (False, False, True)
    assert (
        await count(admin, "document_pieces", "original = 2")
        == await count(admin, "document_versions", "version = 2")
        == 0
    )
    await read(database, await claim_document(database, document_id))
    assert (await get(database, acme, document_id)).live_version == 3
    assert await count(admin, "lanes", "live <> 0") == 0


async def test_channels_that_come_with_a_replacement_hold_from_its_publishing_on(
    database: Database, acme: Workspace
) -> None:
    document_id = await add_ready(database, acme, b"A", channels=["C1", "C2"])
    await bring(database, acme, b"B", channels=["C2", "C3"])
    assert (await get(database, acme, document_id)).channels == ("C1", "C2")
    await read(database, await claim_document(database, document_id))
    assert (await get(database, acme, document_id)).channels == ("C2", "C3")
    await bring(database, acme, b"C")
    await read(database, await claim_document(database, document_id))
    assert (await get(database, acme, document_id)).channels == ("C2", "C3")
    await bring(database, acme, b"D", channels=["C9"])
    await database.bind_document(tenant_id=acme.tenant_id, id=document_id, channels=["C4"], actor="U1")
    await read(database, await claim_document(database, document_id))
    assert (await get(database, acme, document_id)).channels == ("C4",)


# Claims


async def test_every_call_of_ingest_needs_the_living_claim_of_this_version(database: Database, acme: Workspace) -> None:
    mine = await bring(database, acme, b"A")
    theirs = await bring(database, acme, b"B", name="b.txt")
    claimed = await claim_document(database, mine.id)
    for wrong, error in (
        ({"claim_token": uuid4()}, StaleClaim),
        ({"event_id": claimed.id + 1000}, StaleClaim),
        ({"document_id": theirs.id}, DataRefused),
    ):
        named = of(claimed) | wrong
        for call in (
            database.begin_reading(**named),
            database.note_progress(**named, progress=1),
            database.publish_document(**named, pages=1, title=None),
            database.fail_document(**named, reason="no"),
        ):
            with pytest.raises(error):
                await call
    assert {(await get(database, acme, each.id)).status for each in (mine, theirs)} == {"queued"}


async def test_an_attempt_after_one_that_died_reads_afresh_and_one_after_the_last_word_touches_nothing(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    brought = await bring(database, acme)
    claimed = await claim_document(database, brought.id)
    await database.begin_reading(**of(claimed))
    await stage(database, reading_of(claimed), ["one", "two"])
    assert (await database.begin_reading(**of(claimed))).already is None
    assert await count(admin, "passages") == 0
    await stage(database, reading_of(claimed), ["one", "two"])
    for _ in range(2):
        assert not (await database.publish_document(**of(claimed), pages=1, title=None)).gone
    again = await database.begin_reading(**of(claimed))
    assert (again.gone, again.already, again.name) == (False, "ready", "a.txt")
    await database.fail_document(**of(claimed), reason="too late")
    document = await get(database, acme, brought.id)
    assert (document.status, document.passages) == ("ready", 2)
    assert await count(admin, "passages") == 2


async def test_nothing_is_published_that_was_not_read(database: Database, acme: Workspace) -> None:
    brought = await bring(database, acme)
    claimed = await claim_document(database, brought.id)
    assert (await database.publish_document(**of(claimed), pages=1, title=None)).gone
    document = await get(database, acme, brought.id)
    assert (document.status, document.live_version) == ("queued", None)


# Reading anew


async def test_reading_anew_uses_the_same_bytes_and_changes_nothing_until_it_is_done(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    document_id = await add_ready(database, acme, b"A", added_by="U7")
    named: dict[str, Any] = {"tenant_id": acme.tenant_id, "id": document_id, "actor": "U2"}
    for version in (2, 3):
        queued = await database.reindex_document(**named)
        assert (queued.gone, queued.queued, queued.version) == (False, True, version)
        assert not (await database.reindex_document(**named)).queued
        assert (await get(database, acme, document_id)).live_version == version - 1
        claimed = await claim_document(database, document_id)
        await read(database, claimed, ("anew",))
        document = await get(database, acme, document_id)
        assert (document.live_version, document.passages, document.added_by) == (version, 1, "U7")
        row = await database.read_document_piece(
            tenant_id=acme.tenant_id, document_id=document_id, version=version, piece=0
        )
        assert row is not None
        assert (row.sealed, row.original) == (b"A", 1)
        assert await count(admin, "document_pieces") == await count(admin, "document_versions") == 1
    assert (await bring(database, acme, b"A")).outcome == "same"
    await bring(database, acme, b"B")
    await read(database, await claim_document(database, document_id))
    assert await fetched(admin, "select original, sealed from enablebot.document_pieces") == [(4, b"B")]
    assert await count(admin, "audit", "action = 'document.reindex' and actor = 'U2'") == 2


async def test_what_failed_is_read_anew_as_it_failed_and_what_lost_its_event_is_queued_again(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    brought = await bring(database, acme)
    claimed = await claim_document(database, brought.id)
    await database.begin_reading(**of(claimed))
    await database.fail_document(**of(claimed), reason="no")
    await settle(database, claimed)
    named: dict[str, Any] = {"tenant_id": acme.tenant_id, "id": brought.id, "actor": "U2"}
    assert (await database.reindex_document(**named)).version == 2
    assert (await get(database, acme, brought.id)).status == "queued"
    claimed = await claim_document(database, brought.id)
    await settle(database, claimed)
    again = await database.reindex_document(**named)
    assert (again.queued, again.version) == (True, 2)
    await read(database, await claim_document(database, brought.id))
    assert (await get(database, acme, brought.id)).live_version == 2
    assert await count(admin, "document_versions") == 1
