"""Every operation over asyncpg and over PostgREST, on each PostgreSQL we support: same calls, same results."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import pytest

from enablebot.shared.database.models import ClaimedEventRow, EventKind, EventOutcome, RouteRow, UnknownWorkspaceRow
from enablebot.shared.database.operations import Database, operation_names
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.database.readiness import refuse_open_walls
from enablebot.shared.database.supabase import SupabaseTransport
from enablebot.shared.database.transport import Argument, Json, Transport
from enablebot.shared.errors import DatabaseError, DataRefused, StaleClaim
from enablebot.tests.database import PostgresServer, postgres_versions
from enablebot.tests.postgrest import data_api
from enablebot.tests.shared.document_life import document_life

pytestmark = [pytest.mark.anyio, pytest.mark.postgrest]

Way = Literal["asyncpg", "postgrest"]
WAYS: tuple[Way, ...] = ("asyncpg", "postgrest")

ACME, ACME_TOO, OTHER, HOLDING, BRANCH = (UUID(int=number) for number in range(1, 6))
KEY, HOLDING_KEY = UUID(int=100), UUID(int=101)
ALL_BYTES = bytes(range(256))
LANE = "C1:1700000000.000100"
THEN = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class Recorded:
    """A transport that writes down what every call returned or raised."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.results: list[tuple[str, Json]] = []

    async def call(self, function: str, arguments: Mapping[str, Argument]) -> Json:
        try:
            result = await self._transport.call(function, arguments)
        except DatabaseError as error:
            self.results.append((function, type(error).__name__))
            raise
        self.results.append((function, comparable(result)))
        return result

    async def ping(self) -> None:
        await self._transport.ping()

    async def aclose(self) -> None:
        await self._transport.aclose()


