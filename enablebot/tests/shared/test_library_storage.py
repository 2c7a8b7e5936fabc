"""The library with its originals in Supabase Storage."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest

from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.keyring import Keyring, generate_master_key
from enablebot.shared.errors import (
    NotFound,
    OriginalUnreachable,
)
from enablebot.shared.installations import Installations
from enablebot.shared.knowledge.library import Library
from enablebot.shared.knowledge.originals import InDatabase, SupabaseStorage
from enablebot.shared.models.document import PIECE_BYTES
from enablebot.tests.shared.documents import claim_document, count_rows, make_due, read, traces
from enablebot.tests.shared.library_door import add, library_of, opened
from enablebot.tests.shared.storage_stand_in import KEY, Storage, storage_stand_in
from enablebot.tests.shared.test_installations import grant

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


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
async def storage() -> AsyncIterator[Storage]:
    async with storage_stand_in() as running:
        yield running
        assert running.faults == []


@pytest.fixture
async def library(database: Database, installations: Installations) -> AsyncIterator[Library]:
    opened = library_of(database, installations, InDatabase())
    yield opened
    await opened.aclose()


@pytest.fixture
async def stored(database: Database, installations: Installations, storage: Storage) -> AsyncIterator[Library]:
    """The library with its originals in Supabase Storage."""
    opened = library_of(database, installations, await SupabaseStorage.connect(storage.url, KEY))
    yield opened
    await opened.aclose()


async def test_originals_in_storage_are_sealed_and_leave_with_their_document(
    stored: Library, storage: Storage, acme: UUID, other: UUID, admin: Admin
) -> None:
    content = b"canary-Zq7 " + b"x" * (2 * PIECE_BYTES)
    document = (await add(stored, acme, content)).document
    kept = (await add(stored, other, content)).document
    assert storage.object_names() == sorted(
        f"{tenant}/{one.id}/1-{piece}" for tenant, one in ((acme, document), (other, kept)) for piece in range(3)
    )
    assert not any(b"canary-Zq7" in sealed for objects in storage.buckets.values() for sealed in objects.values())
    assert await count_rows(admin, "document_pieces", "sealed is not null") == 0
    assert await opened(stored, acme, document) == content
    await stored.delete(acme, document.id, undo_seconds=0, actor="U1")
    assert all(name.startswith(f"{other}/{kept.id}/") for name in storage.object_names())
    assert len(storage.object_names()) == 3
    assert await traces(admin, document.id) == {"audit"}
    assert await stored.purge() == 0


async def test_what_storage_would_not_let_go_is_removed_by_the_next_turn(
    stored: Library, storage: Storage, acme: UUID, admin: Admin
) -> None:
    document = (await add(stored, acme)).document
    storage.fails_with = 503
    await stored.delete(acme, document.id, undo_seconds=0, actor="U1")
    with pytest.raises(NotFound):
        await stored.get(acme, document.id)
    assert await stored.purge() == 0
    assert len(storage.object_names()) == 1
    storage.fails_with = None
    assert await stored.purge() == 1
    assert storage.object_names() == []
    assert await traces(admin, document.id) == {"audit"}


async def test_a_replaced_or_abandoned_original_leaves_storage_and_the_others_stay(
    stored: Library, storage: Storage, acme: UUID, database: Database, admin: Admin
) -> None:
    document = (await add(stored, acme, b"old")).document
    await read(database, await claim_document(database, document.id))
    await add(stored, acme, b"new")
    await read(database, await claim_document(database, document.id))
    storage.fails_with = 500
    with pytest.raises(OriginalUnreachable):
        await add(stored, acme, b"half", name="b.txt")
    storage.fails_with = None
    assert (await stored.list(acme)).documents == (await stored.get(acme, document.id),)
    assert await stored.purge() == 1
    await make_due(admin)
    assert await stored.purge() == 1
    assert storage.object_names() == [f"{acme}/{document.id}/2-0"]
    assert await count_rows(admin, "document_versions") == await count_rows(admin, "document_pieces") == 1
    assert await opened(stored, acme, await stored.get(acme, document.id)) == b"new"


async def test_an_upload_that_storage_refused_half_way_is_finished_by_the_next_attempt(
    stored: Library, storage: Storage, acme: UUID
) -> None:
    content = b"x" * (2 * PIECE_BYTES)
    storage.fails_with = 500
    with pytest.raises(OriginalUnreachable):
        await add(stored, acme, content)
    storage.fails_with = None
    added = await add(stored, acme, content)
    assert (added.outcome, added.document.version) == ("new", 1)
    assert await opened(stored, acme, added.document) == content


async def test_a_library_without_storage_says_where_the_bytes_are(
    stored: Library, library: Library, storage: Storage, acme: UUID
) -> None:
    document = (await add(stored, acme)).document
    with pytest.raises(OriginalUnreachable, match="SUPABASE_URL"):
        await opened(library, acme, document)
    assert (await add(library, acme, b"in the database", name="b.txt")).outcome == "new"
    assert [d.name for d in (await stored.list(acme)).documents] == ["b.txt", "a.txt"]
    assert await opened(stored, acme, (await stored.list(acme)).documents[0]) == b"in the database"
