"""A workspace whose token died waits: nothing of it is claimed, nothing is lost, and it goes on where it stood."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import asyncpg
import pytest

from enablebot.shared.database.models import ClaimedEventRow
from enablebot.shared.database.operations import Database
from enablebot.tests.database import postgres_versions
from enablebot.tests.shared.workspaces import (
    Event,
    Workspace,
    accept,
    add_installed,
    add_workspace,
    claim,
    claim_one,
    end,
    install,
    settle,
)

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def pause(database: Database, workspace: Workspace, *, installed_at: datetime | None = None) -> bool:
    if installed_at is None:
        route = await database.find_route_of_tenant(tenant_id=workspace.tenant_id)
        assert route is not None
        assert route.installed_at is not None
        installed_at = route.installed_at
    row = await database.pause_installation(
        tenant_id=workspace.tenant_id, installed_at=installed_at, reason="token_revoked", actor="slack"
    )
    return row.paused


async def status_of(database: Database, workspace: Workspace) -> str:
    route = await database.find_route_of_tenant(tenant_id=workspace.tenant_id)
    assert route is not None
    return route.status


def keys(events: list[ClaimedEventRow]) -> list[str]:
    return [event.event_key for event in events]


@postgres_versions
async def test_what_waits_for_a_paused_workspace_stays_and_goes_on_in_order_after_the_next_install(
    database: Database, admin: Admin
) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    first, second = Event(lane="C1:1.1"), Event(lane="C1:1.1")
    third, theirs = Event(lane="C1:2.2"), Event()
    await accept(database, (acme, first), (acme, second), (acme, third), (other, theirs))
    assert await pause(database, acme)
    assert (await status_of(database, acme), await status_of(database, other)) == ("paused", "active")
    assert await database.get_installation(tenant_id=acme.tenant_id) is None
    assert keys(await claim(database)) == [theirs.event_key]
    depth = await database.get_inbox_depth()
    assert (depth.held, depth.paused, depth.ready, depth.queued) == (2, 1, 0, 1)

    await accept(database, (acme, late := Event(lane="C1:3.3")), (acme, Event(lane="C1:1.1")))
    assert await claim(database) == []
    await install(database, acme)
    assert await status_of(database, acme) == "active"
    claimed = await claim(database)
    assert keys(claimed) == [first.event_key, third.event_key, late.event_key]
    await settle(database, *claimed)
    assert keys(await claim(database)) == [second.event_key]


async def test_pausing_deletes_the_token_and_the_sessions_and_is_audited(database: Database, admin: Admin) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    for workspace, cookie in ((acme, b"a" * 32), (other, b"b" * 32)):
        await database.start_session(
            tenant_id=workspace.tenant_id,
            session_hash=cookie,
            user_id="U1",
            role="admin",
            idle_seconds=600,
            absolute_seconds=600,
        )
    await pause(database, acme)
    left = await admin.fetch("select tenant_id from enablebot.installations where bot_token is not null")
    assert [row["tenant_id"] for row in left] == [other.tenant_id]
    assert await database.find_session(session_hash=b"a" * 32) is None
    assert await database.find_session(session_hash=b"b" * 32) is not None
    last = await admin.fetchrow(
        "select action, outcome from enablebot.audit where tenant_id = $1 order by seq desc limit 1", acme.tenant_id
    )
    assert last is not None
    assert tuple(last) == ("installation.pause", "token_revoked")


async def test_an_older_token_s_death_does_not_pause_a_newer_installation(database: Database) -> None:
    acme = await add_installed(database)
    route = await database.find_route_of_tenant(tenant_id=acme.tenant_id)
    assert route is not None
    await install(database, acme)
    assert not await pause(database, acme, installed_at=route.installed_at)
    assert await status_of(database, acme) == "active"
    assert await database.get_installation(tenant_id=acme.tenant_id) is not None


async def test_only_an_installed_workspace_can_be_paused_and_only_once(database: Database) -> None:
    acme, never, ended = await add_installed(database), await add_workspace(database), await add_installed(database)
    await end(database, ended)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert [await pause(database, one, installed_at=tomorrow) for one in (acme, acme, never, ended)] == [
        True,
        False,
        False,
        False,
    ]


async def test_an_uninstall_ends_a_paused_workspace_and_drops_what_was_held(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    await accept(database, *((acme, Event(lane="C1:1.1")) for _ in range(3)))
    await pause(database, acme)
    assert await end(database, acme)
    assert await status_of(database, acme) == "uninstalled"
    assert await admin.fetchval("select count(*) from enablebot.event_bodies") == 0
    assert await admin.fetchval("select sum(live) from enablebot.lanes") == 0
    await install(database, acme)
    assert await claim(database) == []


async def test_a_late_uninstall_of_an_older_installation_leaves_a_paused_workspace_paused(database: Database) -> None:
    acme = await add_installed(database)
    await accept(database, (acme, event := Event()))
    uninstalled_at = datetime.now(UTC) - timedelta(days=1)
    await pause(database, acme)
    assert not await end(database, acme, event_time=uninstalled_at)
    assert await status_of(database, acme) == "paused"
    await install(database, acme)
    assert keys(await claim(database)) == [event.event_key]


async def test_urgent_events_of_a_paused_workspace_are_claimed(database: Database) -> None:
    acme = await add_installed(database)
    await pause(database, acme)
    await accept(database, (acme, event := Event(lane=None, joins=False, kind="lifecycle")), (acme, Event()))
    assert keys(await claim(database)) == [event.event_key]


@postgres_versions
async def test_what_was_running_goes_back_and_waits_with_the_rest(database: Database) -> None:
    acme = await add_installed(database)
    running = await claim_one(database, acme)
    await pause(database, acme)
    assert await settle(database, running, outcome="release") == ["settled"]
    assert await claim(database) == []
    assert (await database.get_inbox_depth()).held == 1
    await install(database, acme)
    (again,) = await claim(database)
    assert (again.id, again.attempts) == (running.id, 1)


async def test_a_lane_whose_running_event_ends_while_paused_keeps_its_next_for_later(database: Database) -> None:
    acme = await add_installed(database)
    await accept(database, (acme, Event(lane="C1:1.1")), (acme, following := Event(lane="C1:1.1")))
    (running,) = await claim(database)
    await pause(database, acme)
    await settle(database, running)
    assert await claim(database) == []
    await install(database, acme)
    assert keys(await claim(database)) == [following.event_key]


@postgres_versions
async def test_pausing_an_organisation_pauses_the_workspaces_that_share_it_and_no_others(database: Database) -> None:
    organisation = await add_workspace(database, kind="organisation", enterprise_id="E1")
    await install(database, organisation, is_org_wide=True, team_id=None, enterprise_id="E1")
    branch = await add_workspace(database, enterprise_id="E1", credential_tenant_id=organisation.tenant_id)
    other = await add_installed(database)
    await accept(database, (branch, before := Event()), (other, theirs := Event()))
    await pause(database, organisation)
    await accept(database, (branch, after := Event()))
    assert await status_of(database, branch) == "paused"
    assert keys(await claim(database)) == [theirs.event_key]
    assert (await database.get_inbox_depth()).held == 2
    await install(database, organisation, is_org_wide=True, team_id=None, enterprise_id="E1")
    assert keys(await claim(database)) == [before.event_key, after.event_key]


async def test_taking_up_an_organisation_s_credential_brings_a_paused_workspace_back(database: Database) -> None:
    organisation = await add_workspace(database, kind="organisation", enterprise_id="E1")
    await install(database, organisation, is_org_wide=True, team_id=None, enterprise_id="E1")
    acme = await add_installed(database)
    await accept(database, (acme, event := Event()))
    await pause(database, acme)
    await add_workspace(database, team_id=acme.team_id, enterprise_id="E1", credential_tenant_id=organisation.tenant_id)
    assert await status_of(database, acme) == "active"
    assert keys(await claim(database)) == [event.event_key]


async def test_another_workspace_s_install_brings_nobody_back(database: Database) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    await accept(database, (acme, Event()))
    await pause(database, acme)
    await install(database, other)
    assert await claim(database) == []
    assert await status_of(database, acme) == "paused"


async def test_a_paused_workspace_with_much_waiting_takes_no_room_from_the_others(
    database: Database, admin: Admin
) -> None:
    acme, other = sorted([await add_installed(database), await add_installed(database)], key=lambda one: one.tenant_id)
    await pause(database, acme)
    await accept(database, *((acme, Event()) for _ in range(200)), *((other, Event()) for _ in range(3)))
    assert [event.tenant_id for event in await claim(database, limit=3)] == [other.tenant_id] * 3
    # Out of the way since, so that the next claim does not meet them again.
    assert (await database.get_inbox_depth()).held == 200


async def test_nothing_is_put_aside_while_an_install_brings_the_workspace_back(
    database: Database, admin: Admin
) -> None:
    acme = await add_installed(database)
    await pause(database, acme)
    await accept(database, (acme, event := Event()))
    async with admin.transaction():
        # An install has found what was held, and has not committed yet: what is put aside now would stay there.
        await admin.execute("select from enablebot.tenants where id = $1 for no key update", acme.tenant_id)
        assert await claim(database) == []
        assert (await database.get_inbox_depth()).held == 0
    await install(database, acme)
    assert keys(await claim(database)) == [event.event_key]


@postgres_versions
async def test_pauses_and_installs_while_others_claim_and_accept_lose_nothing(database: Database) -> None:
    acme = await add_installed(database)
    total = 90
    seen: list[str] = []

    async def feed() -> None:
        for number in range(total):
            await accept(database, (acme, Event(event_key=f"Ev-{number}", lane=f"C1:{number % 7}.1")))

    async def come_and_go() -> None:
        for _ in range(12):
            await pause(database, acme)
            await asyncio.sleep(0.01)
            await install(database, acme)

    async def work() -> None:
        while len(seen) < total:
            claimed = await claim(database, limit=5)
            seen.extend(keys(claimed))
            await settle(database, *claimed)

    async with asyncio.timeout(60):
        await asyncio.gather(feed(), come_and_go(), work(), work())
    assert len(set(seen)) == len(seen) == total
