"""Where sealed pieces lie: Supabase Storage over its HTTP API, or nowhere but in the database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr

from enablebot.config.settings import DatabaseSettings
from enablebot.shared.errors import OriginalUnreachable
from enablebot.shared.knowledge.originals import BUCKET, InDatabase, SupabaseStorage, open_originals
from enablebot.tests.shared.storage_stand_in import KEY, Storage, storage_stand_in

pytestmark = pytest.mark.anyio

ACME, OTHER, PLAN, NOTE = (UUID(int=number) for number in range(1, 5))
SEALED = bytes(range(256)) * 4096


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    async with storage_stand_in() as running:
        yield running
        assert running.faults == []


@pytest.fixture
async def originals(storage: Storage) -> AsyncIterator[SupabaseStorage]:
    opened = await SupabaseStorage.connect(storage.url, KEY)
    yield opened
    await opened.aclose()


async def test_a_piece_comes_back_as_it_was_put_and_the_bucket_is_private(
    storage: Storage, originals: SupabaseStorage
) -> None:
    assert originals.is_elsewhere
    for piece, sealed in ((0, SEALED), (1, b"rest"), (1, b"\x00")):
        await originals.put(ACME, PLAN, 3, piece, sealed)
        assert await originals.get(ACME, PLAN, 3, piece) == sealed
    assert list(storage.buckets) == [BUCKET]
    assert storage.public == set()
    assert storage.object_names() == [f"{ACME}/{PLAN}/3-0", f"{ACME}/{PLAN}/3-1"]
    assert storage.calls.count("POST /bucket") == 1


async def test_the_first_pieces_may_meet_the_missing_bucket_together(
    storage: Storage, originals: SupabaseStorage
) -> None:
    await asyncio.gather(*(originals.put(ACME, PLAN, 1, piece, b"x") for piece in range(8)))
    assert len(storage.object_names()) == 8


async def test_removing_takes_the_named_originals_of_one_document_and_nothing_else(
    storage: Storage, originals: SupabaseStorage
) -> None:
    for tenant in (ACME, OTHER):
        for document in (PLAN, NOTE):
            for original in (1, 11, 2):
                await originals.put(tenant, document, original, 0, b"x")
    await originals.remove(ACME, PLAN, [1])
    assert [name for name in storage.object_names() if name.startswith(f"{ACME}/{PLAN}/")] == [
        f"{ACME}/{PLAN}/11-0",
        f"{ACME}/{PLAN}/2-0",
    ]
    await originals.remove(ACME, PLAN, [1, 2, 11])
    await originals.remove(ACME, PLAN, [1, 2, 11])
    assert not [name for name in storage.object_names() if str(PLAN) in name and str(ACME) in name]
    assert len(storage.object_names()) == 9


async def test_removing_reaches_behind_the_first_page(storage: Storage, originals: SupabaseStorage) -> None:
    await originals.put(ACME, PLAN, 1, 0, b"x")
    objects = storage.buckets[BUCKET]
    objects |= {f"{ACME}/{PLAN}/{original}-{piece}": b"x" for original in (1, 2) for piece in range(1200)}
    await originals.remove(ACME, PLAN, [2])
    assert {name.rpartition("/")[2].split("-")[0] for name in objects} == {"1"}
    assert len(objects) == 1200


async def test_what_is_not_there_is_said_and_the_server_s_words_are_not_repeated(
    storage: Storage, originals: SupabaseStorage
) -> None:
    with pytest.raises(OriginalUnreachable):
        await originals.get(ACME, PLAN, 1, 0)
    await originals.put(ACME, PLAN, 1, 0, b"x")
    with pytest.raises(OriginalUnreachable, match="404"):
        await originals.get(OTHER, PLAN, 1, 0)
    storage.fails_with = 503
    for call in (
        originals.put(ACME, PLAN, 1, 0, b"x"),
        originals.get(ACME, PLAN, 1, 0),
        originals.remove(ACME, PLAN, [1]),
    ):
        with pytest.raises(OriginalUnreachable) as failed:
            await call
        assert "503" in failed.value.message
        assert "sb_secret" not in failed.value.message
    storage.fails_with = None
    assert storage.buckets[BUCKET] == {f"{ACME}/{PLAN}/1-0": b"x"}


async def test_a_web_page_in_its_place_is_no_storage(storage: Storage, originals: SupabaseStorage) -> None:
    storage.broken = True
    for call in (originals.put(ACME, PLAN, 1, 0, b"x"), originals.remove(ACME, PLAN, [1])):
        with pytest.raises(OriginalUnreachable):
            await call


async def test_a_wrong_key_and_a_closed_port_are_said(storage: Storage) -> None:
    stranger = await SupabaseStorage.connect(storage.url, "sb_secret_wrong")
    with pytest.raises(OriginalUnreachable, match="403"):
        await stranger.put(ACME, PLAN, 1, 0, b"x")
    await stranger.aclose()
    nobody = await SupabaseStorage.connect("http://127.0.0.1:9", KEY)
    with pytest.raises(OriginalUnreachable, match="did not answer"):
        await nobody.get(ACME, PLAN, 1, 0)
    await nobody.aclose()


async def test_without_storage_pieces_are_the_database_s_and_earlier_ones_cannot_be_reached() -> None:
    originals = InDatabase()
    assert not originals.is_elsewhere
    for call in (
        originals.put(ACME, PLAN, 1, 0, b"x"),
        originals.get(ACME, PLAN, 1, 0),
        originals.remove(ACME, PLAN, [1]),
    ):
        with pytest.raises(OriginalUnreachable, match="SUPABASE_URL"):
            await call
    await originals.aclose()


async def test_the_settings_decide_where_pieces_lie(tmp_path: Path) -> None:
    for changes, elsewhere in (
        ({}, False),
        ({"supabase_url": "http://127.0.0.1:9"}, False),
        ({"supabase_url": "http://127.0.0.1:9", "supabase_service_key": SecretStr(KEY)}, True),
    ):
        originals = await open_originals(DatabaseSettings(data_dir=tmp_path, **changes))
        assert originals.is_elsewhere == elsewhere
        await originals.aclose()
