"""Into the inbox: sealed, once, in batches, and never at another workspace's cost."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import asyncpg
import pytest

from enablebot.api.gathering import LARGEST_BATCH, MOST_WAITING_BYTES, Gathering
from enablebot.api.slack.intake import Intake, Reception
from enablebot.api.slack.relevance import relevance
from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.encryption import Place
from enablebot.shared.errors import DatabaseError, DatabaseUnavailable, DataRefused
from enablebot.shared.installations import Installations
from enablebot.tests.api.slack_side import (
    OTHER_TEAM,
    ROOT,
    TEAM,
    bot_of,
    direct,
    envelope,
    install,
    mention,
    message,
    next_ts,
    reply,
    written,
)

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

pytestmark = pytest.mark.anyio


class Accepting:
    """An intake, and how often it woke the worker."""

    def __init__(self, database: Database, installations: Installations) -> None:
        self.woken = 0
        self.intake = Intake(database, installations, on_accepted=self._wake)

    def _wake(self) -> None:
        self.woken += 1

    async def __call__(self, event: Any, *, team: str = TEAM, **fields: Any) -> Reception:
        whole = envelope(event, team=team, **fields)
        relevant = relevance(whole)
        assert relevant is not None
        return await self.intake.accept(relevant, written(whole))


@pytest.fixture
def accept(api_database: Database, installations: Installations) -> Accepting:
    return Accepting(api_database, installations)


async def stored(admin: Admin) -> list[asyncpg.Record]:
    return await admin.fetch(
        "select i.*, b.body from enablebot.inbox i join enablebot.event_bodies b "
        "on b.tenant_id = i.tenant_id and b.event_id = i.id order by i.id"
    )


async def test_an_accepted_body_is_stored_sealed_and_opens_only_in_its_place(
    accept: Accepting, installations: Installations, admin: Admin
) -> None:
    tenant = await install(installations)
    assert await accept(direct("a private word"), event_id="Ev1") == "accepted"
    (row,) = await stored(admin)
    assert b"private" not in row["body"]
    key = (await installations.route_of_tenant(tenant)).key
    opened = key.open(Place(tenant, "event_bodies", "body", "Ev1"), row["body"])
    assert b"a private word" in opened
    assert (row["event_key"], row["kind"], row["state"]) == ("Ev1", "message", "ready")


async def test_every_new_event_wakes_the_worker_and_a_duplicate_does_not(
    accept: Accepting, installations: Installations
) -> None:
    await install(installations)
    assert await accept(direct(ts=ROOT), event_id="Ev1") == "accepted"
    assert await accept(direct(ts=ROOT), event_id="Ev1") == "duplicate"
    assert accept.woken == 1


@pytest.mark.parametrize("mention_first", [True, False])
async def test_a_mention_and_its_twin_are_one_question(
    accept: Accepting, installations: Installations, admin: Admin, mention_first: bool
) -> None:
    await install(installations)
    twins = [mention(ts=ROOT), message(f"<@{bot_of(TEAM)}> hello", ts=ROOT)]
    verdicts = [await accept(event) for event in (twins if mention_first else twins[::-1])]
    assert verdicts == ["accepted", "duplicate"]
    assert len(await stored(admin)) == 1


async def test_fifty_deliveries_at_once_to_two_processes_are_one_event(
    accept: Accepting, api_database: Database, installations: Installations, admin: Admin
) -> None:
    await install(installations)
    other_process = Accepting(api_database, installations)
    verdicts = await asyncio.gather(
        *((accept, other_process)[turn % 2](direct(ts=ROOT), event_id="Ev1") for turn in range(50))
    )
    assert sorted(verdicts) == ["accepted", *["duplicate"] * 49]
    assert len(await stored(admin)) == 1


async def test_the_same_event_id_of_another_workspace_is_another_event(
    accept: Accepting, installations: Installations
) -> None:
    await install(installations, TEAM)
    await install(installations, OTHER_TEAM)
    assert await accept(direct(ts=ROOT), event_id="Ev1") == "accepted"
    assert await accept(direct(ts=ROOT), team=OTHER_TEAM, event_id="Ev1") == "accepted"


async def test_a_thread_reply_counts_only_where_the_bot_takes_part(
    accept: Accepting, installations: Installations, admin: Admin
) -> None:
    await install(installations, TEAM)
    await install(installations, OTHER_TEAM)
    assert await accept(reply()) == "not_ours"
    assert await accept(mention(ts=ROOT)) == "accepted"
    assert await accept(reply()) == "accepted"
    # The same channel and thread, as another workspace sees it: the bot was never asked there.
    assert await accept(reply(), team=OTHER_TEAM) == "not_ours"
    assert len(await stored(admin)) == 2


async def test_a_reply_that_was_not_ours_does_not_hide_the_mention_it_is(
    accept: Accepting, installations: Installations
) -> None:
    await install(installations)
    ts = next_ts()
    without_authorization = reply(f"<@{bot_of(TEAM)}> please", ts=ts)
    assert await accept(without_authorization, authorizations=[]) == "not_ours"
    assert await accept(mention(ts=ts, thread_ts=ROOT)) == "accepted"


async def test_unknown_and_uninstalled_workspaces_leave_no_trace(
    accept: Accepting, installations: Installations, admin: Admin
) -> None:
    assert await accept(direct(), team="T0NOBODY") == "unknown_workspace"
    tenant = await install(installations)
    await installations.end(tenant, event_time=datetime.now(UTC) + timedelta(days=1), reason="app_uninstalled")
    assert await accept(direct()) == "unknown_workspace"
    assert await stored(admin) == []
    assert await admin.fetchval("select count(*) from enablebot.dedupe_keys") == 0


async def test_a_paused_workspace_s_questions_are_kept_until_it_is_back(
    accept: Accepting, installations: Installations, admin: Admin
) -> None:
    tenant = await install(installations)
    assert await installations.pause_with_dead_token(await installations.bot(tenant), reason="token_revoked")
    assert await accept(direct(), event_id="EvPaused") == "accepted"
    assert [row["event_key"] for row in await stored(admin)] == ["EvPaused"]


async def test_nothing_is_acknowledged_before_it_is_committed(
    accept: Accepting, installations: Installations, admin: Admin
) -> None:
    await install(installations)
    assert await accept(direct(), event_id="EvBefore") == "accepted"
    async with admin.transaction():
        # Whoever holds the lanes holds the commit.
        await admin.execute("lock table enablebot.lanes in exclusive mode")
        waiting = asyncio.create_task(accept(direct(), event_id="EvHeld"))
        while not await admin.fetchval("select exists (select from pg_locks where not granted)"):
            await asyncio.sleep(0.005)
        assert not waiting.done()
    assert await waiting == "accepted"
    assert [row["event_key"] for row in await stored(admin)] == ["EvBefore", "EvHeld"]


async def test_our_own_words_are_never_stored(accept: Accepting, installations: Installations, admin: Admin) -> None:
    await install(installations)
    assert await accept(reply(user=bot_of(TEAM), bot_id="B1")) == "own_message"
    assert await stored(admin) == []
    assert accept.woken == 0


async def test_evidence_that_cannot_be_noted_costs_nobody_anything(
    accept: Accepting, installations: Installations, api_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await install(installations)

    async def fail(**_: Any) -> list[bool]:
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr(api_database, "note_own_messages", fail)
    assert await accept(reply(user=bot_of(TEAM))) == "own_message"


async def test_lifecycle_events_bypass_the_lanes(accept: Accepting, installations: Installations, admin: Admin) -> None:
    await install(installations)
    await accept(direct(ts=ROOT))
    await accept(direct(ts=next_ts(), thread_ts=ROOT))
    assert await accept({"type": "app_uninstalled"}) == "accepted"
    assert [(row["kind"], row["state"]) for row in await stored(admin)] == [
        ("message", "ready"),
        ("message", "queued"),
        ("lifecycle", "ready"),
    ]


async def test_what_gathers_while_a_batch_is_stored_goes_together(
    accept: Accepting, installations: Installations, api_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await install(installations, TEAM)
    await install(installations, OTHER_TEAM)
    batches: list[Sequence[UUID]] = []
    accept_events = api_database.accept_events

    async def counting(**arguments: Any) -> Any:
        batches.append(arguments["tenant_ids"])
        return await accept_events(**arguments)

    monkeypatch.setattr(api_database, "accept_events", counting)
    await accept(direct(), team=TEAM)
    await accept(direct(), team=OTHER_TEAM)
    batches.clear()
    verdicts = await asyncio.gather(*(accept(direct(), team=(TEAM, OTHER_TEAM)[turn % 2]) for turn in range(40)))
    assert verdicts == ["accepted"] * 40
    assert len(batches) <= 2
    assert {team for batch in batches for team in batch} == set(batches[-1])


async def test_a_workspaces_odd_value_stands_in_nobody_elses_way(
    accept: Accepting,
    installations: Installations,
    api_database: Database,
    admin: Admin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await install(installations, TEAM)
    await install(installations, OTHER_TEAM)
    accept_events = api_database.accept_events

    async def with_an_odd_lane(**arguments: Any) -> Any:
        odd = [
            lane if key != "EvOdd" else "\0"
            for key, lane in zip(arguments["event_keys"], arguments["lanes"], strict=True)
        ]
        return await accept_events(**{**arguments, "lanes": odd})

    monkeypatch.setattr(api_database, "accept_events", with_an_odd_lane)
    outcomes = await asyncio.gather(
        accept(direct(), event_id="Ev1"),
        accept(direct(), event_id="Ev2"),
        accept(direct(), event_id="EvOdd"),
        accept(direct(), team=OTHER_TEAM, event_id="Ev3"),
        return_exceptions=True,
    )
    assert outcomes[0] == outcomes[1] == outcomes[3] == "accepted"
    assert isinstance(outcomes[2], DataRefused)
    assert [row["event_key"] for row in await stored(admin)] == ["Ev1", "Ev2", "Ev3"]


async def test_a_database_that_fails_fails_everyone_who_waits_and_nobody_after() -> None:
    broken = True

    async def store(items: Sequence[int]) -> list[int]:
        await asyncio.sleep(0)
        if broken:
            raise DatabaseUnavailable("gone")
        return list(items)

    gathering: Gathering[int, int] = Gathering(store)
    outcomes = await asyncio.gather(*(gathering.add(item) for item in range(5)), return_exceptions=True)
    assert all(isinstance(outcome, DatabaseUnavailable) for outcome in outcomes)
    broken = False
    assert await gathering.add(7) == 7


async def test_a_database_that_hangs_is_given_up_in_time() -> None:
    async def store(_: Sequence[int]) -> list[int]:
        await asyncio.Event().wait()
        return []

    gathering: Gathering[int, int] = Gathering(store, deadline_seconds=0.01)
    with pytest.raises(DatabaseUnavailable):
        await gathering.add(1)


async def test_whoever_gave_up_waiting_is_not_stored() -> None:
    seen: list[int] = []
    go_on = asyncio.Event()

    async def store(items: Sequence[int]) -> list[int]:
        await go_on.wait()
        seen.extend(items)
        return list(items)

    gathering: Gathering[int, int] = Gathering(store)
    first, second, third = (asyncio.create_task(gathering.add(item)) for item in (1, 2, 3))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    late = asyncio.create_task(gathering.add(4))
    await asyncio.sleep(0)
    late.cancel()
    go_on.set()
    assert list(await asyncio.gather(first, second, third)) == [1, 2, 3]
    await gathering.aclose()
    assert 4 not in seen


async def test_batches_and_what_waits_are_bounded() -> None:
    sizes: list[int] = []

    async def store(items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        await asyncio.sleep(0)
        return list(items)

    gathering: Gathering[int, int] = Gathering(store, weigh=lambda item: item)
    assert await asyncio.gather(*(gathering.add(1) for _ in range(LARGEST_BATCH * 2))) == [1] * LARGEST_BATCH * 2
    assert max(sizes) <= LARGEST_BATCH
    with pytest.raises(DatabaseUnavailable, match="Too much"):
        await gathering.add(MOST_WAITING_BYTES + 1)


async def test_a_wrong_number_of_answers_is_an_error_for_everyone() -> None:
    async def store(items: Sequence[int]) -> list[int]:
        return list(items)[1:]

    gathering: Gathering[int, int] = Gathering(store)
    with pytest.raises(DatabaseError):
        await gathering.add(1)
