"""Claim, handle, settle, over a real database: nothing lost, nothing done twice, nobody in another's way."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest

from enablebot.api import leases as leases_module
from enablebot.api import settling as settling_module
from enablebot.api import worker as worker_module
from enablebot.api.handling import LOST_TOO_OFTEN, BodyUnreadable, RunningSignal
from enablebot.api.outage import MOST_FAILURES, SlackOutage
from enablebot.api.slack.intake import Intake
from enablebot.api.slack.relevance import relevance
from enablebot.api.worker import Worker
from enablebot.config.settings import WorkerSettings
from enablebot.shared.database.models import ClaimedEventRow, EventOutcome
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import (
    DatabaseUnavailable,
    SlackRateLimited,
    SlackUnknownOutcome,
    SlackUnreachable,
    StaleClaim,
)
from enablebot.shared.installations import Installations
from enablebot.shared.metrics import Metrics
from enablebot.shared.models.question import Outcome
from enablebot.tests.api.slack_side import OTHER_TEAM, TEAM, direct, envelope, install, next_ts, written

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

pytestmark = pytest.mark.anyio

Handle: TypeAlias = Callable[[ClaimedEventRow], Awaitable[Outcome]]
DONE = Outcome("done")
# Long enough that only a wake, and never the clock, can explain what happens.
NEVER = 3600.0


class Script:
    """Handlers that do what a test says, and remember what they were given."""

    def __init__(self, handle: Handle | None = None, give_up: Handle | None = None) -> None:
        self._handle = handle
        self._give_up = give_up
        self.handled: list[ClaimedEventRow] = []
        self.given_up: list[tuple[str, str]] = []
        self.signalled: list[tuple[str, str]] = []
        self.hears = True

    async def handle(self, claimed: ClaimedEventRow) -> Outcome:
        self.handled.append(claimed)
        return DONE if self._handle is None else await self._handle(claimed)

    async def give_up(self, claimed: ClaimedEventRow, reason: str) -> Outcome:
        self.given_up.append((claimed.event_key, reason))
        return Outcome("failed", reason) if self._give_up is None else await self._give_up(claimed)

    def signal(self, claimed: ClaimedEventRow, signal: RunningSignal) -> bool:
        self.signalled.append((claimed.event_key, signal))
        return self.hears

    @property
    def keys(self) -> list[str]:
        return [row.event_key for row in self.handled]


class Bench:
    """An inbox with two workspaces, a way to fill it and a way to run workers on it."""

    def __init__(self, database: Database, installations: Installations, admin: Admin) -> None:
        self.database = database
        self.admin = admin
        self.metrics = Metrics()
        self.worker: Worker | None = None
        # Handlers look, too, and the connection does one thing at a time.
        self._looking = asyncio.Lock()
        self._intake = Intake(database, installations, on_accepted=self._wake)

    def _wake(self) -> None:
        if self.worker is not None:
            self.worker.wake()

    async def accept(self, key: str, *, team: str = TEAM, **fields: Any) -> None:
        """Accept a direct message; in a lane of its own unless `thread_ts` names one."""
        await self.accept_event(key, direct(**fields), team=team)

    async def accept_stop(self, key: str) -> None:
        """Accept a press on the stop button."""
        await self.accept_event(key, {"type": "agent_session_stopped", "channel": "D0ADA", "thread_ts": next_ts()})

    async def accept_event(self, key: str, event: Any, *, team: str = TEAM) -> None:
        whole = envelope(event, team=team, event_id=key)
        relevant = relevance(whole)
        assert relevant is not None
        assert await self._intake.accept(relevant, written(whole)) == "accepted"

    async def claim_and_die(self) -> list[ClaimedEventRow]:
        """Claim everything, as a process does that is killed before it has done anything."""
        await self.admin.execute("update enablebot.inbox set available_at = now() where state = 'ready'")
        claimed = await self.database.claim_events(
            worker="dead", after_tenant=None, limit=100, tenant_cap=100, lease_seconds=60
        )
        await self.admin.execute("update enablebot.inbox set lease_until = now() where state = 'claimed'")
        await self.database.claim_events(worker="other", after_tenant=None, limit=0, tenant_cap=100, lease_seconds=60)
        await self.admin.execute("update enablebot.inbox set available_at = now() where state = 'ready'")
        return claimed

    async def settle(self, row: ClaimedEventRow, outcome: EventOutcome) -> None:
        """Settle an event as its answer does, together with itself."""
        await self.database.settle_events(
            tenant_ids=[row.tenant_id],
            ids=[row.id],
            tokens=[row.claim_token],
            outcomes=[outcome],
            reasons=["by the answer"],
            delays=[0],
        )

    async def uninstall(self, tenant_id: UUID) -> None:
        later = datetime.now(UTC) + timedelta(minutes=1)
        await self.database.end_installation(
            tenant_id=tenant_id, event_time=later, reason="app_uninstalled", actor="slack"
        )

    def counted(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(f"enablebot_{name}_total") or 0.0

    @asynccontextmanager
    async def working(
        self, script: Script, *, drain_seconds: float = 5, outage: SlackOutage | None = None, **settings: Any
    ) -> AsyncIterator[Worker]:
        """A worker that runs meanwhile and is drained at the end."""
        given = {"lease_seconds": 60, "concurrency": 8, "tenant_concurrency": 8, "time_scale": 0.01, **settings}
        self.worker = Worker(
            self.database, script, WorkerSettings(**given), metrics=self.metrics, outage=outage, jitter=lambda: 0.5
        )
        self.worker.start()
        try:
            yield self.worker
        finally:
            await self.worker.drain(drain_seconds)

    async def events(self) -> dict[str, asyncpg.Record]:
        async with self._looking:
            rows = await self.admin.fetch("select * from enablebot.inbox order by id")
        return {row["event_key"]: row for row in rows}

    async def wait_for(self, ready: Callable[[dict[str, asyncpg.Record]], bool]) -> dict[str, asyncpg.Record]:
        async with asyncio.timeout(20):
            while not ready(events := await self.events()):
                await asyncio.sleep(0.01)
            return events

    async def finished(self) -> dict[str, asyncpg.Record]:
        return await self.wait_for(lambda events: all(row["state"] in {"done", "set_aside"} for row in events.values()))


@pytest.fixture
async def bench(api_database: Database, installations: Installations, admin: Admin) -> Bench:
    await install(installations, TEAM)
    await install(installations, OTHER_TEAM)
    return Bench(api_database, installations, admin)


@pytest.fixture
def only_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that never look by themselves."""
    monkeypatch.setattr(worker_module, "SHORTEST_PAUSE_SECONDS", NEVER)
    monkeypatch.setattr(worker_module, "LONGEST_PAUSE_SECONDS", NEVER)


