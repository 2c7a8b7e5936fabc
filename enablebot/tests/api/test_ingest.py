"""Reading a document over a real database: all of it can be found at once, or nothing of it, whatever happens."""

import asyncio
import logging
from typing import Any

import pytest

from enablebot.api.handling import LOST_TOO_OFTEN
from enablebot.api.knowledge import ingest as ingest_module
from enablebot.api.knowledge.sayings import CannotRead, Progress, Said
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import OriginalUnreachable, StaleClaim
from enablebot.shared.installations import Installations
from enablebot.shared.models.question import Outcome
from enablebot.tests.api.dying import Killed, Struck
from enablebot.tests.api.ingest_room import Admin, IngestRoom, damaged, open_room, passages_of, saying
from enablebot.tests.api.slack_side import OTHER_TEAM, TEAM, install

pytestmark = pytest.mark.anyio

HOLIDAYS = "Everybody has thirty days of holidays a year.\n\nBooks go back to the library on Fridays."


@pytest.fixture
async def room(api_database: Database, installations: Installations, admin: Admin) -> IngestRoom:
    await install(installations, TEAM)
    await install(installations, OTHER_TEAM)
    return await open_room(api_database, admin, installations, TEAM)


async def test_a_text_is_read_by_a_child_and_found(room: IngestRoom) -> None:
    document = await room.add(HOLIDAYS)
    assert await room.found("holidays") == []
    assert await room.ingest().handle(await room.claim()) == Outcome("done")
    ready = await room.get(document)
    assert (ready.status, ready.progress, ready.reason, ready.live_version) == ("ready", 100, None, 1)
    assert ready.passages == 1
    (text,) = await room.found("how many holidays")
    assert "thirty days" in text
    assert await room.faults() == []
    assert room.metrics.registry.get_sample_value("enablebot_documents_total", {"outcome": "ready"}) == 1
    assert room.metrics.registry.get_sample_value("enablebot_passages_total") == 1


async def test_another_workspace_finds_nothing_of_it(
    room: IngestRoom, api_database: Database, installations: Installations, admin: Admin
) -> None:
    await room.add(HOLIDAYS)
    await room.ingest().handle(await room.claim())
    other = await open_room(api_database, admin, installations, OTHER_TEAM)
    assert await other.found("how many holidays") == []


async def test_a_document_of_several_pieces_and_batches_is_whole(room: IngestRoom) -> None:
    lines = [f"Paragraph {number} speaks of the number{number} alone. " + "word " * 150 for number in range(2011)]
    content = "\n\n".join(lines)
    assert len(content) > 1024 * 1024
    document = await room.add(content)
    assert (await room.ingest().handle(await room.claim())).name == "done"
    ready = await room.get(document)
    assert ready.passages is not None
    assert ready.passages > ingest_module.PASSAGES_AT_ONCE
    for number in (0, 999, 2010):
        assert any(f"number{number} " in text for text in await room.found(f"number{number}"))
    assert await room.faults() == []


async def test_nothing_is_found_before_all_of_it_is_there(room: IngestRoom) -> None:
    seen: list[list[str]] = []

    async def look(_: Said | Exception) -> None:
        seen.append(await room.found("holidays"))

    await room.add(HOLIDAYS)
    said = passages_of(room.tenant_id, [f"holidays {number}" for number in range(250)])
    assert (await room.ingest(read=saying(*said, then=look)).handle(await room.claim())).name == "done"
    assert not any(seen)
    assert len(await room.found("holidays")) == 10


async def test_a_file_that_cannot_be_read_says_why_and_leaves_nothing_behind(room: IngestRoom) -> None:
    document = await room.add(HOLIDAYS)
    said = passages_of(room.tenant_id, [f"holidays {number}" for number in range(150)])[:-1]
    outcome = await room.ingest(read=saying(*said, damaged())).handle(await room.claim())
    assert outcome == Outcome("failed", "damaged")
    failed = await room.get(document)
    assert (failed.status, failed.reason) == ("failed", "This file is damaged. Save it anew, and send it again.")
    assert await room.found("holidays") == []
    assert await room.admin.fetchval("select count(*) from enablebot.passages") == 0
    assert await room.faults() == []


async def test_a_replacement_takes_its_place_at_once_and_a_failed_one_leaves_the_old(room: IngestRoom) -> None:
    document = await room.add("Lunch is at noon.")
    await room.read()
    replaced = await room.add("Lunch is at one o'clock.")
    assert replaced.id == document.id
    assert await room.found("lunch") == ["Lunch is at noon."]
    await room.read()
    assert await room.found("lunch") == ["Lunch is at one o'clock."]
    await room.add("Lunch is whenever.")
    await room.read(room.ingest(read=saying(damaged())))
    assert await room.found("lunch") == ["Lunch is at one o'clock."]
    kept = await room.get(document)
    assert kept.status == "ready"
    assert kept.replacement is not None
    assert kept.replacement.status == "failed"
    assert await room.faults() == []


