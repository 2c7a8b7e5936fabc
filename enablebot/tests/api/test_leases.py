"""Whether what runs is still ours, and how urgent events and signals reach it; over a real database."""

import asyncio
import logging
from typing import Any
from uuid import uuid4

import pytest

from enablebot.api import leases as leases_module
from enablebot.shared.database.models import ClaimedEventRow
from enablebot.shared.errors import (
    DatabaseUnavailable,
    StaleClaim,
)
from enablebot.shared.models.question import Outcome
from enablebot.tests.api.bench import DONE, NEVER, Bench, Script, soon
from enablebot.tests.api.slack_side import next_ts

pytestmark = pytest.mark.anyio


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