@pytest.fixture
def never_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that look at what they run only where they have a reason to."""
    monkeypatch.setattr(leases_module, "LOOK_SECONDS", NEVER * 1000)


async def soon(awaited: Awaitable[Any]) -> None:
    """Wait, but not for ever: a broken worker must fail its test, not hang it."""
    async with asyncio.timeout(20):
        await awaited


async def failing(_: ClaimedEventRow) -> Outcome:
    raise RuntimeError("a fault of ours")


async def test_an_event_is_handled_settled_and_its_body_forgotten(bench: Bench) -> None:
    await bench.accept("Ev1")
    script = Script()
    async with bench.working(script):
        events = await bench.finished()
    assert (events["Ev1"]["outcome"], events["Ev1"]["attempts"]) == ("done", 1)
    assert script.keys == ["Ev1"]
    assert await bench.admin.fetchval("select count(*) from enablebot.event_bodies") == 0
    assert bench.metrics.registry.get_sample_value("enablebot_events_settled_total", {"outcome": "done"}) == 1


@pytest.mark.usefixtures("only_woken")
async def test_an_accepted_event_wakes_the_worker_of_its_process(bench: Bench) -> None:
    script = Script()
    async with bench.working(script, time_scale=1):
        await asyncio.sleep(0.05)
        await bench.accept("Ev1")
        await bench.finished()
        await bench.accept("Ev2")
        await bench.finished()
    assert script.keys == ["Ev1", "Ev2"]


async def test_an_event_accepted_by_another_process_is_found_by_looking(bench: Bench) -> None:
    script = Script()
    async with bench.working(script):
        bench.worker, here = None, bench.worker
        await bench.accept("Ev1")
        await bench.finished()
        bench.worker = here
    assert script.keys == ["Ev1"]


@pytest.mark.usefixtures("only_woken")
async def test_one_conversation_goes_in_order_while_others_go_beside_it(bench: Bench) -> None:
    root = next_ts()
    go_on, running, log = asyncio.Event(), Counter[str | None](), list[str]()

    async def handle(row: ClaimedEventRow) -> Outcome:
        running[row.lane] += 1
        assert running[row.lane] == 1
        log.append(row.event_key)
        if row.event_key == "Ev1":
            await go_on.wait()
        running[row.lane] -= 1
        return DONE

    async with bench.working(Script(handle), time_scale=1):
        for number in (1, 2, 3):
            await bench.accept(f"Ev{number}", ts=root if number == 1 else next_ts(), thread_ts=root)
        await bench.accept("EvBeside")
        await bench.wait_for(lambda events: events["EvBeside"]["state"] == "done")
        assert log == ["Ev1", "EvBeside"]
        go_on.set()
        await bench.finished()
    assert log == ["Ev1", "EvBeside", "Ev2", "Ev3"]


async def test_no_more_than_its_share_runs_at_once(bench: Bench) -> None:
    running, most, started, go_on = Counter[UUID](), Counter[Any](), asyncio.Semaphore(0), asyncio.Event()

    async def handle(row: ClaimedEventRow) -> Outcome:
        running[row.tenant_id] += 1
        most[row.tenant_id] = max(most[row.tenant_id], running[row.tenant_id])
        most["all"] = max(most["all"], running.total())
        started.release()
        await go_on.wait()
        running[row.tenant_id] -= 1
        return DONE

    for number in range(8):
        await bench.accept(f"EvA{number}", team=TEAM)
    for number in range(3):
        await bench.accept(f"EvB{number}", team=OTHER_TEAM)
    async with bench.working(Script(handle), concurrency=5, tenant_concurrency=3):
        for _ in range(5):
            await soon(started.acquire())
        go_on.set()
        await bench.finished()
    assert most["all"] <= 5
    assert all(count <= 3 for tenant, count in most.items() if tenant != "all")


async def test_what_fails_is_tried_three_times_and_then_given_up_in_words(bench: Bench) -> None:
    await bench.accept("Ev1")
    script = Script(failing)
    async with bench.working(script):
        events = await bench.finished()
    assert script.keys == ["Ev1"] * 3
    assert [row.attempts for row in script.handled] == [1, 2, 3]
    assert script.given_up == [("Ev1", "RuntimeError")]
    assert (events["Ev1"]["state"], events["Ev1"]["reason"]) == ("set_aside", "RuntimeError")


async def test_a_wish_to_try_again_is_granted_twice(bench: Bench) -> None:
    async def later(_: ClaimedEventRow) -> Outcome:
        return Outcome("retry", "not now")

    await bench.accept("Ev1")
    script = Script(later)
    async with bench.working(script):
        events = await bench.finished()
    assert len(script.handled) == 3
    assert script.given_up == [("Ev1", "not now")]
    assert events["Ev1"]["outcome"] == "set_aside"


async def test_giving_up_that_fails_keeps_the_event_for_somebody_to_look_at(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.accept("Ev1")
    async with bench.working(Script(failing, failing)):
        events = await bench.finished()
    assert (events["Ev1"]["outcome"], events["Ev1"]["reason"]) == ("set_aside", "RuntimeError")
    assert await bench.admin.fetchval("select count(*) from enablebot.event_bodies") == 1
    assert bench.counted("events_set_aside") == 1
    assert "An event was set aside: RuntimeError" in caplog.text


@pytest.mark.parametrize("fails_first", [True, False])
async def test_what_its_handler_has_set_aside_with_an_apology_is_counted_and_not_settled_again(
    bench: Bench, fails_first: bool
) -> None:
    async def say_so(row: ClaimedEventRow) -> Outcome:
        await bench.settle(row, "set_aside")
        return Outcome("settled", "gave_up")

    await bench.accept("Ev1")
    async with bench.working(Script(failing if fails_first else say_so, say_so)):
        await bench.finished()
    assert bench.counted("events_set_aside") == 1
    assert bench.metrics.registry.get_sample_value("enablebot_events_settled_total", {"outcome": "stale"}) is None


async def test_an_answer_that_was_ready_at_the_last_word_is_not_counted_as_set_aside(bench: Bench) -> None:
    async def show(row: ClaimedEventRow) -> Outcome:
        await bench.settle(row, "done")
        return Outcome("settled")

    await bench.accept("Ev1")
    async with bench.working(Script(failing, show)):
        await bench.finished()
    assert bench.counted("events_set_aside") == 0


async def test_an_event_that_took_three_processes_down_gets_its_last_word_and_never_runs_again(bench: Bench) -> None:
    await bench.accept("Ev1")
    for _ in range(3):
        assert [row.event_key for row in await bench.claim_and_die()] == ["Ev1"]
    script = Script()
    async with bench.working(script):
        events = await bench.finished()
    assert script.handled == []
    assert script.given_up == [("Ev1", LOST_TOO_OFTEN)]
    assert events["Ev1"]["state"] == "set_aside"


async def test_a_rate_limit_is_waited_for_and_costs_no_attempt(bench: Bench) -> None:
    async def limited(_: ClaimedEventRow) -> Outcome:
        raise SlackRateLimited("slow down", method="chat.postMessage", retry_after=1000)

    await bench.accept("Ev1")
    async with bench.working(Script(limited)):
        events = await bench.wait_for(lambda events: events["Ev1"]["reason"] is not None)
    assert (events["Ev1"]["state"], events["Ev1"]["attempts"]) == ("ready", 0)
    waits = await bench.admin.fetchval("select available_at - now() > interval '990 s' from enablebot.inbox")
    assert waits is True


@pytest.mark.parametrize(
    "failure",
    [
        SlackRateLimited("slow down", method="chat.postMessage", retry_after=0.01),
        SlackUnreachable("nobody there", method="chat.postMessage"),
        DatabaseUnavailable("gone"),
    ],
)
async def test_what_is_not_the_events_fault_may_fail_more_than_three_times(bench: Bench, failure: Exception) -> None:
    failures = 5

    async def handle(_: ClaimedEventRow) -> Outcome:
        nonlocal failures
        if failures:
            failures -= 1
            raise failure
        return DONE

    await bench.accept("Ev1")
    script = Script(handle)
    async with bench.working(script):
        events = await bench.finished()
    assert (events["Ev1"]["outcome"], events["Ev1"]["attempts"]) == ("done", 1)
    assert len(script.handled) == 6
    assert script.given_up == []


async def test_nobody_is_excused_for_ever(bench: Bench) -> None:
    async def limited(_: ClaimedEventRow) -> Outcome:
        raise SlackRateLimited("slow down", method="chat.postMessage", retry_after=0.01)

    await bench.accept("Ev1")
    await bench.admin.execute("update enablebot.inbox set received_at = now() - interval '2 hours'")
    script = Script(limited)
    async with bench.working(script):
        await bench.finished()
    assert len(script.handled) == 3
    assert len(script.given_up) == 1


async def test_an_unknown_outcome_is_the_events_own_failure_unless_slack_is_out(bench: Bench) -> None:
    async def unknown(_: ClaimedEventRow) -> Outcome:
        raise SlackUnknownOutcome("status 500", method="chat.postMessage")

    await bench.accept("Ev1")
    script = Script(unknown)
    async with bench.working(script):
        await bench.finished()
    assert (len(script.handled), len(script.given_up)) == (3, 1)

    outage = SlackOutage(bench.metrics, time_scale=0.01)
    await bench.accept("Ev2")
    async with bench.working(script, outage=outage):
        for _ in range(MOST_FAILURES):
            outage.note_call("chat.postMessage", "slack_unknown_outcome")
        async with asyncio.timeout(20):
            while len(script.handled) < 8:
                await asyncio.sleep(0.01)
        assert (await bench.events())["Ev2"]["attempts"] <= 1
        outage.note_call("chat.postMessage", "ok")
        await bench.finished()
    assert script.given_up[-1][0] == "Ev2"


async def test_while_slack_is_out_one_event_tries_and_all_go_on_once_it_is_back(bench: Bench) -> None:
    outage = SlackOutage(bench.metrics, time_scale=0.01)
    tried, go_on = asyncio.Event(), asyncio.Event()

    async def handle(_: ClaimedEventRow) -> Outcome:
        tried.set()
        await go_on.wait()
        return DONE

    for number in range(5):
        await bench.accept(f"Ev{number}")
    for _ in range(MOST_FAILURES):
        outage.note_call("chat.postMessage", "slack_unreachable")
    assert bench.metrics.registry.get_sample_value("enablebot_slack_outage") == 1
    script = Script(handle)
    async with bench.working(script, outage=outage):
        await soon(tried.wait())
        await asyncio.sleep(0.1)
        assert len(script.handled) == 1
        outage.note_call("chat.postMessage", "ok")
        await bench.wait_for(lambda events: all(row["state"] == "claimed" for row in events.values()))
        go_on.set()
        await bench.finished()
    assert bench.metrics.registry.get_sample_value("enablebot_slack_outage") == 0


async def test_slack_is_out_only_after_many_failures_with_no_answer_between(bench: Bench) -> None:
    outage = SlackOutage(bench.metrics)
    for _ in range(3):
        for _ in range(MOST_FAILURES - 1):
            outage.note_call("chat.postMessage", "slack_unreachable")
            assert not outage.is_on
        outage.note_call("chat.update", "slack_refused")
    for _ in range(MOST_FAILURES):
        outage.note_call("chat.postMessage", "cancelled")
    assert not outage.is_on


async def test_a_try_that_fails_has_slack_rest_longer(bench: Bench) -> None:
    outage = SlackOutage(bench.metrics, time_scale=0.01)
    for _ in range(MOST_FAILURES):
        outage.note_call("chat.postMessage", "slack_unreachable")
    first = outage.rest_left
    outage.note_call("chat.postMessage", "slack_unreachable")
    assert outage.rest_left <= first
    await asyncio.sleep(first)
    outage.note_call("chat.postMessage", "slack_unreachable")
    assert outage.rest_left > first


@pytest.mark.usefixtures("only_woken")
async def test_a_stop_needs_no_free_slot(bench: Bench) -> None:
    busy, go_on, stopped = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handle(row: ClaimedEventRow) -> Outcome:
        if row.kind == "stop":
            stopped.set()
        else:
            busy.set()
            await go_on.wait()
        return DONE

    async with bench.working(Script(handle), concurrency=1, time_scale=1):
        await bench.accept("Ev1")
        await soon(busy.wait())
        await bench.accept("Ev2")
        await bench.accept_stop("EvStop")
        await soon(stopped.wait())
        assert (await bench.events())["Ev2"]["state"] == "ready"
        go_on.set()
        await bench.finished()


async def test_urgent_events_take_no_slot_from_the_others(bench: Bench) -> None:
    stopping, both, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handle(row: ClaimedEventRow) -> Outcome:
        (stopping if row.kind == "stop" else both).set()
        await go_on.wait()
        return DONE

    async with bench.working(Script(handle), concurrency=1):
        await bench.accept_stop("EvStop")
        await soon(stopping.wait())
        await bench.accept("Ev1")
        await soon(both.wait())
        go_on.set()
        await bench.finished()


@pytest.mark.usefixtures("never_looking")
async def test_what_an_uninstall_here_drops_is_stopped_at_once(bench: Bench) -> None:
    running, stopped = asyncio.Event(), asyncio.Event()

    async def handle(row: ClaimedEventRow) -> Outcome:
        if row.kind == "lifecycle":
            await bench.uninstall(row.tenant_id)
            return DONE
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return DONE

    await bench.accept("Ev1")
    # A renewal would tell as well, twenty minutes later.
    async with bench.working(Script(handle), lease_seconds=3600):
        await soon(running.wait())
        await bench.accept_event("EvGone", {"type": "app_uninstalled"})
        await soon(stopped.wait())
        events = await bench.finished()
    assert events["Ev1"]["outcome"] == "dropped"
    assert bench.counted("claims_lost") == 1


async def test_what_an_uninstall_in_another_process_drops_is_stopped_at_the_next_look(bench: Bench) -> None:
    running, stopped = asyncio.Event(), asyncio.Event()

    async def handle(row: ClaimedEventRow) -> Outcome:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return DONE

    await bench.accept("Ev1")
    async with bench.working(Script(handle)) as worker:
        await soon(running.wait())
        await bench.uninstall(await bench.admin.fetchval("select tenant_id from enablebot.inbox"))
        await soon(stopped.wait())
        assert worker is bench.worker


async def test_a_signal_is_told_until_it_is_heard_and_then_no_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go_on, looks = asyncio.Event(), asyncio.Event(), asyncio.Semaphore(0)
    read = bench.database.read_signals

    async def counting(**arguments: Any) -> Any:
        found = await read(**arguments)
        looks.release()
        return found

    monkeypatch.setattr(bench.database, "read_signals", counting)

    async def handle(_: ClaimedEventRow) -> Outcome:
        started.set()
        await go_on.wait()
        return DONE

    root = next_ts()
    await bench.accept("Ev1", ts=root)
    script = Script(handle)
    script.hears = False
    async with bench.working(script):
        await soon(started.wait())
        tenant_id = script.handled[0].tenant_id
        told = await bench.database.signal_answers(tenant_id=tenant_id, channel="D0ADA", thread_ts=root, signal="stop")
        assert told.signalled == 1
        async with asyncio.timeout(20):
            while len(script.signalled) < 3:
                await looks.acquire()
            script.hears = True
            unheard = len(script.signalled)
            while len(script.signalled) == unheard:
                await looks.acquire()
            for _ in range(3):
                await looks.acquire()
        assert len(script.signalled) == unheard + 1
        go_on.set()
        await bench.finished()
    assert set(script.signalled) == {("Ev1", "stop")}


async def test_all_that_runs_is_looked_at_in_one_call_and_nothing_while_nothing_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, sizes, looked, running, go_on = (
        bench.database.read_signals, list[int](), asyncio.Event(), asyncio.Semaphore(0), asyncio.Event()
    )  # fmt: skip

    async def counting(**arguments: Any) -> Any:
        sizes.append(len(arguments["ids"]))
        if sizes[-1] == 4:
            looked.set()
        return await read(**arguments)

    monkeypatch.setattr(bench.database, "read_signals", counting)

    async def handle(_: ClaimedEventRow) -> Outcome:
        running.release()
        await go_on.wait()
        return DONE

    async with bench.working(Script(handle)):
        await asyncio.sleep(0.2)
        assert sizes == []
        for number in range(4):
            await bench.accept(f"Ev{number}")
        await soon(looked.wait())
        go_on.set()
        await bench.finished()


async def test_a_look_into_the_inbox_that_hangs_is_given_up_and_repeated(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, hangs = bench.database.claim_events, 1

    async def blackhole(**arguments: Any) -> Any:
        nonlocal hangs
        if hangs:
            hangs -= 1
            await asyncio.Event().wait()
        return await claim(**arguments)

    monkeypatch.setattr(bench.database, "claim_events", blackhole)
    monkeypatch.setattr(worker_module, "LONGEST_CLAIM_SECONDS", 1.0)
    await bench.accept("Ev1")
    async with bench.working(Script()):
        await bench.finished()
    assert bench.counted("claim_failures") >= 1


async def test_a_database_that_is_away_is_complained_of_once_and_its_return_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    claim, failures = bench.database.claim_events, 4

    async def flaky(**arguments: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise DatabaseUnavailable("gone")
        return await claim(**arguments)

    monkeypatch.setattr(bench.database, "claim_events", flaky)
    await bench.accept("Ev1")
    async with bench.working(Script()):
        await bench.finished()
    assert caplog.text.count("Could not look into the inbox") == 1
    assert caplog.text.count("The inbox can be read again") == 1
    assert bench.counted("claim_failures") == 4


async def test_events_that_may_have_killed_their_process_part_before_one_of_them_runs_for_the_last_time(
    bench: Bench,
) -> None:
    for number in range(3):
        await bench.accept(f"Ev{number}")
    for _ in range(2):
        assert len(await bench.claim_and_die()) == 3
    running, most, waiting = 0, 0, list[int]()

    async def handle(row: ClaimedEventRow) -> Outcome:
        nonlocal running, most
        running += 1
        most = max(most, running)
        waiting.append(sum(event["state"] == "claimed" for event in (await bench.events()).values()))
        await asyncio.sleep(0.02)
        running -= 1
        return DONE

    script = Script(handle)
    async with bench.working(script):
        events = await bench.finished()
    assert sorted(script.keys) == ["Ev0", "Ev1", "Ev2"]
    assert {row["attempts"] for row in events.values()} == {3}
    assert most == 1
    # The others were given back before it began: were it the guilty one, they would not be lost with it.
    assert waiting[0] == 1


async def test_a_drain_leaves_no_task_behind_and_settles_what_was_being_settled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, settling, go_on = bench.database.settle_events, asyncio.Event(), asyncio.Event()

    async def slow(**arguments: Any) -> Any:
        settling.set()
        await go_on.wait()
        return await settle(**arguments)

    monkeypatch.setattr(bench.database, "settle_events", slow)
    before = asyncio.all_tasks()
    await bench.accept("Ev1")
    async with bench.working(Script()) as worker:
        await soon(settling.wait())
        draining = asyncio.create_task(worker.drain(0))
        await asyncio.sleep(0.05)
        go_on.set()
        await soon(draining)
    assert (await bench.events())["Ev1"]["outcome"] == "done"
    assert asyncio.all_tasks() == before


async def test_an_event_that_cannot_be_read_is_set_aside_at_once_and_blocks_nobody(bench: Bench) -> None:
    async def unreadable(row: ClaimedEventRow) -> Outcome:
        if row.event_key == "Ev1":
            raise BodyUnreadable("The key “k1” is missing.")
        return DONE

    root = next_ts()
    await bench.accept("Ev1", ts=root)
    await bench.accept("Ev2", thread_ts=root)
    async with bench.working(Script(unreadable)):
        events = await bench.finished()
    assert (events["Ev1"]["state"], events["Ev1"]["attempts"]) == ("set_aside", 1)
    assert events["Ev1"]["reason"] == "The key “k1” is missing."
    assert events["Ev2"]["outcome"] == "done"


async def test_what_was_settled_with_its_answer_is_not_settled_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def settled(row: ClaimedEventRow) -> Outcome:
        await settle(row)
        return Outcome("settled")

    async def settle(row: ClaimedEventRow) -> None:
        await settle_events(
            tenant_ids=[row.tenant_id],
            ids=[row.id],
            tokens=[row.claim_token],
            outcomes=["done"],
            reasons=["by the answer"],
            delays=[0],
        )

    async def refuse(**_: Any) -> Any:
        raise AssertionError("settled twice")

    settle_events = bench.database.settle_events
    monkeypatch.setattr(bench.database, "settle_events", refuse)
    await bench.accept("Ev1")
    async with bench.working(Script(settled)):
        events = await bench.finished()
    assert events["Ev1"]["reason"] == "by the answer"


async def test_a_worker_whose_event_was_taken_over_stops_and_settles_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases_module, "LOOK_SECONDS", NEVER * 1000)
    started, stopped, renewed = asyncio.Event(), asyncio.Event(), list[bool]()
    renew = bench.database.renew_leases

    async def noting(**arguments: Any) -> Any:
        renewed.extend(answer := await renew(**arguments))
        return answer

    monkeypatch.setattr(bench.database, "renew_leases", noting)

    async def handle(_: ClaimedEventRow) -> Outcome:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.set()
            raise
        return DONE

    await bench.accept("Ev1")
    async with bench.working(Script(handle), lease_seconds=1):
        await soon(started.wait())
        somebody_else = uuid4()
        await bench.admin.execute(
            "update enablebot.inbox set claim_token = $1, lease_until = now() + interval '1 hour'", somebody_else
        )
        await soon(stopped.wait())
    events = await bench.events()
    assert (events["Ev1"]["state"], events["Ev1"]["claim_token"]) == ("claimed", somebody_else)
    # At the first word of the database, not only when the lease would have run out.
    assert renewed.count(False) == 1


async def test_a_stale_token_stops_the_handler_without_a_word(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    handled = asyncio.Event()

    async def stale(_: ClaimedEventRow) -> Outcome:
        handled.set()
        raise StaleClaim("somebody else")

    await bench.accept("Ev1")
    script = Script(stale)
    async with bench.working(script):
        await soon(handled.wait())
    assert (await bench.events())["Ev1"]["state"] == "claimed"
    assert script.given_up == []
    assert "Somebody else has taken over this event" in caplog.text


async def test_leases_are_renewed_while_a_handler_runs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    renewals, enough = 0, asyncio.Event()
    renew = bench.database.renew_leases

    async def counting(**arguments: Any) -> Any:
        nonlocal renewals
        renewed = await renew(**arguments)
        renewals += 1
        # More often than a lease has thirds: without renewal it would have run out.
        if renewals == 5:
            enough.set()
        return renewed

    async def handle(_: ClaimedEventRow) -> Outcome:
        await enough.wait()
        return DONE

    monkeypatch.setattr(bench.database, "renew_leases", counting)
    await bench.accept("Ev1")
    script, idle = Script(handle), Script()
    async with bench.working(script, lease_seconds=1):
        first = bench.worker
        async with bench.working(idle, lease_seconds=1):
            events = await bench.finished()
        bench.worker = first
    assert (events["Ev1"]["outcome"], events["Ev1"]["attempts"]) == ("done", 1)
    assert idle.handled == []


async def test_without_the_database_a_handler_stops_when_its_lease_would_have_run_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = asyncio.Event()

    async def handle(_: ClaimedEventRow) -> Outcome:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.set()
            raise
        return DONE

    async def gone(**_: Any) -> Any:
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr(bench.database, "renew_leases", gone)
    await bench.accept("Ev1")
    async with bench.working(Script(handle), lease_seconds=1):
        await soon(stopped.wait())


async def test_an_event_of_a_worker_that_died_comes_back_by_itself(bench: Bench) -> None:
    await bench.accept("Ev1")
    dead = await bench.database.claim_events(worker="dead", after_tenant=None, limit=1, tenant_cap=8, lease_seconds=1)
    assert [row.event_key for row in dead] == ["Ev1"]
    script = Script()
    async with bench.working(script):
        events = await bench.finished()
    assert (events["Ev1"]["outcome"], script.handled[0].attempts) == ("done", 2)


async def test_a_drain_lets_handlers_finish(bench: Bench) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def handle(_: ClaimedEventRow) -> Outcome:
        started.set()
        await go_on.wait()
        return DONE

    await bench.accept("Ev1")
    async with bench.working(Script(handle)) as worker:
        await soon(started.wait())
        draining = asyncio.create_task(worker.drain(10))
        await asyncio.sleep(0.01)
        await bench.accept("Ev2")
        go_on.set()
        await draining
    events = await bench.events()
    assert (events["Ev1"]["outcome"], events["Ev2"]["state"]) == ("done", "ready")


async def test_a_drain_gives_back_what_does_not_finish_and_takes_no_attempt_for_it(bench: Bench) -> None:
    started = asyncio.Event()

    async def handle(_: ClaimedEventRow) -> Outcome:
        started.set()
        await asyncio.Event().wait()
        return DONE

    await bench.accept("Ev1")
    async with bench.working(Script(handle)) as worker:
        await soon(started.wait())
        await worker.drain(0)
    events = await bench.events()
    assert (events["Ev1"]["state"], events["Ev1"]["attempts"]) == ("ready", 0)
    after = Script()
    async with bench.working(after):
        await bench.finished()
    assert after.keys == ["Ev1"]


async def test_an_outcome_survives_a_database_that_is_away_for_a_while(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, failures = bench.database.settle_events, 2

    async def flaky(**arguments: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise DatabaseUnavailable("gone")
        return await settle(**arguments)

    monkeypatch.setattr(bench.database, "settle_events", flaky)
    monkeypatch.setattr(settling_module, "PAUSE_SECONDS", 0.01)
    await bench.accept("Ev1")
    script = Script()
    async with bench.working(script, time_scale=1):
        events = await bench.finished()
    assert (events["Ev1"]["outcome"], script.keys) == ("done", ["Ev1"])


async def test_a_database_that_is_away_does_not_end_the_worker(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, failures = bench.database.claim_events, 3

    async def flaky(**arguments: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise DatabaseUnavailable("gone") if failures else ValueError("a strange row")
        return await claim(**arguments)

    monkeypatch.setattr(bench.database, "claim_events", flaky)
    await bench.accept("Ev1")
    async with bench.working(Script()):
        await bench.finished()


async def test_what_finishes_together_is_settled_together(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    settle, sizes, together = bench.database.settle_events, list[int](), asyncio.Event()

    async def counting(**arguments: Any) -> Any:
        sizes.append(len(arguments["ids"]))
        return await settle(**arguments)

    async def handle(row: ClaimedEventRow) -> Outcome:
        if row.event_key == "Ev7":
            together.set()
        await together.wait()
        return DONE

    monkeypatch.setattr(bench.database, "settle_events", counting)
    for number in range(8):
        await bench.accept(f"Ev{number}")
    async with bench.working(Script(handle)):
        await bench.finished()
    assert sum(sizes) == 8
    assert len(sizes) <= 2


async def test_what_is_being_settled_holds_no_slot_but_a_database_that_settles_nothing_gets_no_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, claim, go_on, looks = (
        bench.database.settle_events, bench.database.claim_events, asyncio.Event(), asyncio.Semaphore(0)
    )  # fmt: skip

    async def stuck(**arguments: Any) -> Any:
        await go_on.wait()
        return await settle(**arguments)

    async def noting(**arguments: Any) -> Any:
        looks.release()
        return await claim(**arguments)

    async def noting_urgent(**_: Any) -> Any:
        looks.release()
        return []

    monkeypatch.setattr(bench.database, "settle_events", stuck)
    monkeypatch.setattr(bench.database, "claim_events", noting)
    monkeypatch.setattr(bench.database, "claim_urgent_events", noting_urgent)
    for number in range(6):
        await bench.accept(f"Ev{number}")
    script = Script()
    async with bench.working(script, concurrency=1):
        async with asyncio.timeout(20):
            while len(script.handled) < 4:
                await looks.acquire()
        for _ in range(3):
            await soon(looks.acquire())
        assert len(script.handled) == 4
        go_on.set()
        await bench.finished()


async def test_two_workers_share_an_inbox_and_no_event(bench: Bench) -> None:
    for number in range(40):
        await bench.accept(f"Ev{number:02d}", team=(TEAM, OTHER_TEAM)[number % 2])

    both = asyncio.Event()

    async def once_both_have_begun(_: ClaimedEventRow) -> Outcome:
        if first.handled and second.handled:
            both.set()
        await both.wait()
        return DONE

    first, second = Script(once_both_have_begun), Script(once_both_have_begun)
    async with bench.working(first, concurrency=3), bench.working(second, concurrency=3):
        await bench.finished()
    assert sorted(first.keys + second.keys) == [f"Ev{number:02d}" for number in range(40)]
