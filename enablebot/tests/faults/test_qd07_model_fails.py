"""QD-7: whatever the model does wrong, a person gets one message in time; the model is asked three times at most."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from enablebot.api.answering.reasons import sentence
from enablebot.config.settings import WorkerSettings
from enablebot.shared.database.operations import Database
from enablebot.tests.faults.scale import FULL, sized
from enablebot.tests.faults.town import Asked, Town, opened_town

pytestmark = [pytest.mark.anyio, pytest.mark.fault]

# The question's whole time with the model, and what a person may wait beyond it: our own work and Slack's.
DEADLINE_SECONDS = 60.0 if FULL else 3.0
BEYOND_SECONDS = 5.0
ATTEMPTS = 3
BREAKER_LIMIT = 5
EVER = 1_000_000

REPEATED: dict[str, tuple[dict[str, Any], str]] = {
    "a rate limit": ({"kind": "status", "status": 429, "error": "rate_limit_exceeded"}, "rate_limited"),
    "status 500": ({"kind": "status", "status": 500}, "unavailable"),
    "status 503": ({"kind": "status", "status": 503}, "unavailable"),
    "a cut stream": ({"kind": "cut", "after_events": 6}, "cut"),
    "no JSON": ({"kind": "garbage"}, "unavailable"),
}
FINAL: dict[str, tuple[dict[str, Any] | None, str, str]] = {
    "a spent quota": ({"kind": "status", "status": 429, "error": "insufficient_quota"}, "", "quota"),
    "a refusal": (None, "[[refuse]]", "refused"),
    "an empty answer": (None, "[[empty]]", "empty"),
}
SILENT: dict[str, dict[str, Any]] = {
    "accepts and hangs": {"kind": "hang"},
    "sends a byte a second": {"kind": "drip"},
    "falls silent midway": {"kind": "hang", "after_events": 6},
}


@pytest.fixture
async def town(api_database: Database, admin: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[Town]:
    async with opened_town(api_database, admin) as opened:
        yield opened


@pytest.fixture
async def hasty(api_database: Database, admin: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[Town]:
    """Where a question's time with the model is short enough to wait for its end."""
    async with opened_town(api_database, admin, deadline_seconds=DEADLINE_SECONDS) as opened:
        yield opened


async def told_once(town: Town, asked: Asked, *, deadline_seconds: float = 60) -> str:
    """The question's one message, whose last touch came in time."""
    await town.ended(asked, within=deadline_seconds + 20)
    last = max(call.at for call in town.sandbox.ledger.calls if call.method.startswith("chat.") and call.ok)
    assert last - float(asked.ts) <= deadline_seconds + BEYOND_SECONDS
    return town.the_answer(asked)


async def nothing_is_lost(town: Town, asked: list[Asked]) -> None:
    await town.quiet()
    rows = await town.admin.fetch("select state, count(*) as number from enablebot.inbox group by state")
    assert {row["state"]: row["number"] for row in rows} == {"done": len(asked)}
    assert await town.admin.fetchval("select count(*) from enablebot.answers") == len(asked)


async def test_a_model_that_keeps_failing_is_asked_three_times_a_question(town: Town) -> None:
    asked: list[Asked] = []
    for kind, (fault, reason) in REPEATED.items():
        for number in range(sized(10)):
            town.sandbox.faults.add("openai.responses", times=EVER, **fault)
            asked.append(one := await town.ask(f"Question {number} to a model that answers with {kind}?"))
            assert await told_once(town, one) == sentence(reason), kind
            assert town.asked_model(one) == ATTEMPTS, kind
            # And is well again, so that the breaker begins to count anew.
            town.sandbox.faults.replace([])
            asked.append(one := await town.ask(f"Question {number} after {kind}?"))
            assert "You asked" in await told_once(town, one), kind
            assert town.asked_model(one) == 1, kind
    await nothing_is_lost(town, asked)


async def test_what_trying_again_cannot_mend_is_asked_once(town: Town) -> None:
    asked: list[Asked] = []
    for kind, (fault, order, reason) in FINAL.items():
        town.sandbox.faults.replace([])
        if fault is not None:
            town.sandbox.faults.add("openai.responses", times=EVER, **fault)
        for number in range(sized(20)):
            asked.append(one := await town.ask(f"Question {number} that gets {kind}? {order}".strip()))
            assert await told_once(town, one) == sentence(reason), kind
            assert town.asked_model(one) == 1, kind
    await nothing_is_lost(town, asked)


async def test_a_model_that_hangs_or_drips_costs_one_deadline_and_not_one_for_each_attempt(hasty: Town) -> None:
    town = hasty
    asked: list[Asked] = []
    for kind, fault in SILENT.items():
        # Ten a kind at full size, all at the same time; the breaker spares most of them the wait.
        for number in range(sized(10)):
            text = f"Question {number} to a model that {kind}?"
            town.sandbox.faults.add("openai.responses", times=EVER, containing=text, **fault)
            asked.append(await town.ask(text))
    for one in asked:
        told = await told_once(town, one, deadline_seconds=DEADLINE_SECONDS)
        assert told in {sentence("timeout"), sentence("unavailable")}
        assert town.asked_model(one) <= ATTEMPTS
    await nothing_is_lost(town, asked)


async def test_the_breaker_opens_after_five_failures_and_then_nobody_is_asked(
    api_database: Database, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    # In real time the model is left alone for 15 seconds, longer than this test takes.
    async with opened_town(api_database, admin, worker=WorkerSettings(time_scale=1, drain_seconds=1)) as town:
        town.sandbox.faults.add("openai.responses", times=EVER, kind="status", status=500)
        asked: list[Asked] = []
        for number in range(8):
            asked.append(one := await town.ask(f"Question {number} to a model that is down?"))
            assert await told_once(town, one) == sentence("unavailable")
        assert sum(town.asked_model(one) for one in asked) == BREAKER_LIMIT
        await nothing_is_lost(town, asked)