async def test_progress_is_shown_while_it_is_read(room: IngestRoom) -> None:
    document = await room.add(HOLIDAYS)
    seen: list[tuple[str, int]] = []

    async def look(_: Said | Exception) -> None:
        await asyncio.sleep(0.02)
        found = await room.get(document)
        seen.append((found.status, found.progress))

    said = passages_of(room.tenant_id, ["one", "two"])
    await room.ingest(read=saying(Progress(10), Progress(50), *said, then=look)).handle(await room.claim())
    assert seen == [("processing", 0), ("processing", 10), ("processing", 50), ("processing", 50), ("processing", 50)]
    assert (await room.get(document)).progress == 100


async def test_progress_is_not_written_with_every_word(room: IngestRoom) -> None:
    room.time_scale = 3600
    noted = 0
    note = room.database.note_progress

    async def counting(**arguments: Any) -> Any:
        nonlocal noted
        noted += 1
        return await note(**arguments)

    setattr(room.database, "note_progress", counting)  # noqa: B010 - a method of an instance
    await room.add(HOLIDAYS)
    said = [*(Progress(percent) for percent in range(100)), *passages_of(room.tenant_id, ["one"])]
    await room.ingest(read=saying(*said)).handle(await room.claim())
    assert noted == 0


@pytest.mark.parametrize("undo_seconds", [0, 600])
@pytest.mark.parametrize("moment", [0, 120, 251])
async def test_a_deletion_while_it_is_read_wins_and_ends_it_quietly(
    room: IngestRoom, undo_seconds: int, moment: int, caplog: pytest.LogCaptureFixture
) -> None:
    document = await room.add(HOLIDAYS)
    said = passages_of(room.tenant_id, [f"holidays {number}" for number in range(250)])
    heard = 0

    async def delete(_: Said | Exception) -> None:
        nonlocal heard
        if heard == min(moment, len(said) - 1):
            await room.library.delete(room.tenant_id, document.id, undo_seconds=undo_seconds, actor="U1")
        heard += 1

    caplog.set_level(logging.INFO)
    outcome = await room.ingest(read=saying(*said, then=delete)).handle(await room.claim())
    assert outcome.name == "dropped"
    assert await room.found("holidays") == []
    if undo_seconds == 0:
        assert await room.admin.fetchval("select count(*) from enablebot.passages") == 0
        assert await room.admin.fetchval("select count(*) from enablebot.documents") == 0
    assert await room.faults() == []
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_deletion_that_is_undone_before_it_was_read_has_it_read_after_all(room: IngestRoom) -> None:
    document = await room.add(HOLIDAYS)
    said = passages_of(room.tenant_id, ["holidays"])

    async def delete(_: Said | Exception) -> None:
        await room.library.delete(room.tenant_id, document.id, undo_seconds=600, actor="U1")

    outcome = await room.read(room.ingest(read=saying(*said, then=delete)))
    assert outcome.name == "dropped"
    await room.library.restore(room.tenant_id, document.id, actor="U1")
    assert (await room.read()).name == "done"
    assert len(await room.found("holidays")) == 1
    assert await room.faults() == []


async def test_a_replacement_while_it_is_read_ends_the_older_reading_quietly(room: IngestRoom) -> None:
    await room.add("Lunch is at noon.")
    said = passages_of(room.tenant_id, ["Lunch is at noon."])

    async def replace(_: Said | Exception) -> None:
        await room.add("Lunch is at one o'clock.")

    outcome = await room.read(room.ingest(read=saying(*said, then=replace)))
    assert outcome.name == "dropped"
    assert await room.found("lunch") == []
    await room.read()
    assert await room.found("lunch") == ["Lunch is at one o'clock."]
    assert await room.faults() == []


_CALLS = ("begin_reading", "read_document_piece", "note_progress", "stage_passages", "publish_document")


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("function", _CALLS)
async def test_a_process_that_dies_at_any_call_leaves_it_to_another_that_finishes_it(
    room: IngestRoom, function: str, before: bool
) -> None:
    async def die() -> None:
        raise Killed

    document = await room.add("\n\n".join(f"Holidays {number}. " + "word " * 200 for number in range(300)))
    struck = Database(Struck(room.database._transport, function, die, before=before))
    slowly = IngestRoom(struck, room.admin, room.installations, room.library, room.tenant_id, time_scale=0)
    slowly.library._database, whole = struck, slowly.library._database
    try:
        with pytest.raises(Killed):
            await slowly.ingest().handle(await room.claim())
    finally:
        slowly.library._database = whole
    is_out = function == "publish_document" and not before
    assert bool(await room.found("holidays")) == is_out
    assert await room.faults() == []
    await room.lose()
    outcome = await room.ingest().handle(await room.claim())
    assert outcome == (Outcome("done", "it was ready already") if is_out else Outcome("done"))
    assert (await room.get(document)).status == "ready"
    assert len(await room.found("holidays")) == 10
    assert await room.faults() == []


