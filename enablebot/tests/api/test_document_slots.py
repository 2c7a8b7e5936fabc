"""Documents in the worker: slots of their own, fair shares, drained, and poison kept apart; over a real database."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from uuid import UUID

import pytest

from enablebot.api import document_slots
from enablebot.api.handling import LOST_TOO_OFTEN
from enablebot.shared.database.models import ClaimedDocumentRow, ClaimedEventRow
from enablebot.shared.errors import DatabaseUnavailable
from enablebot.shared.installations import Installations
from enablebot.shared.models.question import Outcome
from enablebot.tests.api.bench import DONE, NEVER, Bench, Script, soon
from enablebot.tests.api.slack_side import OTHER_TEAM, TEAM
from enablebot.tests.shared.queued_documents import add_waiting
from enablebot.tests.shared.workspaces import Workspace

pytestmark = pytest.mark.anyio

Handle: TypeAlias = Callable[[ClaimedDocumentRow], Awaitable[Outcome]]


class Reading:
    """Reads documents as a test says, and remembers which, and how many at once."""

    def __init__(self, handle: Handle | None = None) -> None:
        self._handle = handle
        self.handled: list[ClaimedDocumentRow] = []
        self.given_up: list[tuple[UUID, str]] = []
        self.running: list[ClaimedDocumentRow] = []
        self.beside: list[set[int]] = []

    async def handle(self, claimed: ClaimedDocumentRow) -> Outcome:
        self.handled.append(claimed)
        self.running.append(claimed)
        self.beside.append({row.id for row in self.running if row is not claimed})
        try:
            return DONE if self._handle is None else await self._handle(claimed)
        finally:
            self.running.remove(claimed)

    async def give_up(self, claimed: ClaimedDocumentRow, reason: str) -> Outcome:
        self.given_up.append((claimed.document_id, reason))
        return Outcome("failed", reason)


@pytest.fixture
async def acme(bench: Bench, installations: Installations) -> Workspace:
    return await _workspace(installations, TEAM)


@pytest.fixture
async def other(bench: Bench, installations: Installations) -> Workspace:
    return await _workspace(installations, OTHER_TEAM)


async def _workspace(installations: Installations, team: str) -> Workspace:
    route = await installations.route(enterprise_id=None, team_id=team, is_org_wide=False)
    assert route is not None
    return Workspace(tenant_id=route.tenant_id, data_key_id=route.key.id, team_id=team)


async def claim_documents_and_die(bench: Bench) -> None:
    """Claim every document, as a process does that is killed before it has read anything."""
    await bench.admin.execute("update enablebot.inbox set available_at = now() where state = 'ready'")
    await bench.database.claim_documents(worker="dead", limit=100, tenant_cap=100, lease_seconds=60)
    await bench.admin.execute("update enablebot.inbox set lease_until = now() where state = 'claimed'")
    await bench.database.claim_urgent_events(worker="other", limit=0, lease_seconds=60)
    await bench.admin.execute("update enablebot.inbox set available_at = now() where state = 'ready'")


class Held:
    """A handler that waits until it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def document(self, _: ClaimedDocumentRow) -> Outcome:
        await self.go.wait()
        return DONE

    async def event(self, _: ClaimedEventRow) -> Outcome:
        await self.go.wait()
        return DONE


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


async def test_a_waiting_document_is_read_and_settled(bench: Bench, acme: Workspace) -> None:
    await add_waiting(bench.admin, acme, 3)
    reading = Reading()
    async with bench.working(Script(), documents=reading):
        events = await bench.finished()
    assert sorted(row.id for row in reading.handled) == sorted(row["id"] for row in events.values())
    assert {row["outcome"] for row in events.values()} == {"done"}


async def test_questions_go_on_while_every_place_for_documents_is_taken(bench: Bench, acme: Workspace) -> None:
    await add_waiting(bench.admin, acme, 50)
    held, script = Held(), Script()
    reading = Reading(held.document)
    async with bench.working(script, documents=reading):
        await until(lambda: len(reading.running) == 2)
        await bench.accept("Ev1")
        await bench.wait_for(lambda events: events["Ev1"]["state"] == "done")
        assert len(reading.handled) == 2
        held.go.set()
        await bench.finished()
    assert len(reading.handled) == 50


