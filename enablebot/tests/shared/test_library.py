"""The library over a real database: streamed in, sealed, opened again, and refused with reasons."""

import asyncio
import tempfile
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest

from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.keyring import Keyring, generate_master_key
from enablebot.shared.errors import (
    BadRequest,
    EnableBotError,
    FileEmpty,
    NotFound,
    OriginalUnreachable,
    OverQuota,
    SealBroken,
    TooLarge,
    UnsupportedFormat,
)
from enablebot.shared.installations import Installations
from enablebot.shared.knowledge.library import Library, NameTaken
from enablebot.shared.knowledge.originals import InDatabase
from enablebot.shared.models.document import MOST_BYTES, PIECE_BYTES
from enablebot.tests.shared.documents import claim_document, count_rows, read
from enablebot.tests.shared.library_door import add, chunks, library_of, opened
from enablebot.tests.shared.test_installations import grant

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

LANE = "D1:1700000000.000100"
PDF = b"%PDF-1.7\n" + b"x" * 1000


@pytest.fixture
def installations(database: Database) -> Installations:
    return Installations(database, Keyring.parse(generate_master_key(datetime(2026, 11, 22, tzinfo=UTC).date())))


@pytest.fixture
async def acme(installations: Installations) -> UUID:
    return await installations.save(grant("T1"), audit_actor="U1")


@pytest.fixture
async def other(installations: Installations) -> UUID:
    return await installations.save(grant("T2"), audit_actor="U1")


@pytest.fixture
async def library(database: Database, installations: Installations) -> AsyncIterator[Library]:
    opened = library_of(database, installations, InDatabase())
    yield opened
    await opened.aclose()


# In and out


