"""Documents in the database: how they come in, what is the same, and what one workspace may keep."""

import asyncio
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest

from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DataRefused
from enablebot.shared.models.document import PIECE_BYTES
from enablebot.tests.database import postgres_versions
from enablebot.tests.shared.documents import (
    add_ready,
    begin,
    bring,
    claim_document,
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


# Coming in


async def test_a_document_is_seen_once_it_is_queued_and_not_before(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    begun = await begin(database, acme, b"A", name="Plan.md", format="markdown", channels=["C2", "C1", "C1"])
    assert begun.id is not None
    assert await database.get_document(tenant_id=acme.tenant_id, id=begun.id) is None
    assert await database.list_documents(tenant_id=acme.tenant_id, after=None, limit=10, contains=None) == []
    await fill(database, acme, begun)
    assert (await database.queue_document(**version_of(acme, begun))).queued
    document = await get(database, acme, begun.id)
    assert (document.name, document.title, document.status, document.version) == ("Plan.md", "Plan.md", "queued", 1)
    assert (document.live_version, document.replacement, document.channels) == (None, None, ("C1", "C2"))
    assert (document.format, document.size_bytes, document.source, document.added_by) == (
        *("markdown", 1, "dashboard", "U1"),
    )
    (entry,) = await admin.fetch(
        "select actor, action, object from enablebot.audit where tenant_id = $1", acme.tenant_id
    )
    assert tuple(entry) == ("U1", "document.add", str(begun.id))


async def test_reading_shows_progress_and_ends_in_ready_with_what_was_found(
    database: Database, acme: Workspace
) -> None:
    brought = await bring(database, acme)
    claimed = await claim_document(database, brought.id)
    started = await database.begin_reading(**of(claimed))
    assert (started.gone, started.already, started.pieces, started.size_bytes) == (False, None, 1, 1)
    for progress, shown in ((40, 40), (30, 40), (100, 99)):
        assert not (await database.note_progress(**of(claimed), progress=progress)).gone
        document = await get(database, acme, brought.id)
        assert (document.status, document.progress) == ("processing", shown)
    await stage(database, reading_of(claimed), ["one", "two", "three"])
    await database.publish_document(**of(claimed), pages=7, title="  The plan  ")
    document = await get(database, acme, brought.id)
    assert (document.status, document.progress, document.live_version) == ("ready", 100, 1)
    assert (document.pages, document.passages, document.title) == (7, 3, "The plan")


async def test_a_title_that_a_person_gave_is_not_replaced_by_the_document_s_own(
    database: Database, acme: Workspace
) -> None:
    brought = await bring(database, acme, title="Given")
    await read(database, await claim_document(database, brought.id), title="Found")
    assert (await get(database, acme, brought.id)).title == "Given"
    await bring(database, acme, b"B")
    await read(database, await claim_document(database, brought.id), title="Found")
    assert (await get(database, acme, brought.id)).title == "Given"
    await bring(database, acme, b"C", title="Given anew")
    assert (await get(database, acme, brought.id)).title == "Given"
    await read(database, await claim_document(database, brought.id), title="Found")
    assert (await get(database, acme, brought.id)).title == "Given anew"


async def test_a_version_without_all_its_pieces_is_not_queued(database: Database, acme: Workspace) -> None:
    content = b"x" * (2 * PIECE_BYTES + 1)
    begun = await begin(database, acme, content)
    for piece in (0, 2, 3):
        await database.add_document_piece(
            **version_of(acme, begun), piece=piece, sealed=b"s", data_key_id=acme.data_key_id
        )
    with pytest.raises(DataRefused):
        await database.queue_document(**version_of(acme, begun))
    await fill(database, acme, begun, content)
    assert (await database.queue_document(**version_of(acme, begun))).queued


async def test_a_piece_comes_back_as_it_was_stored_and_no_other_workspace_gets_it(
    database: Database, acme: Workspace, other: Workspace
) -> None:
    content = bytes(range(256)) * 5000
    brought = await bring(database, acme, content)
    named: dict[str, Any] = {"document_id": brought.id, "version": 1}
    for piece, part in enumerate((content[:PIECE_BYTES], content[PIECE_BYTES:])):
        row = await database.read_document_piece(tenant_id=acme.tenant_id, **named, piece=piece)
        assert row is not None
        assert (row.sealed, row.original, row.pieces, row.data_key_id) == (part, 1, 2, acme.data_key_id)
        assert await database.read_document_piece(tenant_id=other.tenant_id, **named, piece=piece) is None
    assert await database.read_document_piece(tenant_id=acme.tenant_id, **named, piece=2) is None


# The same bytes


@postgres_versions
async def test_the_same_bytes_in_the_same_scope_are_one_document(
    database: Database, acme: Workspace, other: Workspace, admin: Admin
) -> None:
    first = await bring(database, acme)
    for name in ("a.txt", "b.txt"):
        again = await bring(database, acme, name=name)
        assert (again.outcome, again.id, again.version) == ("same", first.id, 1)
    await read(database, await claim_document(database, first.id))
    assert (await bring(database, acme, name="c.txt")).outcome == "same"
    for elsewhere in (
        await bring(database, acme, lane=LANE),
        await bring(database, acme, lane="D2:1700000000.000200"),
        await bring(database, other),
    ):
        assert (elsewhere.outcome, elsewhere.version) == ("new", 1)
        assert elsewhere.id != first.id
    assert await count(admin, "documents") == 4
    assert await count(admin, "document_pieces", f"document_id = '{first.id}'") == 1


@postgres_versions
async def test_twins_at_the_same_moment_are_one_document_read_once(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    content = b"x" * (PIECE_BYTES + 1)
    brought = await asyncio.gather(*(bring(database, acme, content, name=f"{n % 3}.txt") for n in range(12)))
    assert len({each.id for each in brought}) == 1
    assert sum(each.queued for each in brought) == 1
    assert await count(admin, "documents") == await count(admin, "document_versions") == 1
    assert await count(admin, "document_pieces") == 2
    assert await count(admin, "inbox") == 1
    assert await admin.fetchval("select live from enablebot.lanes") == 1
    assert await count(admin, "audit", "action = 'document.add'") == 1


async def test_a_twin_finishes_what_another_began_and_never_ended(database: Database, acme: Workspace) -> None:
    crashed = await begin(database, acme, b"AB")
    twin = await bring(database, acme, b"AB", name="b.txt")
    assert (twin.id, twin.version, twin.outcome, twin.queued) == (crashed.id, 1, "new", True)
    # Whoever was thought dead finds it done.
    await fill(database, acme, crashed, b"AB")
    late = await database.queue_document(**version_of(acme, crashed))
    assert (late.gone, late.queued, late.superseded) == (False, False, False)


async def test_bytes_that_failed_may_be_tried_again(database: Database, acme: Workspace) -> None:
    first = await bring(database, acme)
    claimed = await claim_document(database, first.id)
    await database.begin_reading(**of(claimed))
    await database.fail_document(**of(claimed), reason="It has a password.")
    await settle(database, claimed)
    failed = await get(database, acme, first.id)
    assert (failed.status, failed.reason) == ("failed", "It has a password.")
    again = await bring(database, acme)
    assert (again.outcome, again.id, again.version) == ("replaces", first.id, 2)
    document = await get(database, acme, first.id)
    assert (document.status, document.reason, document.version) == ("queued", None, 2)
    assert (await bring(database, acme, b"A", name="b.txt")).outcome == "same"


async def test_going_back_to_bytes_that_are_being_replaced_replaces_again(database: Database, acme: Workspace) -> None:
    document_id = await add_ready(database, acme, b"A")
    assert (await bring(database, acme, b"B")).version == 2
    back = await bring(database, acme, b"A")
    assert (back.outcome, back.version, back.id) == ("replaces", 3, document_id)


# Lists


async def test_the_list_is_the_workspace_s_own_newest_first_a_page_at_a_time(
    database: Database, acme: Workspace, other: Workspace
) -> None:
    ids = [(await bring(database, acme, bytes([n]), name=f"Report {n}.txt")).id for n in range(5)]
    await bring(database, acme, b"lane", lane=LANE)
    await bring(database, other, b"theirs", name="theirs.txt")
    seen: list[UUID] = []
    after = None
    while page := await database.list_documents(tenant_id=acme.tenant_id, after=after, limit=2, contains=None):
        seen += [row.id for row in page]
        after = page[-1].cursor
    assert seen == ids[::-1]
    for part, found in (("REPORT 3", 1), ("report", 5), ("%", 0), ("_", 0), ("theirs", 0), ("\\", 0)):
        rows = await database.list_documents(tenant_id=acme.tenant_id, after=None, limit=10, contains=part)
        assert len(rows) == found, part
    for nonsense in ("", "1", "1.x", "9" * 40 + f".{uuid4()}", "'; drop table documents; --", f"1.{uuid4()}\x00"):
        with pytest.raises(DataRefused):
            await database.list_documents(tenant_id=acme.tenant_id, after=nonsense, limit=2, contains=None)


# What one workspace may keep


async def test_no_more_documents_and_bytes_are_taken_than_a_workspace_may_keep(
    database: Database, acme: Workspace, other: Workspace, admin: Admin
) -> None:
    for n in range(3):
        await bring(database, acme, bytes([n]) * 10, name=f"{n}.txt", most_documents=3, most_bytes=40)
    over = await begin(database, acme, b"x", name="3.txt", most_documents=3, most_bytes=40)
    assert (over.outcome, over.id, over.documents, over.bytes) == ("over_quota", None, 3, 30)
    over = await begin(database, acme, b"x" * 11, name="3.txt", most_documents=9, most_bytes=40)
    assert over.outcome == "over_quota"
    # What is there is still there, may be replaced by as much as it makes room for, and is nobody else's limit.
    assert (await bring(database, acme, bytes(10), name="0.txt", most_documents=3, most_bytes=40)).outcome == "same"
    replaced = await begin(database, acme, b"x" * 20, name="0.txt", most_documents=3, most_bytes=40)
    assert replaced.outcome == "replaces"
    assert (
        await begin(database, acme, b"x" * 21, name="1.txt", most_documents=3, most_bytes=40)
    ).outcome == "over_quota"
    assert (await begin(database, other, b"x" * 40, most_documents=3, most_bytes=40)).outcome == "new"
    # Read anew, the same bytes count once.
    (last, *_) = await database.list_documents(tenant_id=acme.tenant_id, after=None, limit=1, contains=None)
    await read(database, await claim_document(database, last.id))
    await database.reindex_document(tenant_id=acme.tenant_id, id=last.id, actor="U1")
    assert len(await database.list_document_versions(tenant_id=acme.tenant_id, id=last.id)) == 2
    assert (await begin(database, acme, b"y" * 20, name="0.txt", most_documents=3, most_bytes=40)).outcome == "replaces"
    assert await count(admin, "documents", f"tenant_id = '{acme.tenant_id}'") == 3


async def test_the_last_place_is_taken_once_however_many_want_it(database: Database, acme: Workspace) -> None:
    begun = await asyncio.gather(
        *(begin(database, acme, bytes([n]), name=f"{n}.txt", most_documents=4) for n in range(12))
    )
    assert sorted(each.outcome for each in begun) == ["new"] * 4 + ["over_quota"] * 8
