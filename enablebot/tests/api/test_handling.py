"""What a failure costs an event and what it does not, and who gets the last word; over a real database."""

import asyncio
from typing import Any

import pytest

from enablebot.api.handling import LOST_TOO_OFTEN, BodyUnreadable
from enablebot.api.outage import MOST_FAILURES, SlackOutage
from enablebot.shared.database.models import ClaimedEventRow
from enablebot.shared.errors import (
    DatabaseUnavailable,
    SlackRateLimited,
    SlackUnknownOutcome,
    SlackUnreachable,
)
from enablebot.shared.models.question import Outcome
from enablebot.tests.api.bench import DONE, Bench, Script, failing, soon
from enablebot.tests.api.slack_side import next_ts

pytestmark = pytest.mark.anyio


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


async def test_events_that_may_have_killed_their_process_part_before_one_of_them_runs_for_the_last_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await bench.accept(f"Ev{number}")
    for _ in range(2):
        assert len(await bench.claim_and_die()) == 3
    settle, returned, running, most = bench.database.settle_events, list[int](), 0, 0

    async def noting(**arguments: Any) -> Any:
        settled = await settle(**arguments)
        returned.extend(arguments["ids"])
        return settled

    async def handle(row: ClaimedEventRow) -> Outcome:
        nonlocal running, most
        # The others were given back before it begins: were it the guilty one, they would not be lost with it.
        assert len(set(returned)) >= 2
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return DONE

    monkeypatch.setattr(bench.database, "settle_events", noting)
    script = Script(handle)
    async with bench.working(script):
        events = await bench.finished()
    assert sorted(script.keys) == ["Ev0", "Ev1", "Ev2"]
    assert {(row["attempts"], row["outcome"]) for row in events.values()} == {(3, "done")}
    assert most == 1


async def test_a_last_chance_runs_with_nothing_beside_it_neither_old_nor_new(bench: Bench) -> None:
    running: set[str] = set()
    beside: dict[str, set[str]] = {}
    fresh_runs, may_end = asyncio.Event(), asyncio.Event()

    async def handle(row: ClaimedEventRow) -> Outcome:
        beside[row.event_key] = set(running)
        for other in running:
            beside[other].add(row.event_key)
        running.add(row.event_key)
        if row.event_key == "Fresh":
            fresh_runs.set()
            await may_end.wait()
        else:
            await asyncio.sleep(0.05)
        running.discard(row.event_key)
        return DONE

    await bench.accept("Last")
    for _ in range(2):
        assert len(await bench.claim_and_die()) == 1
    await bench.admin.execute("update enablebot.inbox set available_at = now() + interval '1 hour'")
    await bench.accept("Fresh")
    script = Script(handle)
    async with bench.working(script):
        await fresh_runs.wait()
        await bench.admin.execute("update enablebot.inbox set available_at = now() where event_key = 'Last'")
        await bench.accept("New")
        # Whatever is claimed now has to wait for the one that runs.
        await asyncio.sleep(0.1)
        assert "Last" not in beside
        may_end.set()
        events = await bench.finished()
    assert beside["Last"] == set()
    assert {row["outcome"] for row in events.values()} == {"done"}
    assert events["Last"]["attempts"] == 3


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