@pytest.mark.parametrize("size", [1, 999, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, MOST_BYTES])
async def test_bytes_come_back_as_they_went_in_however_they_were_cut(
    library: Library, acme: UUID, admin: Admin, size: int
) -> None:
    content = (b"%PDF-1.4\n" + sha256(str(size).encode()).digest() * (size // 32 + 1))[:size]
    added = await add(library, acme, chunks(content, 70_001), name="big.pdf")
    assert (added.outcome, added.document.size_bytes) == ("new", size)
    assert added.document.content_hash == sha256(content).hexdigest()
    assert await opened(library, acme, added.document) == content
    sizes = [row[0] for row in await admin.fetch("select length(sealed) from enablebot.document_pieces order by piece")]
    assert len(sizes) == -(-size // PIECE_BYTES)
    assert max(sizes) <= PIECE_BYTES + 64


async def test_the_whole_content_at_once_or_in_crumbs_is_the_same_document(library: Library, acme: UUID) -> None:
    first = await add(library, acme, PDF)
    again = await add(library, acme, chunks(PDF, 1), name="b.pdf")
    assert (again.outcome, again.document) == ("same", first.document)
    assert first.document.format == "pdf"


async def test_nothing_of_it_stands_in_the_database_in_the_clear(library: Library, acme: UUID, admin: Admin) -> None:
    canary = b"canary-Zq7-Kp2"
    await add(library, acme, b"words " + canary + bytes(0) + b" " + b"x" * PIECE_BYTES)
    for (table,) in await admin.fetch(
        "select relname from pg_class where relnamespace = 'enablebot'::regnamespace and relkind in ('r', 'p')"
    ):
        held = await admin.fetchval(f"select string_agg(to_jsonb(t)::text, '') from enablebot.{table} t") or ""
        assert canary.decode() not in held, table
        assert canary.hex() not in held, table


async def test_a_piece_that_was_changed_or_moved_does_not_open(
    library: Library, acme: UUID, other: UUID, admin: Admin
) -> None:
    one = (await add(library, acme, b"a" * (2 * PIECE_BYTES))).document
    two = (await add(library, acme, b"b" * (2 * PIECE_BYTES), name="b.txt")).document
    theirs = (await add(library, other, b"c" * (2 * PIECE_BYTES))).document
    assert len(await opened(library, acme, one)) == 2 * PIECE_BYTES
    taken = "(select s.sealed from enablebot.document_pieces s where s.document_id = '{}' and s.piece = {})"
    kept = await admin.fetchval("select " + taken.format(one.id, 0))
    write = f"update enablebot.document_pieces p set sealed = {{}} where p.document_id = '{one.id}' and p.piece = 0"
    for put in (
        taken.format(two.id, 0),
        taken.format(theirs.id, 0),
        taken.format(one.id, 1),
        "set_byte(p.sealed, 100, 1 + get_byte(p.sealed, 100) % 255)",
        "substr(p.sealed, 1, 1000)",
    ):
        await admin.execute(write.format(put))
        with pytest.raises(SealBroken):
            await opened(library, acme, one)
        await admin.execute(write.format("$1"), kept)
    assert await opened(library, acme, one) == b"a" * (2 * PIECE_BYTES)


async def test_memory_does_not_grow_with_the_document(library: Library, acme: UUID) -> None:
    async def content(megabytes: int) -> AsyncIterator[bytes]:
        for number in range(megabytes * 16):
            yield b"%04d" % number * 16_384

    peaks = []
    # The first is there so that nothing is loaded for the first time later.
    for megabytes in (2, 3, MOST_BYTES // 2**20):
        tracemalloc.start()
        try:
            added = await add(library, acme, content(megabytes), name=f"{megabytes}.csv")
            async for _ in library.open_original(acme, added.document):
                pass
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[2] - peaks[1] < 3 * PIECE_BYTES


# Names, titles, channels


async def test_names_are_cleaned_and_titles_and_channels_may_come_last(library: Library, acme: UUID) -> None:
    told: list[str] = []

    async def content() -> AsyncIterator[bytes]:
        yield b"%PDF-1.7"
        told.append("end")

    added = await add(
        library,
        acme,
        content(),
        name="../../etc/\u202eplan\x00.pdf\r\n",
        title=lambda: f"Plan\n{told[0]}",
        channels=lambda: ["C0A", "C0A", "C0B"],
    )
    document = added.document
    assert (document.name, document.title, document.channels) == ("plan.pdf", "Plan end", ("C0A", "C0B"))
    assert (await add(library, acme, b"words", name="..")).document.name == "document"


@pytest.mark.parametrize(
    "channels", [["general"], ["C1; drop"], ["C" * 40], ["\u202e"], ["C1", ""], [f"C{n}" for n in range(501)]]
)
async def test_what_is_no_channel_is_refused_and_nothing_stored(
    library: Library, acme: UUID, admin: Admin, channels: list[str]
) -> None:
    with pytest.raises(BadRequest):
        await add(library, acme, channels=channels)
    assert await count_rows(admin, "documents") == 0
    document = (await add(library, acme)).document
    with pytest.raises(BadRequest):
        await library.bind(acme, document.id, channels=channels, actor="U1")


# What is refused


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", FileEmpty),
        (b"MZ\x90\x00\x03\x00", UnsupportedFormat),
        (b"%PDF-" + bytes(MOST_BYTES - 4), TooLarge),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_what_cannot_be_a_document_is_refused_with_a_remedy_and_leaves_nothing(
    library: Library, acme: UUID, admin: Admin, content: bytes, error: type[EnableBotError], streamed: bool
) -> None:
    with pytest.raises(error) as refused:
        await add(library, acme, chunks(content, 500_000) if streamed else content, name="x.pdf")
    assert refused.value.message.count(".") >= 2
    for table in ("documents", "document_versions", "document_pieces", "inbox"):
        assert await count_rows(admin, table) == 0


async def test_reading_stops_with_the_first_byte_too_many(library: Library, acme: UUID) -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += PIECE_BYTES
            yield b"x" * PIECE_BYTES

    with pytest.raises(TooLarge):
        await add(library, acme, endless())
    assert given == MOST_BYTES + PIECE_BYTES


class HungUp(Exception):
    """Whoever sent it is gone."""


async def test_what_breaks_off_passes_through_and_leaves_nothing(library: Library, acme: UUID, admin: Admin) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"%PDF-" + bytes(3 * PIECE_BYTES)
        raise HungUp

    async def forever() -> AsyncIterator[bytes]:
        yield b"%PDF-" + bytes(3 * PIECE_BYTES)
        await asyncio.Event().wait()

    with pytest.raises(HungUp):
        await add(library, acme, broken())
    upload = asyncio.create_task(add(library, acme, forever()))
    await asyncio.sleep(0.1)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert await count_rows(admin, "documents") == await count_rows(admin, "document_pieces") == 0


async def test_a_machine_without_room_says_so_and_small_documents_need_none(
    library: Library, acme: UUID, admin: Admin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(OriginalUnreachable, match="TMPDIR"):
        await add(library, acme, b"x" * (PIECE_BYTES + 1))
    assert await count_rows(admin, "documents") == 0
    assert (await add(library, acme, b"x" * PIECE_BYTES)).outcome == "new"


async def test_whoever_hangs_up_after_the_last_byte_has_added_it(library: Library, acme: UUID, admin: Admin) -> None:
    ended = asyncio.Event()

    async def content() -> AsyncIterator[bytes]:
        yield b"%PDF-" + bytes(5 * PIECE_BYTES)
        ended.set()

    upload = asyncio.create_task(add(library, acme, content()))
    await ended.wait()
    # Into the middle of its pieces.
    while not await count_rows(admin, "document_pieces"):
        await asyncio.sleep(0.005)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await library.aclose()
    (document,) = (await library.list(acme)).documents
    assert document.status == "queued"
    assert len(await opened(library, acme, document)) == 5 + 5 * PIECE_BYTES


async def test_a_full_workspace_is_told_what_to_do_and_another_is_not_full(
    database: Database, installations: Installations, acme: UUID, other: UUID
) -> None:
    small = library_of(database, installations, InDatabase(), most_documents=2, most_bytes=2**20)
    await add(small, acme, b"one")
    with pytest.raises(OverQuota, match="1 MB together"):
        await add(small, acme, b"x" * 2**20, name="b.txt")
    await add(small, acme, b"two", name="b.txt")
    with pytest.raises(OverQuota, match="keeps 2 documents"):
        await add(small, acme, b"three", name="c.txt")
    await add(small, other, b"three", name="c.txt")
    await small.delete(acme, (await small.list(acme)).documents[0].id, undo_seconds=0, actor="U1")
    assert (await add(small, acme, b"three", name="c.txt")).outcome == "new"


# Twins


async def test_the_same_file_at_the_same_moment_is_one_document(library: Library, acme: UUID, admin: Admin) -> None:
    content = b"%PDF-" + bytes(2 * PIECE_BYTES)
    added = await asyncio.gather(*(add(library, acme, chunks(content, 100_000), name=f"{n % 2}.pdf") for n in range(6)))
    assert len({each.document.id for each in added}) == 1
    assert sorted(each.outcome for each in added) == ["new"] + ["same"] * 5
    assert await count_rows(admin, "document_pieces") == 3
    assert await opened(library, acme, added[0].document) == content


async def test_a_file_deleted_while_it_is_added_again_is_there_afterwards(library: Library, acme: UUID) -> None:
    for turn in range(10):
        first = (await add(library, acme, b"same words")).document

        async def delete(document_id: UUID = first.id, undo: int = turn % 2 * 600) -> None:
            await library.delete(acme, document_id, undo_seconds=undo, actor="U1")

        added, _ = await asyncio.gather(add(library, acme, b"same words"), delete())
        listed = (await library.list(acme)).documents
        # Deleted after it was found to be the same, or before: then it is new.
        assert listed == () if added.outcome == "same" else [document.id for document in listed] == [added.document.id]
        for document in listed:
            await library.delete(acme, document.id, undo_seconds=0, actor="U1")


# Who sees what


async def test_what_is_missing_foreign_hidden_or_a_conversation_s_is_not_found_alike(
    library: Library, acme: UUID, other: UUID
) -> None:
    theirs = (await add(library, other)).document
    of_lane = (await add(library, acme, lane=LANE)).document
    gone = (await add(library, acme, b"gone", name="gone.txt")).document
    await library.delete(acme, gone.id, undo_seconds=0, actor="U1")
    words = set()
    for document_id in (uuid4(), theirs.id, of_lane.id, gone.id):
        for call in (
            library.get(acme, document_id),
            library.versions(acme, document_id),
            library.delete(acme, document_id, undo_seconds=0, actor="U1"),
            library.restore(acme, document_id, actor="U1"),
            library.reindex(acme, document_id, actor="U1"),
            library.bind(acme, document_id, channels=[], actor="U1"),
        ):
            with pytest.raises(NotFound) as missing:
                await call
            words.add(missing.value.message)
    assert len(words) == 1
    with pytest.raises(NotFound):
        await opened(library, acme, theirs)
    with pytest.raises(NotFound):
        await opened(library, uuid4(), theirs)
    assert await opened(library, other, theirs) == b"some words"


async def test_a_conversation_s_document_is_reached_by_those_who_ask_for_it(library: Library, acme: UUID) -> None:
    document = (await add(library, acme, lane=LANE)).document
    reach: dict[str, Any] = {"reach": "conversations too"}
    assert (await library.get(acme, document.id, **reach)).lane == LANE
    assert (await library.list(acme)).documents == ()
    await library.delete(acme, document.id, undo_seconds=600, actor="U1", **reach)
    assert await library.list_deleted(acme) == ()
    with pytest.raises(NotFound):
        await library.get(acme, document.id, **reach)
    assert (await library.restore(acme, document.id, actor="U1", **reach)).status == "queued"
    assert (await library.reindex(acme, document.id, actor="U1", **reach)).status == "queued"
    await library.delete(acme, document.id, undo_seconds=0, actor="U1", **reach)


async def test_the_list_goes_on_where_the_page_before_it_ended(library: Library, acme: UUID, other: UUID) -> None:
    names = [f"{n}.txt" for n in range(5)]
    for name in names:
        await add(library, acme, name.encode(), name=name)
    seen, after = [], None
    while True:
        page = await library.list(acme, after=after, limit=2)
        seen += [document.name for document in page.documents]
        if (after := page.next) is None:
            break
    assert seen == names[::-1]
    assert (await library.list(acme, limit=5)).next is None
    assert (await library.list(other, after=(await library.list(acme, limit=1)).next)).documents == ()
    with pytest.raises(BadRequest):
        await library.list(acme, after="x")


# Undone, read anew


async def test_a_deletion_may_be_undone_unless_its_place_is_taken(
    library: Library, acme: UUID, database: Database
) -> None:
    document = (await add(library, acme)).document
    await library.delete(acme, document.id, undo_seconds=600, actor="U1")
    with pytest.raises(NotFound):
        await opened(library, acme, document)
    assert [hidden.id for hidden in await library.list_deleted(acme)] == [document.id]
    restored = await library.restore(acme, document.id, actor="U1")
    assert restored == await library.restore(acme, document.id, actor="U1")
    assert await opened(library, acme, restored) == b"some words"
    await library.delete(acme, document.id, undo_seconds=600, actor="U1")
    await add(library, acme, b"other words")
    with pytest.raises(NameTaken, match=r"a\.txt"):
        await library.restore(acme, document.id, actor="U1")


async def test_a_replacement_and_reading_anew_open_their_own_bytes(
    library: Library, acme: UUID, database: Database
) -> None:
    document = (await add(library, acme, b"old words")).document
    await read(database, await claim_document(database, document.id))
    replaced = await add(library, acme, b"new words")
    assert (replaced.outcome, replaced.document.status, replaced.document.version) == ("replaces", "ready", 1)
    assert await opened(library, acme, replaced.document) == b"old words"
    assert b"".join([piece async for piece in library.open_version(acme, document.id, 2)]) == b"new words"
    await read(database, await claim_document(database, document.id))
    with pytest.raises(NotFound):
        await opened(library, acme, replaced.document)
    assert (await library.reindex(acme, document.id, actor="U1")).replacement is not None
    await read(database, await claim_document(database, document.id))
    document = await library.get(acme, document.id)
    assert document.version == 3
    assert await opened(library, acme, document) == b"new words"
    assert [version.version for version in await library.versions(acme, document.id)] == [3]