async def test_whoever_lost_its_claim_publishes_nothing(room: IngestRoom) -> None:
    await room.add("Lunch is at noon.")
    lost = await room.claim()
    said = passages_of(room.tenant_id, ["Lunch is never."])

    async def be_taken_over(one: Said | Exception) -> None:
        if one is said[-1]:
            await room.lose()
            heir = await room.claim()
            assert (await room.ingest().handle(heir)).name == "done"

    with pytest.raises(StaleClaim):
        await room.ingest(read=saying(*said, then=be_taken_over)).handle(lost)
    assert await room.found("lunch") == ["Lunch is at noon."]
    assert await room.faults() == []


async def test_the_same_file_given_twice_at_once_is_one_document_read_once(room: IngestRoom) -> None:
    first, second = await asyncio.gather(room.add(HOLIDAYS), room.add(HOLIDAYS))
    assert first.id == second.id
    claimed = await room.claim_all()
    assert len(claimed) == 1
    assert (await room.ingest().handle(claimed[0])).name == "done"
    assert await room.claim_all() == []
    assert len(await room.found("holidays")) == 1
    assert await room.admin.fetchval("select count(*) from enablebot.documents") == 1
    assert await room.faults() == []


async def test_many_documents_read_at_once_count_their_words_right(room: IngestRoom) -> None:
    for number in range(8):
        await room.add(f"Holidays and lunch, the same words in document number {number}.", name=f"{number}.txt")
    ingest = room.ingest()
    outcomes = await asyncio.gather(*(ingest.handle(claimed) for claimed in await room.claim_all()))
    assert {outcome.name for outcome in outcomes} == {"done"}
    assert len(await room.found("holidays")) == 8
    assert await room.faults() == []


async def test_what_was_ready_or_failed_already_is_not_read_again(room: IngestRoom) -> None:
    await room.add(HOLIDAYS)
    await room.ingest().handle(await room.claim())
    await room.lose()
    again = await room.claim()
    assert await room.ingest(read=saying(damaged())).handle(again) == Outcome("done", "it was ready already")
    assert len(await room.found("holidays")) == 1


async def test_a_machine_with_no_room_for_a_child_has_it_wait_at_no_cost(room: IngestRoom) -> None:
    document = await room.add(HOLIDAYS)
    full = CannotRead("no_child", "This server has no room.", transient=True)
    outcome = await room.ingest(read=saying(full)).handle(await room.claim())
    assert (outcome.name, outcome.delay_seconds > 0) == ("release", True)
    assert (await room.get(document)).status == "processing"


async def test_a_store_that_is_away_is_not_the_documents_fault(room: IngestRoom) -> None:
    await room.add(HOLIDAYS)
    with pytest.raises(OriginalUnreachable):
        await room.ingest(read=saying(OriginalUnreachable("away"))).handle(await room.claim())
    assert await room.found("holidays") == []


async def test_bytes_that_are_missing_fail_it_in_words(room: IngestRoom) -> None:
    document = await room.add(HOLIDAYS)
    claimed = await room.claim()
    await room.admin.execute("delete from enablebot.document_pieces")
    outcome = await room.ingest().handle(claimed)
    assert outcome == Outcome("failed", "its bytes are missing")
    assert (await room.get(document)).reason == ingest_module._OUR_FAULT


async def test_what_takes_too_long_is_ended_with_a_reason(room: IngestRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_module, "LONGEST_SECONDS", 0.2)
    stopped = asyncio.Event()

    async def hang(_: Said | Exception) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    document = await room.add(HOLIDAYS)
    outcome = await room.ingest(read=saying(Progress(1), then=hang)).handle(await room.claim())
    assert outcome == Outcome("failed", "too_slow")
    assert stopped.is_set()
    assert "longer than any document should" in ((await room.get(document)).reason or "")


@pytest.mark.parametrize(("why", "words"), [(LOST_TOO_OFTEN, "took the reader down"), ("RuntimeError", "on its side")])
async def test_giving_up_says_so_to_people(room: IngestRoom, why: str, words: str) -> None:
    document = await room.add(HOLIDAYS)
    outcome = await room.ingest().give_up(await room.claim(), why)
    assert outcome == Outcome("failed", why)
    failed = await room.get(document)
    assert failed.status == "failed"
    assert words in (failed.reason or "")


async def test_giving_up_a_document_that_was_deleted_ends_quietly(room: IngestRoom) -> None:
    document = await room.add(HOLIDAYS)
    claimed = await room.claim()
    await room.library.delete(room.tenant_id, document.id, undo_seconds=0, actor="U1")
    assert (await room.ingest().give_up(claimed, LOST_TOO_OFTEN)).name == "dropped"
