"""What each operation does, and beside it what it does not do for another workspace.

The inbox, the answers and the audit trail have modules of their own beside this one.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from uuid import uuid4

import asyncpg
import pytest

from enablebot.shared.database.models import RouteRow, UnknownWorkspaceRow
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DataRefused, DuplicateKey, WallBreached
from enablebot.tests.database import postgres_versions
from enablebot.tests.shared.workspaces import (
    Event,
    Workspace,
    accept,
    add_installed,
    add_lived_in_pair,
    add_workspace,
    claim,
    claim_one,
    end,
    install,
    open_answer,
    settle,
)

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def _route(
    database: Database, team_id: str | None, *, enterprise_id: str | None = None, is_org_wide: bool = False
) -> RouteRow | UnknownWorkspaceRow | None:
    return await database.find_route(enterprise_id=enterprise_id, team_id=team_id, is_org_wide=is_org_wide)


async def _routed(database: Database, workspace: Workspace) -> RouteRow:
    route = await database.find_route_of_tenant(tenant_id=workspace.tenant_id)
    assert route is not None
    return route


# Tenants and routes


@postgres_versions
async def test_a_registered_workspace_is_found_by_its_team_with_its_key(database: Database) -> None:
    acme, other = await add_workspace(database), await add_workspace(database)
    route = await _route(database, acme.team_id)
    assert isinstance(route, RouteRow)
    assert (route.tenant_id, route.kind, route.credential_tenant_id) == (acme.tenant_id, "workspace", acme.tenant_id)
    assert (route.data_key.id, route.data_key.master_key_id, route.data_key.wrapped) == (
        acme.data_key_id,
        "k1",
        b"wrapped",
    )
    assert await _routed(database, acme) == route
    assert (await _routed(database, other)).data_key.id == other.data_key_id


async def test_nobody_is_found_for_an_unknown_team_or_tenant(database: Database) -> None:
    await add_workspace(database)
    assert await _route(database, "T404") is None
    assert await _route(database, None) is None
    assert await _route(database, "T404", enterprise_id="E404", is_org_wide=True) is None
    assert await database.find_route_of_tenant(tenant_id=uuid4()) is None


async def test_a_workspace_is_active_only_while_it_has_an_installation(database: Database) -> None:
    acme = await add_workspace(database)
    assert (await _routed(database, acme)).status == "uninstalled"
    await install(database, acme)
    route = await _routed(database, acme)
    assert (route.status, route.app_id, route.bot_user_id) == ("active", "A1", "UBOT")
    assert route.installed_at is not None
    await end(database, acme)
    assert (await _routed(database, acme)).status == "uninstalled"


async def test_installs_of_one_workspace_that_race_all_get_the_same_tenant_and_key(
    database: Database, admin: Admin
) -> None:
    racers = await asyncio.gather(*(add_workspace(database, team_id="T1") for _ in range(8)))
    assert len({(racer.tenant_id, racer.data_key_id) for racer in racers}) == 1
    assert await admin.fetchval("select count(*) from enablebot.tenants") == 1
    assert await admin.fetchval("select count(*) from enablebot.data_keys") == 1


async def test_a_tenant_id_that_another_workspace_has_is_refused(database: Database) -> None:
    acme = await add_workspace(database)
    with pytest.raises(DuplicateKey):
        await database.register_tenant(
            tenant_id=acme.tenant_id,
            kind="workspace",
            team_id="T2",
            enterprise_id=None,
            name="Mallory",
            credential_tenant_id=None,
            data_key_id=uuid4(),
            master_key_id="k1",
            wrapped=b"theirs",
        )
    assert (await _routed(database, acme)).data_key.wrapped == b"wrapped"


async def test_a_destroyed_key_is_not_handed_out(database: Database, admin: Admin) -> None:
    acme = await add_workspace(database)
    newer = uuid4()
    await admin.execute("update enablebot.data_keys set destroyed_at = now()")
    await admin.execute(
        "insert into enablebot.data_keys (tenant_id, id, master_key_id, wrapped) values ($1, $2, 'k2', 'w')",
        acme.tenant_id,
        newer,
    )
    assert (await _routed(database, acme)).data_key.id == newer


# Organisations


async def _add_organisation(database: Database) -> Workspace:
    organisation = await add_workspace(database, kind="organisation", enterprise_id="E1")
    await install(database, organisation, enterprise_id="E1", team_id=None, is_org_wide=True, bot_user_id="UORG")
    return organisation


async def test_a_workspace_of_a_known_organisation_is_announced_and_then_shares_its_credential(
    database: Database,
) -> None:
    organisation = await _add_organisation(database)
    found = await _route(database, "T1", enterprise_id="E1", is_org_wide=True)
    assert found == UnknownWorkspaceRow(unknown_workspace_of=organisation.tenant_id)
    member = await add_workspace(
        database, team_id="T1", enterprise_id="E1", credential_tenant_id=organisation.tenant_id
    )
    route = await _route(database, "T1", enterprise_id="E1", is_org_wide=True)
    assert isinstance(route, RouteRow)
    assert (route.tenant_id, route.credential_tenant_id) == (member.tenant_id, organisation.tenant_id)
    assert (route.status, route.bot_user_id, route.data_key.id) == ("active", "UORG", member.data_key_id)
    installation = await database.get_installation(tenant_id=member.tenant_id)
    assert installation is not None
    assert (installation.tenant_id, installation.is_org_wide) == (organisation.tenant_id, True)


async def test_an_organisation_is_found_without_a_team(database: Database) -> None:
    organisation = await _add_organisation(database)
    route = await _route(database, None, enterprise_id="E1", is_org_wide=True)
    assert isinstance(route, RouteRow)
    assert (route.tenant_id, route.kind, route.team_id) == (organisation.tenant_id, "organisation", None)


async def test_a_workspace_of_another_organisation_does_not_get_its_credential(database: Database) -> None:
    await _add_organisation(database)
    assert await _route(database, "T1", enterprise_id="E2", is_org_wide=True) is None
    assert await _route(database, "T1", enterprise_id="E1", is_org_wide=False) is None


async def test_a_workspace_that_had_its_own_install_takes_up_the_organisation_s_and_back(
    database: Database, admin: Admin
) -> None:
    acme = await add_installed(database, team_id="T1")
    organisation = await _add_organisation(database)
    found = await _route(database, "T1", enterprise_id="E1", is_org_wide=True)
    assert found == UnknownWorkspaceRow(unknown_workspace_of=organisation.tenant_id)
    again = await add_workspace(database, team_id="T1", enterprise_id="E1", credential_tenant_id=organisation.tenant_id)
    assert again.tenant_id == acme.tenant_id
    installation = await database.get_installation(tenant_id=acme.tenant_id)
    assert installation is not None
    assert installation.tenant_id == organisation.tenant_id
    own = await admin.fetchrow(
        "select status, bot_token from enablebot.installations where tenant_id = $1", acme.tenant_id
    )
    assert own is not None
    assert tuple(own) == ("replaced", None)
    await install(database, acme)
    installation = await database.get_installation(tenant_id=acme.tenant_id)
    assert installation is not None
    assert installation.tenant_id == acme.tenant_id


async def test_ending_an_organisation_s_install_ends_it_for_its_workspaces_and_for_no_others(
    database: Database, admin: Admin
) -> None:
    organisation = await _add_organisation(database)
    member = await add_workspace(
        database, team_id="T1", enterprise_id="E1", credential_tenant_id=organisation.tenant_id
    )
    other = await add_installed(database)
    await accept(database, (member, Event()), (other, Event()))
    assert await end(database, organisation)
    assert (await _routed(database, member)).status == "uninstalled"
    assert await database.get_installation(tenant_id=member.tenant_id) is None
    assert [event.tenant_id for event in await claim(database)] == [other.tenant_id]
    # A late event of a further workspace must not be registered with a credential that is gone.
    assert await _route(database, "T2", enterprise_id="E1", is_org_wide=True) is None


async def test_a_workspace_leaving_its_organisation_s_install_leaves_the_others_alone(database: Database) -> None:
    organisation = await _add_organisation(database)
    leaving, staying = [
        await add_workspace(database, team_id=team, enterprise_id="E1", credential_tenant_id=organisation.tenant_id)
        for team in ("T1", "T2")
    ]
    assert await end(database, leaving)
    assert (await _routed(database, leaving)).status == "uninstalled"
    assert await database.get_installation(tenant_id=leaving.tenant_id) is None
    assert (await _routed(database, staying)).status == "active"
    assert await database.get_installation(tenant_id=staying.tenant_id) is not None


# Installations


@postgres_versions
async def test_an_installation_comes_back_as_it_was_saved(database: Database) -> None:
    acme, other = await add_workspace(database), await add_workspace(database)
    token, expires = bytes(range(256)), datetime(2030, 1, 1, tzinfo=UTC)
    installation_id = await install(
        database, acme, bot_token=token, refresh_token=b"\x00", token_expires_at=expires, scopes=["b", "a"]
    )
    found = await database.get_installation(tenant_id=acme.tenant_id)
    assert found is not None
    assert (found.id, found.tenant_id, found.status) == (installation_id, acme.tenant_id, "active")
    assert (found.bot_token, found.refresh_token, found.token_expires_at) == (token, b"\x00", expires)
    assert (found.scopes, found.installed_by, found.data_key_id) == (("b", "a"), "U1", acme.data_key_id)
    assert await database.get_installation(tenant_id=other.tenant_id) is None
    assert await database.get_installation(tenant_id=uuid4()) is None


async def test_reinstalling_replaces_and_forgets_the_old_tokens(database: Database, admin: Admin) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    second = await install(database, acme, bot_token=b"new", refresh_token=b"refresh")
    found = await database.get_installation(tenant_id=acme.tenant_id)
    assert found is not None
    assert (found.id, found.bot_token) == (second, b"new")
    rows = await admin.fetch(
        "select status, bot_token, refresh_token from enablebot.installations "
        "where tenant_id = $1 order by installed_at",
        acme.tenant_id,
    )
    assert [tuple(row) for row in rows] == [("replaced", None, None), ("active", b"new", b"refresh")]
    assert await database.get_installation(tenant_id=other.tenant_id) is not None


async def test_saving_says_whether_the_workspace_was_installed_before(database: Database) -> None:
    acme = await add_workspace(database)

    async def save() -> bool:
        saved = await database.save_installation(
            tenant_id=acme.tenant_id,
            installation_id=uuid4(),
            enterprise_id=None,
            team_id=acme.team_id,
            is_org_wide=False,
            app_id="A1",
            bot_user_id="U",
            bot_id=None,
            scopes=[],
            installed_by=None,
            bot_token=b"t",
            refresh_token=None,
            token_expires_at=None,
            data_key_id=acme.data_key_id,
            actor="U1",
        )
        return saved.reinstalled

    assert [await save(), await save()] == [False, True]
    await end(database, acme)
    assert await save()


async def test_installs_at_once_leave_one_active(database: Database, admin: Admin) -> None:
    acme = await add_workspace(database)
    await asyncio.gather(*(install(database, acme) for _ in range(8)))
    assert await admin.fetchval("select count(*) from enablebot.installations where bot_token is not null") == 1
    assert (await database.verify_audit(tenant_id=acme.tenant_id)).rows == 8


async def test_a_key_of_another_workspace_cannot_seal_an_installation(database: Database) -> None:
    acme, other = await add_workspace(database), await add_workspace(database)
    with pytest.raises(DataRefused):
        await install(database, acme, data_key_id=other.data_key_id)
    with pytest.raises(DataRefused):
        await install(database, Workspace(tenant_id=uuid4(), data_key_id=acme.data_key_id, team_id="T"))


async def test_uninstalling_deletes_tokens_sessions_and_what_waits_of_that_workspace_only(
    database: Database, admin: Admin
) -> None:
    acme, other = await add_lived_in_pair(database)
    assert await end(database, acme)
    assert await database.get_installation(tenant_id=acme.tenant_id) is None
    for table, column in (("installations", "bot_token"), ("sessions", "id_hash"), ("event_bodies", "body")):
        rows = await admin.fetch(f"select distinct tenant_id from enablebot.{table} where {column} is not null")
        assert [row["tenant_id"] for row in rows] == [other.tenant_id], table
    overview = await database.get_overview(tenant_id=acme.tenant_id)
    assert overview is not None
    assert (overview.tenant.status, overview.waiting) == ("uninstalled", 0)
    assert overview.installation is not None
    assert overview.installation.status == "ended"


async def test_uninstalling_forgets_drafts_and_bodies_set_aside(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    await settle(database, await claim_one(database, acme), outcome="set_aside")
    event = await claim_one(database, acme)
    answer = (await open_answer(database, acme, event)).answer
    await database.save_draft(
        tenant_id=acme.tenant_id,
        answer_id=answer.id,
        event_id=event.id,
        claim_token=event.claim_token,
        text=b"half an answer",
        data_key_id=acme.data_key_id,
    )
    await end(database, acme)
    assert await admin.fetchval("select count(*) from enablebot.event_bodies") == 0
    row = await admin.fetchrow("select state, text, reason from enablebot.answers")
    assert row is not None
    assert tuple(row) == ("dropped", None, "app_uninstalled")


async def test_a_late_uninstall_event_does_not_end_a_newer_installation(database: Database) -> None:
    acme = await add_installed(database)
    found = await database.get_installation(tenant_id=acme.tenant_id)
    assert found is not None
    before = found.installed_at - timedelta(microseconds=1)
    whole_second_before = found.installed_at.replace(microsecond=0) - timedelta(seconds=1)
    assert not await end(database, acme, event_time=before)
    assert not await end(database, acme, event_time=whole_second_before)
    # Slack tells whole seconds: an uninstall in the second of the install came after it.
    assert await end(database, acme, event_time=found.installed_at.replace(microsecond=0))
    assert not await end(database, acme)
    assert not await end(database, Workspace(tenant_id=uuid4(), data_key_id=uuid4(), team_id="T"))


# OAuth states


async def test_a_state_works_once_for_the_browser_it_was_given_to(database: Database) -> None:
    begun = await database.begin_oauth(
        state_hash=b"state", browser_hash=b"browser", purpose="install", return_to="/dashboard", lifetime_seconds=600
    )
    assert begun.expires_at > datetime.now(UTC)
    assert await database.consume_oauth_state(state_hash=b"state", browser_hash=b"another") is None
    assert await database.consume_oauth_state(state_hash=b"forged", browser_hash=b"browser") is None
    state = await database.consume_oauth_state(state_hash=b"state", browser_hash=b"browser")
    assert state is not None
    assert (state.purpose, state.return_to) == ("install", "/dashboard")
    assert await database.consume_oauth_state(state_hash=b"state", browser_hash=b"browser") is None


async def test_a_state_is_consumed_by_one_of_many_callbacks(database: Database) -> None:
    await database.begin_oauth(
        state_hash=b"state", browser_hash=b"browser", purpose="install", return_to=None, lifetime_seconds=600
    )
    states = await asyncio.gather(
        *(database.consume_oauth_state(state_hash=b"state", browser_hash=b"browser") for _ in range(8))
    )
    assert sum(state is not None for state in states) == 1


async def test_an_expired_state_is_worthless_and_cleared_away_by_the_next(database: Database, admin: Admin) -> None:
    await database.begin_oauth(
        state_hash=b"old", browser_hash=b"browser", purpose="install", return_to=None, lifetime_seconds=0
    )
    assert await database.consume_oauth_state(state_hash=b"old", browser_hash=b"browser") is None
    await database.begin_oauth(
        state_hash=b"new", browser_hash=b"browser", purpose="install", return_to=None, lifetime_seconds=600
    )
    assert [row["state_hash"] for row in await admin.fetch("select state_hash from enablebot.oauth_states")] == [b"new"]


async def test_a_state_is_never_given_twice(database: Database) -> None:
    for browser, expected in ((b"mine", None), (b"mallory", DuplicateKey)):
        begin = database.begin_oauth(
            state_hash=b"state", browser_hash=browser, purpose="install", return_to=None, lifetime_seconds=600
        )
        if expected is None:
            await begin
        else:
            with pytest.raises(expected):
                await begin


# Sessions


async def _sign_in(database: Database, workspace: Workspace, cookie: bytes, *, absolute_seconds: int = 3600) -> None:
    await database.start_session(
        tenant_id=workspace.tenant_id,
        session_hash=cookie,
        user_id="U1",
        role="admin",
        idle_seconds=1800,
        absolute_seconds=absolute_seconds,
    )


async def test_a_session_names_its_person_and_workspace_until_it_is_ended(database: Database) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    await _sign_in(database, acme, b"acme")
    await _sign_in(database, other, b"other")
    session = await database.find_session(session_hash=b"acme")
    assert session is not None
    assert (session.tenant_id, session.user_id, session.role) == (acme.tenant_id, "U1", "admin")
    assert await database.find_session(session_hash=b"acm") is None
    assert (await database.end_session(session_hash=b"acme")).ended
    assert not (await database.end_session(session_hash=b"acme")).ended
    assert await database.find_session(session_hash=b"acme") is None
    assert await database.find_session(session_hash=b"other") is not None


async def test_a_session_lives_as_long_as_it_is_used_but_not_past_its_end(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    await _sign_in(database, acme, b"cookie")
    await admin.execute(
        "update enablebot.sessions "
        "set last_seen_at = now() - interval '29 minutes', idle_expires_at = now() + interval '1 minute'"
    )
    assert await database.find_session(session_hash=b"cookie") is not None
    put_off = "select idle_expires_at > now() + interval '29 minutes' from enablebot.sessions"
    assert await admin.fetchval(put_off)
    await admin.execute("update enablebot.sessions set idle_expires_at = now() - interval '1 second'")
    assert await database.find_session(session_hash=b"cookie") is None
    await admin.execute("update enablebot.sessions set idle_expires_at = now() + interval '1 hour', expires_at = now()")
    assert await database.find_session(session_hash=b"cookie") is None


async def test_a_session_of_nobody_s_workspace_cannot_start(database: Database) -> None:
    with pytest.raises(DataRefused):
        await _sign_in(database, Workspace(tenant_id=uuid4(), data_key_id=uuid4(), team_id="T"), b"cookie")


# The dashboard's overview


async def test_the_overview_counts_one_workspace_and_shows_no_token(database: Database) -> None:
    acme, other = await add_lived_in_pair(database)
    await accept(database, (acme, Event()), (acme, Event()), *((other, Event()) for _ in range(5)))
    await settle(database, *[e for e in await claim(database) if e.tenant_id == acme.tenant_id], outcome="set_aside")
    await accept(database, (acme, Event(lane="C1:7.7")), (acme, Event(lane="C1:7.7")))
    overview = await database.get_overview(tenant_id=acme.tenant_id)
    assert overview is not None
    assert (overview.tenant.id, overview.tenant.name, overview.tenant.status) == (acme.tenant_id, "Acme", "active")
    assert (overview.waiting, overview.answered, overview.failed, overview.set_aside) == (2, 1, 0, 2)
    assert overview.last_event_at is not None
    assert overview.last_answer_at is not None
    assert overview.installation is not None
    assert overview.installation.scopes == ("chat:write", "app_mentions:read")
    assert "token" not in overview.model_dump_json()
    assert await database.get_overview(tenant_id=uuid4()) is None


async def test_the_overview_of_a_new_workspace_is_empty(database: Database) -> None:
    acme = await add_workspace(database)
    overview = await database.get_overview(tenant_id=acme.tenant_id)
    assert overview is not None
    assert overview.installation is None
    assert (overview.last_event_at, overview.last_answer_at) == (None, None)


# Upkeep


async def test_pruning_takes_what_is_old_and_leaves_the_rest(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    for outcome in ("done", "set_aside", "done"):
        await settle(database, await claim_one(database, acme), outcome=outcome)
    await accept(database, (acme, Event()))
    await _sign_in(database, acme, b"live")
    await _sign_in(database, acme, b"dead")
    for state in (b"live", b"dead"):
        await database.begin_oauth(
            state_hash=state, browser_hash=b"b", purpose="install", return_to=None, lifetime_seconds=600
        )
    kept = (await database.prune(dedupe_days=7, done_days=30, limit=100)).model_dump()
    assert kept == {"dedupe_keys": 0, "events": 0, "oauth_states": 0, "sessions": 0}

    await admin.execute("update enablebot.dedupe_keys set created_at = now() - interval '8 days'")
    await admin.execute("update enablebot.inbox set settled_at = now() - interval '31 days' where id < 3")
    await admin.execute("update enablebot.inbox set received_at = now() - interval '31 days'")
    await admin.execute("update enablebot.oauth_states set expires_at = now() where state_hash = 'dead'")
    await admin.execute("update enablebot.sessions set expires_at = now() where id_hash = 'dead'")
    pruned = (await database.prune(dedupe_days=7, done_days=30, limit=100)).model_dump()
    assert pruned == {"dedupe_keys": 4, "events": 2, "oauth_states": 1, "sessions": 1}
    assert await admin.fetchval("select array_agg(id order by id) from enablebot.inbox") == [3, 4]
    assert await admin.fetchval("select array_agg(event_id) from enablebot.event_bodies") == [4]
    assert await database.find_session(session_hash=b"live") is not None


async def test_pruning_takes_no_more_at_once_than_it_is_told(database: Database, admin: Admin) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    await accept(database, *((workspace, Event()) for workspace in (acme, other) for _ in range(5)))
    await settle(database, *await claim(database, limit=10))
    await admin.execute("update enablebot.dedupe_keys set created_at = now() - interval '8 days'")
    await admin.execute("update enablebot.inbox set settled_at = now() - interval '31 days'")
    pruned = [await database.prune(dedupe_days=7, done_days=30, limit=4) for _ in range(4)]
    assert [(row.dedupe_keys, row.events) for row in pruned] == [(4, 4), (4, 4), (2, 2), (0, 0)]


# Who may call what


async def test_a_service_may_only_call_what_it_needs(api_database: Database, web_database: Database) -> None:
    for refused in (
        web_database.prune(dedupe_days=1, done_days=1, limit=1),
        claim(web_database),
        accept(web_database),
        api_database.find_session(session_hash=b"cookie"),
        api_database.consume_oauth_state(state_hash=b"state", browser_hash=b"browser"),
    ):
        with pytest.raises(WallBreached):
            await refused
