"""What becomes of a live document's passages, call by call, with the answers each must give over every transport."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DataRefused


async def passage_life(
    database: Database, tenant_id: UUID, stranger: UUID, document_id: UUID, texts: Sequence[str]
) -> None:
    """Read, find, embed and find again three passages: terms 1 and 5, 5 and 9, 11. Channel C1 sees them."""
    read = await database.read_passages(tenant_id=tenant_id, document_id=document_id, after_position=0, limit=5)
    assert [(row.position, row.text) for row in read] == [(1, texts[1]), (2, texts[2])]
    assert read[0].heading == ("Prices",)
    assert read[0].place == {"page": 2, "last_page": 3}
    for whose, which in ((stranger, document_id), (tenant_id, UUID(int=0))):
        assert await database.read_passages(tenant_id=whose, document_id=which, after_position=-1, limit=5) == []

    asked: dict[str, Any] = {
        "term_ids": [5, 9, 12],
        "counts": [1.0, 2.0, 1.0],
        "limit": 5,
        "model": None,
        "vector": None,
    }
    here: dict[str, Any] = {"tenant_id": tenant_id, "channel": "C1", "lane": None}
    found = await database.search_passages(**here, **asked)
    assert [row.position for row in found.found] == [1, 0]
    assert found.found[0].text == texts[1]
    assert found.found[0].score == found.found[0].words
    assert found.found[0].meaning is None
    for elsewhere in ({"channel": "C9"}, {"channel": None}, {"tenant_id": stranger}):
        assert (await database.search_passages(**here | elsewhere, **asked)).found == ()

    (waiting,) = await database.count_passages_without_vectors(model="m1", limit=5)
    assert (waiting.tenant_id, waiting.passages) == (tenant_id, 3)
    of_the_model: dict[str, Any] = {"tenant_id": tenant_id, "model": "m1"}
    version: dict[str, Any] = {"document_id": document_id, "version": 1}
    listed = await database.list_passages_without_vectors(**of_the_model, **version, after=None, limit=2)
    assert [row.text for row in listed] == list(texts[:2])
    ids = [row.id for row in listed]
    rest = await database.list_passages_without_vectors(
        **of_the_model, document_id=None, version=None, after=ids[-1], limit=5
    )
    assert [row.text for row in rest] == [texts[2]]
    added = await database.add_vectors(
        **of_the_model, passage_ids=[*ids, rest[0].id, 10**12], vectors=[(3.0, 4.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]
    )
    assert added == 3
    assert await database.count_passages_without_vectors(model="m1", limit=5) == []
    with pytest.raises(DataRefused):
        await database.add_vectors(**of_the_model, passage_ids=ids[:1], vectors=[()])

    both = await database.search_passages(**here, **asked | {"model": "m1", "vector": (6.0, 8.0)})
    assert [row.position for row in both.found] == [1, 0, 2]
    assert both.unembedded == 0
    assert both.found[1].meaning == pytest.approx(1, abs=0.001)
    other = await database.search_passages(**here, **asked | {"model": "m2", "vector": (6.0, 8.0)})
    assert [row.position for row in other.found] == [1, 0]
    assert other.unembedded == 2
