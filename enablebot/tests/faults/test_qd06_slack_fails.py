"""QD-6: Slack limits, stumbles and refuses; nobody else waits for it, nothing is lost and nothing said twice."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import chain

import asyncpg
import pytest

from enablebot.config.settings import WorkerSettings
from enablebot.shared.database.operations import Database
from enablebot.tests.faults.scale import FULL, seeded, sized
from enablebot.tests.faults.town import ACME, GLOBEX, PATIENCE_SECONDS, QUICK, SCALE, Asked, Town, opened_town

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.fault,
    # aiohttp leaves the socket of a call that is given up while it connects to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

# Words come slowly enough for an answer to be edited and appended to while it grows.
WORDY = replace(QUICK, model_delay_ms=2)
LONG = "[[long 80]]"
WORDS = 80

# Every method an answer is made of, and whether it is met in direct messages or in a channel.
LIMITED = {
    "chat.postMessage": False,
    "chat.update": False,
    "agents.sessions.setStatus": False,
    "chat.startStream": True,
    "chat.appendStream": True,
    "chat.stopStream": True,
    "conversations.replies": False,
}
LONGEST_RETRY_AFTER = 60 if FULL else 2

# What Slack says when it will not take a message, whatever is tried: the first half of the table of 25.
TERMINAL = (
    "channel_not_found",
    "not_in_channel",
    "is_archived",
    "restricted_action",
    "restricted_action_read_only_channel",
    "restricted_action_thread_only_channel",
    "restricted_action_non_threadable_channel",
    "restricted_action_thread_locked",
    "msg_too_long",
    "no_text",
    "invalid_arguments",
    "missing_scope",
    "no_permission",
    "ekm_access_denied",
    "access_denied",
    "team_access_not_granted",
    "messages_tab_disabled",
    "method_deprecated",
)
# What is over at the next try: a limit, and failures inside Slack that may or may not have taken effect.
PASSING = ("ratelimited", "internal_error", "fatal_error", "service_unavailable")
# The token is dead: nothing works until somebody installs the app again.
DEAD = ("token_revoked", "account_inactive", "invalid_auth")


@pytest.fixture
async def town(api_database: Database, admin: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[Town]:
    # Slower than usual, for the minute in which a doubt may be settled is scaled, and Slack's waits are not.
    worker = WorkerSettings(time_scale=5 * SCALE, drain_seconds=0.4)
    async with opened_town(api_database, admin, config=WORDY, worker=worker, install=(ACME, GLOBEX)) as opened:
        yield opened


async def unfinished(town: Town, asked: list[Asked]) -> list[str]:
    """Questions for a long answer that do not have one whole answer, and what they have.

    A stream that Slack has slowed down goes on in a second message before it gets too old.
    """
    found: list[str] = []
    for one in asked:
        texts = [str(message["text"]) for message in town.spoken(one)]
        if len(" ".join(texts).split()) != WORDS:
            found.append(f"{one.team} {one.channel} ended as {await town.ended(one)} with {texts}")
    return found


async def struck(town: Town, method: str, team: str) -> None:
    """Wait until Slack has limited this method of this workspace."""
    await town.sandbox.wait_for(
        lambda: any(call.fault for call in town.calls(method, team=team)), timeout=PATIENCE_SECONDS
    )


def test_the_table_has_25_errors_of_slack() -> None:
    assert len({*TERMINAL, *PASSING, *DEAD}) == 25


async def test_no_method_is_called_again_before_slack_wants_it(town: Town) -> None:
    chance = seeded("QD-6")
    chosen = [list(LIMITED)[number % len(LIMITED)] for number in range(max(len(LIMITED), sized(70)))]
    teams = await town.gather(len(chosen))
    retry_after = {team: chance.randint(1, LONGEST_RETRY_AFTER) for team in teams}

    # They wait side by side; it is enough that they begin a few at a time.
    turns = asyncio.Semaphore(8)

    async def ask(team: str, method: str) -> Asked:
        # A thread that we do not know yet is read once.
        root = await town.talk("Lunch?", team=team) if method == "conversations.replies" else None
        return await town.ask(LONG, team=team, direct=LIMITED[method], thread_ts=root)

    async def play(team: str, method: str) -> list[Asked]:
        async with turns:
            town.sandbox.faults.add(method, "ratelimit", team=team, retry_after=retry_after[team])
            asked = [await ask(team, method)]
            await struck(town, method, team)
            # They are on their way to the same method, and were not told themselves.
            return asked + [await ask(team, method) for _ in range(2)]

    asked = list(chain.from_iterable(await asyncio.gather(*map(play, teams, chosen))))
    await town.quiet()
    for team, method in zip(teams, chosen, strict=True):
        told, *later = [call for call in town.calls(method, team=team) if call.fault == "ratelimit" or call.ok]
        while told.fault is None:
            told, *later = later
        early = [(call.at - told.at, call.args_summary) for call in later if call.at < told.at + retry_after[team]]
        assert not early, (method, retry_after[team], early)
    assert not await unfinished(town, asked)


async def test_a_workspace_that_slack_limits_holds_up_no_other(town: Town) -> None:
    town.sandbox.faults.add("chat.postMessage", "ratelimit", team=ACME, retry_after=60)
    limited = await town.ask("am I limited?")
    await struck(town, "chat.postMessage", ACME)
    more = [await town.ask(f"and is question {number}?") for number in range(10)]
    others = [await town.ask(f"and we, by question {number}?", team=GLOBEX) for number in range(sized(100))]
    for other in others:
        assert (await town.ended(other))[0] == "complete"
    # Answered in full while the other workspace was kept waiting, which has called once and lost nothing.
    assert len(town.calls("chat.postMessage", team=ACME)) == 1
    assert await kept(town, [limited, *more]) == 1 + len(more)


async def test_server_errors_at_any_call_cost_nobody_the_answer_and_show_none_twice(town: Town) -> None:
    chance = seeded("QD-6")
    asked: list[Asked] = []
    for _ in range(sized(200)):
        method, direct = chance.choice(list(LIMITED.items()))
        town.sandbox.faults.add(
            method,
            "status",
            status=chance.choice((500, 502, 503, 504)),
            skip=chance.randrange(3),
            times=chance.randint(1, 2),
        )
        asked.append(await town.ask(LONG, direct=direct))
    await town.quiet()
    assert not await unfinished(town, asked)


@pytest.mark.parametrize("direct", [False, True] if FULL else [False])
async def test_what_slack_will_not_take_is_tried_once_and_what_passes_is_tried_again(
    town: Town, *, direct: bool
) -> None:
    method = "chat.postMessage"
    if direct:
        # Where a stream is refused, a post is tried; that is another call, and the last.
        town.sandbox.faults.add("chat.startStream", "error", error="missing_scope", times=1000)
    for error in TERMINAL:
        town.sandbox.ledger.forget()
        town.sandbox.faults.add(method, "error", error=error, times=1000)
        asked = await town.ask(f"does {error} end it?", direct=direct)
        assert await town.ended(asked) == ("failed", f"slack: {error}")
        assert len(town.calls(method)) == 1, error
        town.sandbox.faults.replace([fault for fault in town.sandbox.faults.left() if fault["method"] != method])
    for error in PASSING:
        town.sandbox.faults.add(method, "error", error=error)
        asked = await town.ask(f"does {error} pass?", direct=direct)
        assert (await town.ended(asked))[0] == "complete", error
        assert "You asked" in town.the_answer(asked)
    await town.quiet()
    assert await town.admin.fetchval("select max(attempts) from enablebot.inbox") == 1


async def test_a_dead_token_pauses_the_workspace_and_a_new_install_answers_what_waited(town: Town) -> None:
    for error in DEAD:
        town.sandbox.faults.add("*", "error", error=error, times=1_000_000, team=ACME)
        first = await town.ask(f"is anybody there, or is it {error}?")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await status(town, ACME) != "paused":
                await asyncio.sleep(0.01)
        calls = len(town.sandbox.ledger.calls)
        asked = [first] + [await town.ask(f"is anybody there, by question {n}?") for n in range(sized(50))]
        other = await town.ask("and here?", team=GLOBEX)
        assert (await town.ended(other))[0] == "complete"
        await town.sandbox.settled()
        # Accepted, kept and left alone: not one call with a token that Slack calls dead.
        assert await kept(town, asked) == len(asked)
        assert {call.team for call in list(town.sandbox.ledger.calls)[calls:]} == {GLOBEX}
        assert not [one for one in asked if town.spoken(one)]

        town.sandbox.faults.replace([])
        await town.install(ACME)
        for one in asked:
            assert (await town.ended(one))[0] == "complete"
            assert "You asked" in town.the_answer(one)
        await town.quiet()


async def status(town: Town, team: str) -> str:
    return str(await town.admin.fetchval("select status from enablebot.tenants where team_id = $1", team))


async def kept(town: Town, asked: list[Asked]) -> int:
    """How many of these questions are still to be answered, in whatever state they wait."""
    return int(
        await town.admin.fetchval(
            "select count(*) from enablebot.inbox where lane = any ($1) and state not in ('done', 'set_aside')",
            [one.lane for one in asked],
        )
    )
