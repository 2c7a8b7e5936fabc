"""Vectors beside the words: embedded while a document is read, and caught up with after an outage or a new model."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from enablebot.api.knowledge import vectors as vectors_module
from enablebot.api.knowledge.vectors import MOST_TRIES, TEXTS_AT_ONCE, Vectors
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import ModelError
from enablebot.shared.installations import Installations
from enablebot.tests.api.ingest_room import Admin, IngestRoom, open_room, passages_of, saying
from enablebot.tests.api.slack_side import OTHER_TEAM, TEAM, install

pytestmark = pytest.mark.anyio


class Letters:
    """An embedding model that counts letters, and fails as a test says."""

    def __init__(
        self, model: str = "letters-1", fail: Callable[[Sequence[str]], ModelError | None] | None = None
    ) -> None:
        self.model = model
        self.fail = fail or (lambda _: None)
        self.asked: list[int] = []
        self.texts: list[str] = []
        self.underway = 0
        self.most_underway = 0

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.asked.append(len(texts))
        self.underway += 1
        self.most_underway = max(self.most_underway, self.underway)
        try:
            await asyncio.sleep(0.001)
            error = self.fail(texts)
            if error is not None:
                raise error
        finally:
            self.underway -= 1
        self.texts += texts
        return [[1.0 + text.count(letter) for letter in "aeioust"] for text in texts]

    async def aclose(self) -> None:
        """Nothing was opened."""


def error(reason: Any, *, retry_after: float | None = None) -> ModelError:
    return ModelError("It did not answer.", reason=reason, retry_after=retry_after)


@pytest.fixture
async def room(api_database: Database, installations: Installations, admin: Admin) -> IngestRoom:
    await install(installations, TEAM)
    await install(installations, OTHER_TEAM)
    return await open_room(api_database, admin, installations, TEAM)


async def read(room: IngestRoom, many: int, embedder: Letters, *, name: str = "handbook.txt") -> Vectors:
    """Add and read a document of so many passages."""
    await room.add(f"{name} of {many}", name=name)
    vectors = room.vectors(embedder)
    said = passages_of(room.tenant_id, [f"holidays {number}" for number in range(many)], title="Title it has inside")
    assert (await room.read(room.ingest(read=saying(*said), vectors=vectors))).name == "done"
    return vectors


async def stored(room: IngestRoom) -> dict[str, int]:
    rows = await room.admin.fetch("select model, count(*)::int as n from enablebot.passage_vectors group by model")
    return {row["model"]: row["n"] for row in rows}


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await true():
            await asyncio.sleep(0.01)


def calls(room: IngestRoom, outcome: str) -> float:
    return room.metrics.registry.get_sample_value("enablebot_embedding_calls_total", {"outcome": outcome}) or 0.0


async def test_every_passage_is_embedded_with_its_context_before_it_is_published(room: IngestRoom) -> None:
    embedder = Letters()
    await read(room, 3 * TEXTS_AT_ONCE + 1, embedder)
    assert await stored(room) == {"letters-1": 3 * TEXTS_AT_ONCE + 1}
    assert max(embedder.asked) <= TEXTS_AT_ONCE
    assert embedder.most_underway > 1
    assert all(text.startswith("Title it has inside") for text in embedder.texts)
    assert len(set(embedder.texts)) == len(embedder.texts)
    assert calls(room, "ok") == 4


@pytest.mark.parametrize("reason", ["rate_limited", "unavailable", "timeout"])
async def test_a_model_that_fails_for_a_moment_is_asked_again(room: IngestRoom, reason: str) -> None:
    failures = [error(reason, retry_after=0.01)] * 2
    embedder = Letters(fail=lambda _: failures.pop() if failures else None)
    await read(room, 5, embedder)
    assert await stored(room) == {"letters-1": 5}
    assert embedder.asked == [5, 5, 5]
    assert calls(room, reason) == 2


async def test_what_the_model_s_server_asks_to_wait_is_waited(
    room: IngestRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        waited.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    failures = [error("rate_limited", retry_after=7.0)]
    embedder = Letters(fail=lambda _: failures.pop() if failures else None)
    assert await room.vectors(embedder)._ask(["text"])
    assert 7.0 in waited


@pytest.mark.parametrize(("reason", "asked"), [("unavailable", MOST_TRIES), ("auth", 1), ("quota", 1)])
async def test_without_its_model_a_document_is_published_with_its_words(
    room: IngestRoom, reason: str, asked: int, caplog: pytest.LogCaptureFixture
) -> None:
    embedder = Letters(fail=lambda _: error(reason))
    await read(room, 5, embedder)
    assert len(await room.found("holidays")) == 5
    assert await stored(room) == {}
    assert len(embedder.asked) == asked
    assert "found by its words only" in caplog.text


async def test_during_an_outage_the_next_documents_do_not_wait_for_it(room: IngestRoom) -> None:
    embedder = Letters(fail=lambda _: error("unavailable"))
    room.time_scale = 1.0
    vectors = room.vectors(embedder)
    vectors._rest(error("unavailable"))
    await room.add("another")
    said = passages_of(room.tenant_id, ["holidays"])
    assert (await room.read(room.ingest(read=saying(*said), vectors=vectors))).name == "done"
    assert embedder.asked == []


async def test_a_slow_model_holds_a_document_up_for_a_while_only(room: IngestRoom) -> None:
    class Slow(Letters):
        async def embed(self, texts: Sequence[str]) -> list[list[float]]:
            await asyncio.Event().wait()
            return []

    await read(room, 5, Slow())
    assert len(await room.found("holidays")) == 5
    assert await stored(room) == {}


async def test_a_text_the_model_refuses_keeps_none_of_the_others_from_theirs(room: IngestRoom) -> None:
    embedder = Letters(fail=lambda texts: error("too_long") if any("holidays 13" in text for text in texts) else None)
    await read(room, 40, embedder)
    assert await stored(room) == {"letters-1": 39}


async def test_what_an_outage_left_out_is_caught_up_with(room: IngestRoom) -> None:
    embedder = Letters(fail=lambda _: error("unavailable"))
    vectors = await read(room, 50, embedder)
    assert await stored(room) == {}
    embedder.fail = lambda _: None
    vectors.start()
    try:
        await until(lambda: _equals(room, {"letters-1": 50}))
        vectors._look.set()
        await until(lambda: _gauge(room, 0.0))
    finally:
        await vectors.aclose()


async def test_a_new_model_has_everything_embedded_anew_and_nothing_mixed(room: IngestRoom) -> None:
    await read(room, 40, Letters("letters-1"))
    newer = Letters("letters-2")
    vectors = room.vectors(newer)
    vectors.start()
    try:
        await until(lambda: _equals(room, {"letters-2": 40}))
    finally:
        await vectors.aclose()
    assert max(newer.asked) <= TEXTS_AT_ONCE


async def test_catching_up_takes_turns_between_workspaces(
    room: IngestRoom,
    api_database: Database,
    installations: Installations,
    admin: Admin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = await open_room(api_database, admin, installations, OTHER_TEAM)
    down = Letters(fail=lambda _: error("unavailable"))
    await read(room, 300, down)
    await read(other, 5, down)
    monkeypatch.setattr(vectors_module, "_TURNS_A_LOOK", 1)
    vectors = room.vectors(Letters())
    assert await vectors._catch_up()
    rows = await admin.fetch("select tenant_id, count(*)::int as n from enablebot.passage_vectors group by tenant_id")
    assert {row["tenant_id"]: row["n"] for row in rows} == {room.tenant_id: TEXTS_AT_ONCE, other.tenant_id: 5}
    assert room.metrics.registry.get_sample_value("enablebot_passages_without_vectors") == 305


async def test_a_batch_that_the_model_refuses_is_passed_by(room: IngestRoom) -> None:
    down = Letters(fail=lambda _: error("unavailable"))
    await read(room, vectors_module._CHOICE * TEXTS_AT_ONCE + 10, down)
    vectors = room.vectors(Letters(fail=lambda texts: None if "holidays 13" in texts[0] else error("bad_request")))
    for _ in range(3):
        await vectors._catch_up()
    assert (await stored(room)).get("letters-1", 0) > 0


async def test_a_database_that_is_away_does_not_end_it(room: IngestRoom) -> None:
    vectors = await read(room, 5, Letters(fail=lambda _: error("unavailable")))
    vectors._embedder = Letters()
    count, failures = room.database.count_passages_without_vectors, 2

    async def flaky(**arguments: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise RuntimeError("a fault of ours")
        return await count(**arguments)

    setattr(room.database, "count_passages_without_vectors", flaky)  # noqa: B010 - a method of an instance
    vectors.start()
    try:
        await until(lambda: _equals(room, {"letters-1": 5}))
    finally:
        await vectors.aclose()


async def _equals(room: IngestRoom, wanted: dict[str, int]) -> bool:
    return await stored(room) == wanted


async def _gauge(room: IngestRoom, wanted: float) -> bool:
    return room.metrics.registry.get_sample_value("enablebot_passages_without_vectors") == wanted
