"""Routes, tokens and their end, over a real database; beside each workspace the one that must get nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest

from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.encryption import Place
from enablebot.shared.encryption.keyring import Keyring, generate_master_key
from enablebot.shared.errors import KeyMissing, NotFound, SealBroken
from enablebot.shared.installations import Installations, NotInstalled, Route
from enablebot.shared.models.installation import REQUIRED_SCOPES, OAuthGrant
from enablebot.shared.sensitive import Sensitive

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

pytestmark = pytest.mark.anyio

TODAY = datetime(2026, 11, 22, tzinfo=UTC).date()
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def grant(team: str | None = "T1", **changed: Any) -> OAuthGrant:
    given = OAuthGrant(
        app_id="A1",
        enterprise_id=None,
        enterprise_name=None,
        team_id=team,
        team_name=f"Workspace {team}",
        is_org_wide=False,
        bot_user_id=f"UBOT{team}",
        bot_id="B1",
        scopes=REQUIRED_SCOPES,
        bot_token=Sensitive(f"xoxb-of-{team}"),
        refresh_token=None,
        expires_in=None,
        installed_by="U1",
    )
    return replace(given, **changed)


def org_grant(**changed: Any) -> OAuthGrant:
    return grant(
        None,
        **{
            "enterprise_id": "E1",
            "enterprise_name": "Org",
            "is_org_wide": True,
            "bot_user_id": "UBOTE1",
            "bot_token": Sensitive("xoxb-of-E1"),
            **changed,
        },
    )


@pytest.fixture
def keyring() -> Keyring:
    return Keyring.parse(generate_master_key(TODAY))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def new_process(database: Database, keyring: Keyring, clock: Clock) -> Callable[[], Installations]:
    return lambda: Installations(database, keyring, clock=clock)


@pytest.fixture
def installations(new_process: Callable[[], Installations]) -> Installations:
    return new_process()


async def route_of(installations: Installations, team: str) -> Route | None:
    return await installations.route(enterprise_id=None, team_id=team, is_org_wide=False)


async def test_a_saved_token_comes_back_and_only_to_its_own_workspace(installations: Installations) -> None:
    first = await installations.save(grant("T1"), audit_actor="U1")
    second = await installations.save(grant("T2"), audit_actor="U1")
    assert (await installations.bot(first)).token.reveal() == "xoxb-of-T1"
    assert (await installations.bot(second)).token.reveal() == "xoxb-of-T2"
    bot = await installations.bot(first)
    assert (bot.bot_user_id, bot.team_id, bot.scopes, bot.is_org_wide) == ("UBOTT1", "T1", REQUIRED_SCOPES, False)
    with pytest.raises(NotInstalled):
        await installations.bot(uuid4())


async def test_a_token_is_stored_sealed_for_its_place(installations: Installations, admin: Admin) -> None:
    first = await installations.save(grant("T1"), audit_actor="U1")
    second = await installations.save(grant("T2"), audit_actor="U1")
    row = await admin.fetchrow("select id, bot_token from enablebot.installations where tenant_id = $1", first)
    assert row is not None
    assert b"xoxb" not in row["bot_token"]
    key = (await installations.route_of_tenant(first)).key
    assert key.open(Place(first, "installations", "bot_token", str(row["id"])), row["bot_token"]) == b"xoxb-of-T1"
    other = (await installations.route_of_tenant(second)).key
    for opener, place in (
        (other, Place(first, "installations", "bot_token", str(row["id"]))),
        (key, Place(second, "installations", "bot_token", str(row["id"]))),
        (key, Place(first, "installations", "refresh_token", str(row["id"]))),
    ):
        with pytest.raises(SealBroken):
            opener.open(place, row["bot_token"])


async def test_nothing_shown_of_credentials_holds_the_token(installations: Installations) -> None:
    tenant = await installations.save(grant("T1"), audit_actor="U1")
    assert "xoxb" not in f"{await installations.bot(tenant)!r} {await route_of(installations, 'T1')!r}"


async def test_a_second_install_replaces_the_first_in_the_same_tenant(
    installations: Installations, admin: Admin
) -> None:
    first = await installations.save(grant("T1"), audit_actor="U1")
    again = await installations.save(grant("T1", bot_token=Sensitive("xoxb-newer")), audit_actor="U2")
    assert again == first
    assert (await installations.bot(first)).token.reveal() == "xoxb-newer"
    stored = await admin.fetch(
        "select status, bot_token is null as gone from enablebot.installations order by installed_at"
    )
    assert [(row["status"], row["gone"]) for row in stored] == [("replaced", True), ("active", False)]


async def test_two_installs_at_once_end_in_one_tenant(new_process: Callable[[], Installations]) -> None:
    tenants = await asyncio.gather(*(new_process().save(grant("T1"), audit_actor="U1") for _ in range(4)))
    assert len(set(tenants)) == 1


async def test_an_unknown_workspace_has_no_route(installations: Installations) -> None:
    assert await route_of(installations, "T404") is None
    with pytest.raises(NotFound):
        await installations.route_of_tenant(uuid4())


async def test_many_events_of_one_workspace_cost_one_look_up(
    installations: Installations, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await installations.save(grant("T1"), audit_actor="U1")
    asked = 0
    find_route = database.find_route

    async def counting(**key: Any) -> Any:
        nonlocal asked
        asked += 1
        return await find_route(**key)

    monkeypatch.setattr(database, "find_route", counting)
    routes = await asyncio.gather(*(route_of(installations, "T1") for _ in range(20)))
    assert len({id(route) for route in routes}) == 1
    await route_of(installations, "T1")
    assert asked == 1


async def test_one_impatient_asker_takes_the_answer_from_nobody(installations: Installations) -> None:
    await installations.save(grant("T1"), audit_actor="U1")
    impatient = asyncio.create_task(route_of(installations, "T1"))
    patient = asyncio.create_task(route_of(installations, "T1"))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient is not None
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_an_install_elsewhere_is_seen_within_two_seconds(
    new_process: Callable[[], Installations], clock: Clock
) -> None:
    here, elsewhere = new_process(), new_process()
    assert await route_of(here, "T1") is None
    tenant = await elsewhere.save(grant("T1"), audit_actor="U1")
    assert await route_of(here, "T1") is None
    clock.now += 2
    route = await route_of(here, "T1")
    assert route is not None
    assert route.status == "active"
    # The same after an end: whoever installs again is heard again.
    await here.end(tenant, event_time=datetime.now(UTC) + timedelta(days=1), reason="app_uninstalled")
    ended = await route_of(here, "T1")
    assert ended is not None
    assert ended.status == "uninstalled"
    await elsewhere.save(grant("T1"), audit_actor="U1")
    clock.now += 2
    route = await route_of(here, "T1")
    assert route is not None
    assert route.status == "active"


async def test_an_end_elsewhere_is_seen_within_a_minute(new_process: Callable[[], Installations], clock: Clock) -> None:
    here, elsewhere = new_process(), new_process()
    tenant = await here.save(grant("T1"), audit_actor="U1")
    await here.bot(tenant)
    assert await elsewhere.end(tenant, event_time=datetime.now(UTC) + timedelta(days=1), reason="app_uninstalled")
    clock.now += 60
    with pytest.raises(NotInstalled):
        await here.bot(tenant)


async def test_an_end_here_is_seen_at_once_and_deletes_the_token(installations: Installations, admin: Admin) -> None:
    tenant = await installations.save(grant("T1"), audit_actor="U1")
    other = await installations.save(grant("T2"), audit_actor="U1")
    await installations.bot(tenant)
    assert await installations.end(tenant, event_time=datetime.now(UTC) + timedelta(days=1), reason="app_uninstalled")
    with pytest.raises(NotInstalled):
        await installations.bot(tenant)
    assert await admin.fetchval("select bot_token from enablebot.installations where tenant_id = $1", tenant) is None
    assert (await installations.bot(other)).token.reveal() == "xoxb-of-T2"


async def test_a_late_end_deletes_nothing(installations: Installations) -> None:
    tenant = await installations.save(grant("T1"), audit_actor="U1")
    assert not await installations.end(tenant, event_time=LONG_AGO, reason="app_uninstalled")
    assert (await installations.bot(tenant)).token.reveal() == "xoxb-of-T1"


async def test_a_dead_token_pauses_its_own_installation_and_no_later_one(installations: Installations) -> None:
    tenant = await installations.save(grant("T1"), audit_actor="U1")
    old = await installations.bot(tenant)
    await installations.save(grant("T1", bot_token=Sensitive("xoxb-newer")), audit_actor="U1")
    assert not await installations.pause_with_dead_token(old, reason="token_revoked")
    new = await installations.bot(tenant)
    assert new.token.reveal() == "xoxb-newer"
    assert await installations.pause_with_dead_token(new, reason="token_revoked")
    with pytest.raises(NotInstalled):
        await installations.bot(tenant)


async def test_a_look_up_under_way_does_not_bring_back_what_was_forgotten(
    installations: Installations, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await installations.save(grant("T1"), audit_actor="U1")
    find_route, asked, go_on = database.find_route, asyncio.Event(), asyncio.Event()

    async def slowly(**key: Any) -> Any:
        found = await find_route(**key)
        asked.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(database, "find_route", slowly)
    looking = asyncio.create_task(route_of(installations, "T1"))
    await asked.wait()
    await installations.end(tenant, event_time=datetime.now(UTC) + timedelta(days=1), reason="app_uninstalled")
    monkeypatch.setattr(database, "find_route", find_route)
    async with asyncio.timeout(20):
        beside = await route_of(installations, "T1")
    go_on.set()
    await looking
    after = await route_of(installations, "T1")
    assert beside is not None
    assert after is not None
    assert beside.status == after.status == "uninstalled"


async def test_workspaces_of_an_organisation_are_registered_as_they_speak_and_share_its_token(
    installations: Installations,
) -> None:
    organisation = await installations.save(org_grant(), audit_actor="U1")
    first = await installations.route(enterprise_id="E1", team_id="T1", is_org_wide=True)
    second = await installations.route(enterprise_id="E1", team_id="T2", is_org_wide=True)
    itself = await installations.route(enterprise_id="E1", team_id=None, is_org_wide=True)
    assert first is not None
    assert second is not None
    assert itself is not None
    assert len({first.tenant_id, second.tenant_id, organisation}) == 3
    assert itself.tenant_id == organisation
    # One credential, and still a world and a key of its own for each workspace.
    assert first.credential_tenant_id == second.credential_tenant_id == organisation
    assert first.key.id != second.key.id
    bot = await installations.bot(first.tenant_id)
    assert (bot.token.reveal(), bot.team_id, bot.is_org_wide) == ("xoxb-of-E1", "T1", True)
    assert await installations.route(enterprise_id="E2", team_id="T3", is_org_wide=True) is None


async def test_the_end_of_an_organisation_ends_its_workspaces(installations: Installations) -> None:
    organisation = await installations.save(org_grant(), audit_actor="U1")
    workspace = await installations.route(enterprise_id="E1", team_id="T1", is_org_wide=True)
    assert workspace is not None
    bot = await installations.bot(workspace.tenant_id)
    assert await installations.pause_with_dead_token(bot, reason="token_revoked")
    for tenant in (organisation, workspace.tenant_id):
        with pytest.raises(NotInstalled):
            await installations.bot(tenant)


async def test_two_processes_register_a_workspace_once(
    installations: Installations, new_process: Callable[[], Installations]
) -> None:
    await installations.save(org_grant(), audit_actor="U1")
    routes = await asyncio.gather(
        *(new_process().route(enterprise_id="E1", team_id="T1", is_org_wide=True) for _ in range(6))
    )
    assert len({route.tenant_id for route in routes if route is not None}) == 1
    assert len({route.key.id for route in routes if route is not None}) == 1


async def test_a_master_key_that_is_gone_is_named(installations: Installations, database: Database) -> None:
    tenant = await installations.save(grant("T1"), audit_actor="U1")
    other_keys = Keyring.parse(generate_master_key(TODAY.replace(year=2027)))
    with pytest.raises(KeyMissing, match="k20261122"):
        await Installations(database, other_keys).bot(tenant)


async def test_remembers_no_more_than_it_may(
    database: Database, keyring: Keyring, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    installations = Installations(database, keyring, clock=clock, cache_size=2)
    asked: list[UUID] = []
    find = database.find_route_of_tenant

    async def counting(*, tenant_id: UUID) -> Any:
        asked.append(tenant_id)
        return await find(tenant_id=tenant_id)

    monkeypatch.setattr(database, "find_route_of_tenant", counting)
    tenants = [await installations.save(grant(f"T{n}"), audit_actor="U1") for n in range(3)]
    for tenant in (*tenants, *tenants):
        await installations.route_of_tenant(tenant)
    assert len(asked) > len(tenants)
    assert asked[:3] == tenants
