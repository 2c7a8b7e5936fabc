"""What operators are told of every workspace: keys in use, who is here; and nothing of what anybody said."""

from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest

from enablebot.shared.database.models import TenantRow
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import WallBreached
from enablebot.tests.shared.workspaces import add_workspace, install

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def overview(database: Database, *, limit: int = 100) -> list[TenantRow]:
    """Every tenant, page by page."""
    found: list[TenantRow] = []
    while page := await database.list_tenants(after=found[-1].tenant_id if found else None, limit=limit):
        found += page
    return found


async def register(database: Database, *, master_key: str) -> UUID:
    tenant_id = uuid4()
    await database.register_tenant(
        tenant_id=tenant_id,
        kind="workspace",
        team_id=f"T{tenant_id.hex[:10].upper()}",
        enterprise_id=None,
        name="Acme",
        credential_tenant_id=None,
        data_key_id=uuid4(),
        master_key_id=master_key,
        wrapped=b"wrapped",
    )
    return tenant_id


async def test_a_database_without_workspaces_uses_no_master_key(database: Database) -> None:
    assert await database.get_master_key_use() == []
    assert await database.list_tenants(after=None, limit=10) == []


async def test_keys_in_use_are_counted_over_all_workspaces(database: Database, admin: Admin) -> None:
    for master_key in ("k1", "k2", "k1"):
        await register(database, master_key=master_key)
    gone = await register(database, master_key="k3")
    await admin.execute("update enablebot.data_keys set destroyed_at = now(), wrapped = '' where tenant_id = $1", gone)
    uses = await database.get_master_key_use()
    assert [(use.master_key_id, use.data_keys) for use in uses] == [("k1", 2), ("k2", 1)]


async def test_no_workspace_is_left_out_where_there_are_many(database: Database, admin: Admin) -> None:
    await admin.execute("""
        with made as (
          insert into enablebot.tenants (id, kind, team_id, name, status)
          select gen_random_uuid(), 'workspace', 'T' || n, 'Acme', 'uninstalled' from generate_series(1, 1203) n
          returning id)
        insert into enablebot.data_keys (tenant_id, id, master_key_id, wrapped)
        select m.id, gen_random_uuid(), 'k' || (row_number() over ()) % 2, 'w' from made m""")
    uses = await database.get_master_key_use()
    assert sorted(use.data_keys for use in uses) == [601, 602]
    teams = [tenant.team_id for tenant in await overview(database, limit=500)]
    assert len(teams) == len(set(teams)) == 1203


@pytest.mark.parametrize("installed", [True, False])
async def test_the_overview_tells_status_and_scopes(database: Database, installed: bool) -> None:
    workspace = await add_workspace(database)
    if installed:
        await install(database, workspace, scopes=["chat:write"])
    (row,) = await overview(database)
    assert (row.tenant_id, row.team_id, row.name) == (workspace.tenant_id, workspace.team_id, "Acme")
    expected: Any = ("active", ("chat:write",)) if installed else ("uninstalled", ())
    assert (row.status, row.scopes, row.installed_at is not None) == (*expected, installed)


async def test_workspaces_of_an_organisation_show_the_organisation_s_scopes(database: Database) -> None:
    holding = await add_workspace(database, kind="organisation", enterprise_id="E1")
    await install(database, holding, enterprise_id="E1", team_id=None, is_org_wide=True, scopes=["im:history"])
    branch = await add_workspace(database, enterprise_id="E1", credential_tenant_id=holding.tenant_id)
    stranger = await add_workspace(database)
    found = {row.tenant_id: (row.status, row.scopes) for row in await overview(database, limit=1)}
    assert found == {
        holding.tenant_id: ("active", ("im:history",)),
        branch.tenant_id: ("active", ("im:history",)),
        stranger.tenant_id: ("uninstalled", ()),
    }


async def test_the_api_has_no_use_for_the_overview_and_may_not_ask_for_it(
    api_database: Database, web_database: Database
) -> None:
    assert await api_database.get_master_key_use() == await web_database.get_master_key_use() == []
    assert await web_database.list_tenants(after=None, limit=1) == []
    with pytest.raises(WallBreached):
        await api_database.list_tenants(after=None, limit=1)