def comparable(value: Json, name: str = "") -> Json:
    """Put a word in place of what differs from run to run, once it has the right form."""
    # Whose login asked is the one difference that is meant.
    if name in {"login", "member_of", "bypass_rls"}:
        return "ours"
    if isinstance(value, dict):
        return {key: comparable(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [comparable(inner) for inner in value]
    if value is not None and (name.endswith("_at") or name == "lease_until"):
        assert datetime.fromisoformat(value).tzinfo is not None
        return value if datetime.fromisoformat(value) == THEN else "a time"
    if name == "claim_token":
        return f"an id of version {UUID(value).version}"
    if name in {"cursor", "undo_until"}:
        return value and "a moment"
    if name in {"hash", "oldest_seconds", "waited_seconds"}:
        return "text" if isinstance(value, str) else "a number"
    return value


@asynccontextmanager
async def opened(server: PostgresServer, name: str, way: Way) -> AsyncIterator[tuple[Database, Recorded]]:
    """A database over one of the transports, with the rights that production has over it."""
    if way == "asyncpg":
        transport = await PostgresTransport.connect(server.url(name, login="enablebot_test_services"))
        recorded = Recorded(transport)
        yield Database(recorded), recorded
        await recorded.aclose()
        return
    with data_api(server, name) as api:
        recorded = Recorded(await SupabaseTransport.connect(api.url, api.key()))
        yield Database(recorded), recorded
        await recorded.aclose()


@postgres_versions
async def test_a_whole_life_has_the_same_results_either_way(postgres_server: PostgresServer) -> None:
    results: dict[Way, list[tuple[str, Json]]] = {}
    for way in WAYS:
        with postgres_server.migrated() as name:
            async with opened(postgres_server, name, way) as (database, recorded):
                await whole_life(database)
            results[way] = recorded.results
    for direct, rest in zip(results["asyncpg"], results["postgrest"], strict=True):
        assert direct == rest
    succeeded = {function for function, result in results["asyncpg"] if not isinstance(result, str)}
    assert succeeded == set(operation_names())


@postgres_versions
@pytest.mark.parametrize("way", WAYS)
async def test_claims_made_at_once_share_no_event(
    postgres_server: PostgresServer, database_name: str, way: Way
) -> None:
    async with opened(postgres_server, database_name, way) as (database, _):
        await install(database)
        keys = [f"Ev{number}" for number in range(30)]
        await accept(database, keys, lanes=[f"C{number}:1.2" for number in range(30)])
        claimed = await asyncio.gather(
            *(
                database.claim_events(worker=f"w{n}", after_tenant=None, limit=10, tenant_cap=30, lease_seconds=60)
                for n in range(5)
            )
        )
        seen = [event.event_key for events in claimed for event in events]
        assert len(seen) == len(set(seen))
        rest = await database.claim_events(worker="w", after_tenant=None, limit=30, tenant_cap=30, lease_seconds=60)
        assert {*seen, *(event.event_key for event in rest)} == set(keys)


async def whole_life(database: Database) -> None:
    """Call every operation, in the order a deployment would, with the answers it must give."""
    schema = await database.schema_version(functions=operation_names())
    assert schema.missing == ()
    assert schema.synchronous_commit in {"on", "off"}
    await refuse_open_walls(database)
    await install(database)
    await routes(database)
    await organisation(database)
    await visitor(database)
    await questions(database)
    await second_thoughts(database)
    await pause_and_return(database)
    await callers(database)
    await document_life(database, ACME, OTHER, KEY)
    await aftermath(database)


async def install(database: Database) -> None:
    assert await database.find_route(enterprise_id=None, team_id="T1", is_org_wide=False) is None
    assert (await register(database, ACME, "T1")).tenant_id == ACME
    saved = [await save(database, ACME, UUID(int=200 + turn)) for turn in range(2)]
    assert [one.reinstalled for one in saved] == [False, True]


async def routes(database: Database) -> None:
    late = await register(database, ACME_TOO, "T1")
    found = await database.find_route(enterprise_id=None, team_id="T1", is_org_wide=False)
    assert isinstance(found, RouteRow)
    assert found == await database.find_route_of_tenant(tenant_id=ACME)
    assert late.tenant_id == found.tenant_id == ACME
    assert found.data_key.wrapped == ALL_BYTES
    installation = await database.get_installation(tenant_id=ACME)
    assert installation is not None
    assert (installation.bot_token, installation.refresh_token) == (ALL_BYTES, b"")
    assert (installation.scopes, installation.token_expires_at) == (("chat:write", 'odd "scope", {}'), THEN)
    assert await database.get_installation(tenant_id=OTHER) is None
    assert await database.find_route_of_tenant(tenant_id=OTHER) is None


async def organisation(database: Database) -> None:
    await register(database, HOLDING, None, kind="organisation", enterprise_id="E1", key=HOLDING_KEY)
    await save(database, HOLDING, UUID(int=210), enterprise_id="E1", team_id=None, key=HOLDING_KEY)
    unknown = await database.find_route(enterprise_id="E1", team_id="T2", is_org_wide=True)
    assert unknown == UnknownWorkspaceRow(unknown_workspace_of=HOLDING)
    branch = await register(database, BRANCH, "T2", enterprise_id="E1", credential=HOLDING, key=UUID(int=102))
    assert branch.credential_tenant_id == HOLDING
    shared = await database.get_installation(tenant_id=BRANCH)
    assert shared is not None
    assert shared.tenant_id == HOLDING
    assert [tenant.tenant_id for tenant in await database.list_tenants(after=ACME, limit=10)] == [HOLDING, BRANCH]
    assert [use.data_keys for use in await database.get_master_key_use()] == [3]


async def visitor(database: Database) -> None:
    state, browser, cookie = b"\x00" * 32, b"\xff" * 32, ALL_BYTES[:32]
    await database.begin_oauth(
        state_hash=state, browser_hash=browser, purpose="install", return_to=None, lifetime_seconds=600
    )
    assert await database.consume_oauth_state(state_hash=state, browser_hash=state) is None
    assert await database.consume_oauth_state(state_hash=state, browser_hash=browser) is not None
    assert await database.consume_oauth_state(state_hash=state, browser_hash=browser) is None
    await database.start_session(
        tenant_id=ACME, session_hash=cookie, user_id="U1", role="installer", idle_seconds=60, absolute_seconds=600
    )
    found = await database.find_session(session_hash=cookie)
    assert found is not None
    assert (found.tenant_id, found.user_id) == (ACME, "U1")
    assert (await database.end_session(session_hash=cookie)).ended
    assert await database.find_session(session_hash=cookie) is None


async def questions(database: Database) -> None:
    verdicts = await accept(
        database,
        ["Ev1", "Ev2", "Ev3", "Ev4"],
        message_keys=["C1:1", "C1:1", None, "C1:3"],
        lanes=[LANE, LANE, "C9:9.9", LANE],
        joins=[True, True, False, False],
    )
    assert verdicts == ["accepted", "duplicate", "not_ours", "accepted"]
    for broken in ("Ev\x00", "Ev\ud800"):
        with pytest.raises(DataRefused):
            await accept(database, ["Ev5", broken])
    assert (await database.get_inbox_depth()).queued == 1

    for outcome in ("retry", "release"):
        await settle(database, await claim(database), outcome)
    event = await claim(database)
    assert (event.event_key, event.attempts, event.body) == ("Ev1", 2, ALL_BYTES)
    lease = {"tenant_ids": [ACME, ACME], "ids": [event.id, event.id], "lease_seconds": 90}
    assert await database.renew_leases(**lease, tokens=[event.claim_token, UUID(int=9)]) == [True, False]  # type: ignore[arg-type]

    await answer(database, event)
    with pytest.raises(StaleClaim):
        await database.save_draft(**named(event), answer_id=UUID(int=300), text=b"late", data_key_id=KEY)
    assert await settle(database, event, "done") == "stale"

    second = await claim(database)
    opening = await open_answer(database, second, answer_id=UUID(int=301))
    assert [(message.role, message.body) for message in opening.history] == [
        ("person", b"Ev1?"),
        ("assistant", ALL_BYTES),
    ]
    await finish(database, second, UUID(int=301), state="gave_up")


async def second_thoughts(database: Database) -> None:
    """What was given up is tried anew, and its question withdrawn while that goes on."""
    [aside] = await database.list_set_aside(tenant_id=ACME, after_id=None, limit=5)
    assert (aside.event_key, aside.team_id, aside.reason) == ("Ev4", "T1", "model_unavailable")
    assert await database.list_set_aside(tenant_id=None, after_id=aside.id, limit=5) == []
    assert await database.list_set_aside(tenant_id=OTHER, after_id=None, limit=5) == []
    assert not (await database.replay_event(tenant_id=OTHER, id=aside.id, actor="U1")).replayed
    assert (await database.replay_event(tenant_id=ACME, id=aside.id, actor="U1")).replayed
    again = await claim(database)
    assert (again.event_key, again.attempts, again.is_last_word) == ("Ev4", 1, False)
    opened = await open_answer(database, again, answer_id=UUID(int=302))
    assert (opened.is_new, opened.answer.id, opened.answer.state) == (False, UUID(int=301), "open")

    channel, thread_ts = LANE.split(":")
    lane = {"tenant_id": ACME, "channel": channel}
    mine = {"tenant_ids": [ACME, ACME], "ids": [again.id, again.id], "tokens": [again.claim_token, UUID(int=9)]}
    assert await database.read_signals(**mine) == [None, "lost"]  # type: ignore[arg-type]
    assert (await database.signal_answers(**lane, thread_ts=thread_ts, signal="stop")).signalled == 1  # type: ignore[arg-type]
    assert await database.read_signals(**mine) == ["stop", "lost"]  # type: ignore[arg-type]
    assert (await database.withdraw_question(**lane, question_ts="1700000000.000100")).signalled == 1  # type: ignore[arg-type]
    assert await database.read_signals(**mine) == ["withdraw", "lost"]  # type: ignore[arg-type]
    assert (await open_answer(database, again, answer_id=UUID(int=303))).is_withdrawn
    await finish(database, again, UUID(int=301), state="failed")

    urgent = {"worker": "w1", "limit": 5, "lease_seconds": 60}
    assert await database.claim_urgent_events(**urgent) == []  # type: ignore[arg-type]
    await accept(database, ["Ev6"], kinds=["stop"])
    [stop] = await database.claim_urgent_events(**urgent)  # type: ignore[arg-type]
    assert await settle(database, stop, "done") == "settled"


async def pause_and_return(database: Database) -> None:
    await accept(database, ["Ev7"])
    dead = {"tenant_id": ACME, "reason": "token_revoked", "actor": "slack"}
    assert not (await database.pause_installation(**dead, installed_at=datetime(2020, 1, 1, tzinfo=UTC))).paused  # type: ignore[arg-type]
    assert (await database.pause_installation(**dead, installed_at=datetime.now(UTC))).paused  # type: ignore[arg-type]
    depth = await database.get_inbox_depth()
    assert (depth.ready, depth.held, depth.paused) == (0, 1, 1)
    assert await database.claim_events(worker="w1", after_tenant=None, limit=5, tenant_cap=5, lease_seconds=60) == []
    await save(database, ACME, UUID(int=220))
    assert await settle(database, await claim(database), "done") == "settled"


async def answer(database: Database, event: ClaimedEventRow) -> None:
    answer_id = UUID(int=300)
    assert (await open_answer(database, event, answer_id=answer_id)).is_new
    part = {**named(event), "answer_id": answer_id, "part": 0}
    assert not (await database.intend_reply(**part, mode="post")).already
    assert (await database.intend_reply(**part, mode="post")).already
    ts = f"{datetime.now(UTC).timestamp() + 60:.6f}"
    evidence = {"tenant_ids": [ACME], "channels": ["C1"], "threads": [LANE.split(":")[1]], "ts": [ts]}
    noted = await database.note_own_messages(**evidence)  # type: ignore[arg-type]
    assert noted == [True]
    await database.record_reply(**part, state="open", ts="1800000000.000200")
    await database.save_draft(**named(event), answer_id=answer_id, text=ALL_BYTES, data_key_id=KEY)
    again = await open_answer(database, event, answer_id=UUID(int=999))
    assert (again.is_new, again.answer.id, again.answer.text) == (False, answer_id, ALL_BYTES)
    assert [(reply.state, reply.ts) for reply in again.answer.replies] == [("open", "1800000000.000200")]
    await finish(database, event, answer_id, state="complete")


async def callers(database: Database) -> None:
    """Somebody gets a key of the REST API, repeats a request with it, and loses it again."""
    key, hash_, name_hash = UUID(int=700), ALL_BYTES[:32], ALL_BYTES[32:64]
    await database.create_api_key(
        tenant_id=ACME, id=key, key_hash=hash_, name='odd "name"', scopes=["search"], expires_at=THEN, actor="cli"
    )
    found = await database.find_api_key(key_hash=hash_)
    assert found is not None
    assert (found.tenant_id, found.state, found.scopes) == (ACME, "living", ("search",))
    assert await database.find_api_key(key_hash=name_hash) is None

    request = {"tenant_id": ACME, "api_key_id": key, "name_hash": name_hash, "token": UUID(int=701)}
    other = {**request, "token": UUID(int=702)}
    assert (await database.begin_api_request(**request, lease_seconds=60)).outcome == "new"  # type: ignore[arg-type]
    assert (await database.begin_api_request(**other, lease_seconds=60)).outcome == "under_way"  # type: ignore[arg-type]
    assert (await database.give_up_api_request(**request)).ended  # type: ignore[arg-type]
    assert (await database.begin_api_request(**other, lease_seconds=60)).outcome == "new"  # type: ignore[arg-type]
    answer = {"fingerprint": hash_, "status": 202, "response": ALL_BYTES, "data_key_id": KEY}
    assert not (await database.finish_api_request(**request, **answer)).ended  # type: ignore[arg-type]
    assert (await database.finish_api_request(**other, **answer)).ended  # type: ignore[arg-type]
    told = await database.begin_api_request(**request, lease_seconds=60)  # type: ignore[arg-type]
    assert (told.outcome, told.status, told.fingerprint, told.response) == ("answered", 202, hash_, ALL_BYTES)
    assert (await database.prune_api_requests(hours=24, limit=10)).requests == 0

    assert not (await database.revoke_api_key(tenant_id=OTHER, id=key, actor="cli")).revoked
    assert (await database.revoke_api_key(tenant_id=ACME, id=key, actor="cli")).revoked
    assert [(row.id, row.state, row.expires_at) for row in await database.list_api_keys(tenant_id=ACME)] == [
        (key, "revoked", THEN)
    ]


async def aftermath(database: Database) -> None:
    await database.append_audit(
        tenant_id=ACME, actor="U1", action="test", object="o", outcome="é\u202e", detail=ALL_BYTES
    )
    assert (await database.verify_audit(tenant_id=ACME)).ok
    overview = await database.get_overview(tenant_id=ACME)
    assert overview is not None
    assert (overview.answered, overview.failed, overview.waiting) == (1, 1, 0)
    assert [use.data_keys for use in await database.get_master_key_use()] == [3]
    first = await database.list_tenants(after=None, limit=2)
    rest = await database.list_tenants(after=first[-1].tenant_id, limit=2)
    assert [tenant.team_id for tenant in (*first, *rest)] == ["T1", None, "T2"]
    await database.prune(dedupe_days=30, done_days=30, limit=100)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    assert not (await end(database, long_ago)).ended
    assert (await end(database, datetime.now(UTC))).ended
    assert await database.get_installation(tenant_id=ACME) is None


async def register(
    database: Database,
    tenant_id: UUID,
    team_id: str | None,
    *,
    kind: Literal["workspace", "organisation"] = "workspace",
    enterprise_id: str | None = None,
    credential: UUID | None = None,
    key: UUID = KEY,
) -> RouteRow:
    return await database.register_tenant(
        tenant_id=tenant_id,
        kind=kind,
        team_id=team_id,
        enterprise_id=enterprise_id,
        name="Ünïversal 😀, Inc.",
        credential_tenant_id=credential,
        data_key_id=key,
        master_key_id="k1",
        wrapped=ALL_BYTES,
    )


async def save(
    database: Database,
    tenant_id: UUID,
    installation_id: UUID,
    *,
    enterprise_id: str | None = None,
    team_id: str | None = "T1",
    key: UUID = KEY,
) -> Any:
    return await database.save_installation(
        tenant_id=tenant_id,
        installation_id=installation_id,
        enterprise_id=enterprise_id,
        team_id=team_id,
        is_org_wide=team_id is None,
        app_id="A1",
        bot_user_id="UBOT",
        bot_id=None,
        scopes=["chat:write", 'odd "scope", {}'],
        installed_by="U1",
        bot_token=ALL_BYTES,
        refresh_token=b"",
        token_expires_at=THEN,
        data_key_id=key,
        actor="U1",
    )


async def end(database: Database, event_time: datetime) -> Any:
    return await database.end_installation(tenant_id=ACME, event_time=event_time, reason="uninstalled", actor="slack")


async def accept(
    database: Database,
    keys: list[str],
    *,
    message_keys: list[str | None] | None = None,
    lanes: list[str] | None = None,
    joins: list[bool] | None = None,
    kinds: list[EventKind] | None = None,
) -> list[str]:
    many = len(keys)
    verdicts: list[Any] = await database.accept_events(
        tenant_ids=[ACME] * many,
        event_keys=keys,
        message_keys=message_keys or [None] * many,
        lanes=lanes or [None if kinds else LANE] * many,
        kinds=kinds or ["mention"] * many,
        joins=joins or [True] * many,
        bodies=[ALL_BYTES] * many,
        data_key_ids=[KEY] * many,
    )
    return verdicts


async def claim(database: Database) -> ClaimedEventRow:
    [event] = await database.claim_events(worker="w1", after_tenant=None, limit=5, tenant_cap=5, lease_seconds=60)
    return event


async def settle(database: Database, event: ClaimedEventRow, outcome: EventOutcome) -> str:
    [settlement] = await database.settle_events(
        tenant_ids=[event.tenant_id],
        ids=[event.id],
        tokens=[event.claim_token],
        outcomes=[outcome],
        reasons=[None],
        delays=[0],
    )
    return settlement


def named(event: ClaimedEventRow) -> dict[str, Any]:
    return {"tenant_id": event.tenant_id, "event_id": event.id, "claim_token": event.claim_token}


async def open_answer(database: Database, event: ClaimedEventRow, *, answer_id: UUID) -> Any:
    channel, thread_ts = LANE.split(":")
    return await database.open_answer(
        **named(event),
        answer_id=answer_id,
        conversation_id=UUID(int=400),
        lane=LANE,
        channel=channel,
        thread_ts=thread_ts,
        question_ts="1700000000.000100",
        asker="U1",
        message_id=UUID(int=500 + event.id),
        message=f"{event.event_key}?".encode(),
        data_key_id=KEY,
        history=10,
    )


async def finish(
    database: Database, event: ClaimedEventRow, answer_id: UUID, *, state: Literal["complete", "failed", "gave_up"]
) -> None:
    is_complete = state == "complete"
    await database.finish_answer(
        **named(event),
        answer_id=answer_id,
        state=state,
        reason=None if is_complete else "model_unavailable",
        text=ALL_BYTES if is_complete else None,
        message_id=UUID(int=600) if is_complete else None,
        data_key_id=KEY if is_complete else None,
        model="gpt-6-luna",
        input_tokens=10,
        output_tokens=None,
        latency_ms=1234,
    )