async def test_documents_go_on_while_every_place_for_questions_is_taken(bench: Bench, acme: Workspace) -> None:
    held = Held()
    script, reading = Script(held.event), Reading()
    async with bench.working(script, documents=reading, concurrency=1):
        await bench.accept("Ev1")
        await until(lambda: len(script.handled) == 1)
        await add_waiting(bench.admin, acme, 4)
        await until(lambda: len(reading.handled) == 4)
        held.go.set()
        await bench.finished()


async def test_one_place_more_is_kept_for_a_workspace_of_which_none_is_being_read(
    bench: Bench, acme: Workspace, other: Workspace
) -> None:
    await add_waiting(bench.admin, acme, 20)
    held = Held()
    reading = Reading(held.document)
    async with bench.working(Script(), documents=reading):
        await until(lambda: len(reading.running) == 2)
        await add_waiting(bench.admin, other, 3)
        await until(lambda: len(reading.running) == 3)
        assert [row.tenant_id for row in reading.handled] == [acme.tenant_id] * 2 + [other.tenant_id]
        await asyncio.sleep(0.1)
        assert len(reading.running) == 3
        held.go.set()
        await bench.finished()


async def test_a_word_from_its_own_process_has_it_look_at_once(
    bench: Bench, acme: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_slots, "SHORTEST_PAUSE_SECONDS", NEVER)
    monkeypatch.setattr(document_slots, "LONGEST_PAUSE_SECONDS", NEVER)
    reading = Reading()
    async with bench.working(Script(), documents=reading, time_scale=1) as worker:
        await asyncio.sleep(0.1)
        await add_waiting(bench.admin, acme, 1)
        worker.wake_documents()
        await until(lambda: len(reading.handled) == 1)


async def test_whoever_reads_no_documents_leaves_them_to_the_others(bench: Bench, acme: Workspace) -> None:
    await add_waiting(bench.admin, acme, 1)
    reading = Reading()
    async with bench.working(Script(), documents=reading, document_slots=0):
        await asyncio.sleep(0.1)
    assert reading.handled == []
    (event,) = (await bench.events()).values()
    assert event["state"] == "ready"


async def test_a_drain_waits_for_a_document_that_is_nearly_read(bench: Bench, acme: Workspace) -> None:
    await add_waiting(bench.admin, acme, 1)
    held = Held()
    reading = Reading(held.document)
    async with bench.working(Script(), documents=reading, drain_seconds=20):
        await until(lambda: len(reading.running) == 1)
        asyncio.get_running_loop().call_later(0.05, held.go.set)
    (event,) = (await bench.events()).values()
    assert (event["state"], event["outcome"]) == ("done", "done")


async def test_a_document_that_a_drain_cannot_wait_for_is_given_back_at_no_cost(bench: Bench, acme: Workspace) -> None:
    await add_waiting(bench.admin, acme, 5)
    held = Held()
    async with bench.working(Script(), documents=Reading(held.document), drain_seconds=0.05):
        await bench.wait_for(lambda events: sum(row["state"] == "claimed" for row in events.values()) == 2)
    events = await bench.events()
    assert [(row["state"], row["attempts"]) for row in events.values()] == [("ready", 0)] * 5
    reading = Reading()
    async with bench.working(Script(), documents=reading):
        await bench.finished()
    assert len(reading.handled) == 5


async def test_the_lease_of_a_document_is_renewed_while_it_is_read(bench: Bench, acme: Workspace) -> None:
    await add_waiting(bench.admin, acme, 1)
    held = Held()
    reading = Reading(held.document)
    async with bench.working(Script(), documents=reading, lease_seconds=1):
        await until(lambda: len(reading.running) == 1)
        first = await bench.admin.fetchval("select lease_until from enablebot.inbox")
        await bench.wait_for(lambda events: all(row["lease_until"] > first for row in events.values()))
        held.go.set()
        await bench.finished()
    assert len(reading.handled) == 1


async def test_a_document_that_is_somebody_else_s_is_read_no_further(bench: Bench, acme: Workspace) -> None:
    await add_waiting(bench.admin, acme, 1)
    stopped = asyncio.Event()

    async def endless(_: ClaimedDocumentRow) -> Outcome:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.set()
            raise
        return DONE

    reading = Reading(endless)
    async with bench.working(Script(), documents=reading):
        await until(lambda: len(reading.running) == 1)
        # As a deletion does it.
        await bench.admin.execute("delete from enablebot.inbox")
        await soon(stopped.wait())
    assert bench.counted("claims_lost") == 0


