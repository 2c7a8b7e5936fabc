"""Claim, handle, settle, over a real database: nothing lost, nothing done twice, nobody in another's way."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from enablebot.api import settling as settling_module
from enablebot.api import worker as worker_module
from enablebot.shared.database.models import ClaimedEventRow
from enablebot.shared.errors import (
    DatabaseUnavailable,
)
from enablebot.shared.models.question import Outcome
from enablebot.tests.api.bench import DONE, Bench, Script, soon
from enablebot.tests.api.slack_side import OTHER_TEAM, TEAM, next_ts

pytestmark = pytest.mark.anyio


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


@pytest.mark.usefixtures("only_woken")
async def test_a_process_that_starts_looks_at_once_for_what_another_one_left(bench: Bench) -> None:
    await bench.accept("Ev1")
    await bench.accept("Ev2")
    assert len(await bench.claim_and_die()) == 2
    script = Script()
    async with bench.working(script, time_scale=1):
        await bench.finished()
    assert sorted(script.keys) == ["Ev1", "Ev2"]


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


async def test_a_drain_leaves_no_task_behind_and_settles_what_was_being_settled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, settling, go_on = bench.database.settle_events, asyncio.Event(), asyncio.Event()

    async def slow(**arguments: Any) -> Any:
        settling.set()
        await go_on.wait()
        return await settle(**arguments)

    async def handle(row: ClaimedEventRow) -> Outcome:
        if row.event_key == "EvNext":
            # It waits for the batch under way, and would be forgotten with its task.
            await settling.wait()
        return DONE

    monkeypatch.setattr(bench.database, "settle_events", slow)
    before = asyncio.all_tasks()
    await bench.accept("EvFirst")
    await bench.accept("EvNext")
    async with bench.working(Script(handle)) as worker:
        await soon(settling.wait())
        await asyncio.sleep(0.05)
        draining = asyncio.create_task(worker.drain(0))
        await asyncio.sleep(0.05)
        go_on.set()
        await soon(draining)
        assert asyncio.all_tasks() - {draining} == before
    assert {row["outcome"] for row in (await bench.events()).values()} == {"done"}


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