async def test_a_document_that_fails_is_tried_three_times_and_given_up_in_words(bench: Bench, acme: Workspace) -> None:
    async def failing(_: ClaimedDocumentRow) -> Outcome:
        raise RuntimeError("a fault of ours")

    await add_waiting(bench.admin, acme, 1)
    reading = Reading(failing)
    async with bench.working(Script(), documents=reading):
        events = await bench.finished()
    assert [row.attempts for row in reading.handled] == [1, 2, 3]
    assert reading.given_up == [(reading.handled[0].document_id, "RuntimeError")]
    assert {row["state"] for row in events.values()} == {"set_aside"}


async def test_a_database_that_is_away_costs_a_document_no_attempt_however_long_it_has_waited(
    bench: Bench, acme: Workspace
) -> None:
    await add_waiting(bench.admin, acme, 1)
    await bench.admin.execute("update enablebot.inbox set received_at = now() - interval '1 day'")
    failures = 5

    async def flaky(_: ClaimedDocumentRow) -> Outcome:
        nonlocal failures
        failures -= 1
        if failures:
            raise DatabaseUnavailable("gone")
        return DONE

    reading = Reading(flaky)
    async with bench.working(Script(), documents=reading):
        events = await bench.finished()
    assert [row["outcome"] for row in events.values()] == ["done"]
    assert len(reading.handled) == 5
    assert reading.given_up == []


async def test_after_three_lost_claims_a_document_gets_its_last_word_and_is_not_read_again(
    bench: Bench, acme: Workspace
) -> None:
    await add_waiting(bench.admin, acme, 1)
    for _ in range(3):
        await claim_documents_and_die(bench)
    reading = Reading()
    async with bench.working(Script(), documents=reading):
        events = await bench.finished()
    assert reading.handled == []
    assert [reason for _, reason in reading.given_up] == [LOST_TOO_OFTEN]
    assert {row["state"] for row in events.values()} == {"set_aside"}


async def test_documents_that_may_have_killed_their_process_are_read_one_at_a_time(
    bench: Bench, acme: Workspace
) -> None:
    await add_waiting(bench.admin, acme, 4)
    await claim_documents_and_die(bench)

    async def slowly(_: ClaimedDocumentRow) -> Outcome:
        await asyncio.sleep(0.02)
        return DONE

    reading = Reading(slowly)
    async with bench.working(Script(), documents=reading):
        await bench.finished()
    suspects = {row.id for row in reading.handled if row.was_lost}
    assert len(suspects) == 4
    assert not any(beside & suspects for beside in reading.beside)


async def test_a_document_on_its_last_chance_is_read_with_no_other_beside_it(bench: Bench, acme: Workspace) -> None:
    await add_waiting(bench.admin, acme, 1)
    for _ in range(2):
        await claim_documents_and_die(bench)
    (suspect,) = [row["id"] for row in (await bench.events()).values()]
    await add_waiting(bench.admin, acme, 8)

    async def slowly(_: ClaimedDocumentRow) -> Outcome:
        await asyncio.sleep(0.02)
        return DONE

    reading = Reading(slowly)
    async with bench.working(Script(), documents=reading):
        await bench.finished()
    assert len({row.id for row in reading.handled}) == 9
    for row, beside in zip(reading.handled, reading.beside, strict=True):
        assert suspect not in beside
        assert row.id != suspect or not beside


async def test_a_question_on_its_last_chance_runs_beside_no_document_that_may_have_killed_it(
    bench: Bench, acme: Workspace
) -> None:
    await bench.accept("Ev1")
    for _ in range(2):
        await bench.claim_and_die()
    await add_waiting(bench.admin, acme, 1)
    await claim_documents_and_die(bench)
    together: list[int] = []
    reading = Reading()

    async def question(_: ClaimedEventRow) -> Outcome:
        for _look in range(10):
            together.append(len(reading.running))
            await asyncio.sleep(0.005)
        return DONE

    async def document(_: ClaimedDocumentRow) -> Outcome:
        await asyncio.sleep(0.05)
        return DONE

    reading._handle = document
    script = Script(question)
    async with bench.working(script, documents=reading):
        await bench.finished()
    assert len(script.handled) == len(reading.handled) == 1
    assert set(together) == {0}
