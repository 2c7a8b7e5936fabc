"""The tenant wall at work: every command on every table, whoever calls, whatever the connection did before."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
import pytest

from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.tests.shared.documents import add_shelved
from enablebot.tests.shared.workspaces import Workspace, add_lived_in_pair, claim

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

TENANT_TABLES = (
    "tenants",
    "data_keys",
    "installations",
    "sessions",
    "inbox",
    "event_bodies",
    "lanes",
    "dedupe_keys",
    "conversations",
    "messages",
    "answers",
    "replies",
    "audit",
    "audit_heads",
    "corpora",
    "terms",
    "passage_vectors",
    "passages",
    "document_pieces",
    "document_channels",
    "document_versions",
    "documents",
    "api_keys",
    "api_requests",
)
_REFUSED = asyncpg.InsufficientPrivilegeError
_MALFORMED = ("not-a-list", "{not-a-uuid}", "{00000000-0000-0000-0000-00000000000}", "[]", "{{}")


def _tenant_column(table: str) -> str:
    return "id" if table == "tenants" else "tenant_id"


@asynccontextmanager
async def _as_owner(admin: Admin, declared: str | None) -> AsyncIterator[None]:
    """Work as the tables' owner with a context declared, or none at all; everything is undone."""
    transaction = admin.transaction()
    await transaction.start()
    try:
        await admin.execute("set local role enablebot_owner")
        if declared is not None:
            await admin.execute("select set_config('enablebot.tenants', $1, true)", declared)
        yield
    finally:
        await transaction.rollback()


async def _rows_of(admin: Admin, table: str, workspace: Workspace) -> str:
    """Return everything one tenant has in a table, as the superuser sees it."""
    return str(
        await admin.fetchval(
            f"select coalesce(jsonb_agg(to_jsonb(t) order by to_jsonb(t)::text), '[]')::text "
            f"from enablebot.{table} t where t.{_tenant_column(table)} = $1",
            workspace.tenant_id,
        )
    )


def _declared(*workspaces: Workspace) -> str:
    return "{" + ",".join(str(workspace.tenant_id) for workspace in workspaces) + "}"


async def _copied(admin: Admin, table: str) -> bytes:
    data = bytearray()

    async def take(chunk: bytes) -> None:
        data.extend(chunk)

    await admin.copy_from_table(table, schema_name="enablebot", output=take)
    return bytes(data)


async def _attempt(admin: Admin, statement: str, *values: object) -> str:
    """Run a statement under a savepoint and return its tag, or `refused`."""
    try:
        async with admin.transaction():
            return await admin.execute(statement, *values)
    except (_REFUSED, asyncpg.DataError):
        return "refused"


def _touched(tag: str) -> int:
    return 0 if tag == "refused" else int(tag.rsplit(" ", 1)[1])


async def test_every_tenant_table_is_in_the_matrix(admin: Admin) -> None:
    rows = await admin.fetch("""
        select distinct c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = 'enablebot'::regnamespace and c.relkind in ('r', 'p')
          and (a.attname = 'tenant_id' or c.relname = 'tenants')""")
    assert {row["relname"] for row in rows} == set(TENANT_TABLES)


@pytest.fixture
async def pair(database: Database, admin: Admin) -> tuple[Workspace, Workspace]:
    """Two workspaces with rows in every table."""
    acme, other = await add_lived_in_pair(database)
    for workspace in (acme, other):
        await add_shelved(database, workspace)
    for table in TENANT_TABLES:
        for workspace in (acme, other):
            assert await _rows_of(admin, table, workspace) != "[]", table
    return acme, other


async def test_declaring_one_tenant_shows_its_rows_and_no_others_in_every_table(
    pair: tuple[Workspace, Workspace], admin: Admin
) -> None:
    acme, other = pair
    for table in TENANT_TABLES:
        for declared, seen in (
            (_declared(acme), {acme.tenant_id}),
            (_declared(acme, other), {acme.tenant_id, other.tenant_id}),
            ("{}", set()),
            ("{NULL}", set()),
            ("", set()),
            (None, set()),
        ):
            async with _as_owner(admin, declared):
                rows = await admin.fetch(f"select distinct {_tenant_column(table)} as tenant from enablebot.{table}")
                assert {row["tenant"] for row in rows} == seen, (table, declared)
                copied = await _copied(admin, table)
                for workspace in pair:
                    assert (str(workspace.tenant_id).encode() in copied) == (workspace.tenant_id in seen), table


@pytest.mark.parametrize("declared", ["right", "unset", "empty", "none", *_MALFORMED])
async def test_no_command_on_any_table_reaches_a_tenant_that_is_not_declared(
    pair: tuple[Workspace, Workspace], admin: Admin, declared: str
) -> None:
    acme, other = pair
    context = {"right": _declared(acme), "unset": None, "empty": "", "none": "{}"}.get(declared, declared)
    for table in TENANT_TABLES:
        column = _tenant_column(table)
        before = [await _rows_of(admin, table, workspace) for workspace in pair]
        sample = json.dumps(json.loads(before[1])[0])
        insert = (
            f"insert into enablebot.{table} overriding system value "
            f"select (jsonb_populate_record(null::enablebot.{table}, $1::text::jsonb)).*"
        )
        async with _as_owner(admin, context):
            theirs = f"where {column} = '{other.tenant_id}'"
            assert _touched(await _attempt(admin, f"select from enablebot.{table} {theirs}")) == 0, table
            assert _touched(await _attempt(admin, f"select from enablebot.{table} {theirs} for update")) == 0, table
            assert _touched(await _attempt(admin, f"update enablebot.{table} set {column} = {column} {theirs}")) == 0
            assert _touched(await _attempt(admin, f"delete from enablebot.{table} {theirs}")) == 0, table
            assert await _attempt(admin, insert, sample) == "refused", table
            assert await _attempt(admin, f"{insert} on conflict do nothing", sample) == "refused", table
            assert await _attempt(admin, f"truncate enablebot.{table} cascade") == "refused", table
            # Out of one's own tenant into another's; only a declared tenant has rows to move at all.
            moved = await _attempt(
                admin,
                f"update enablebot.{table} set {column} = '{other.tenant_id}' where {column} = '{acme.tenant_id}'",
            )
            assert _touched(moved) == 0, table
            assert moved == "refused" or declared != "right", table
            await admin.execute("reset role")
            assert await _rows_of(admin, table, other) == before[1], table


async def test_copying_into_a_walled_table_is_refused(pair: tuple[Workspace, Workspace], admin: Admin) -> None:
    acme, _ = pair
    async with _as_owner(admin, _declared(acme)):
        with pytest.raises(asyncpg.FeatureNotSupportedError):
            await admin.copy_records_to_table(
                "lanes",
                schema_name="enablebot",
                records=[(acme.tenant_id, "C9:9.9", 0)],
                columns=["tenant_id", "lane", "live"],
            )


async def test_the_owner_reaches_its_own_tenant_s_rows(pair: tuple[Workspace, Workspace], admin: Admin) -> None:
    acme, _ = pair
    for table in set(TENANT_TABLES) - {"audit"}:
        column = _tenant_column(table)
        async with _as_owner(admin, _declared(acme)):
            own = await admin.fetchval(f"select count(*) from enablebot.{table}")
            assert own > 0
            assert await admin.execute(f"update enablebot.{table} set {column} = {column}") == f"UPDATE {own}", table


async def test_the_router_cannot_change_events_but_by_claiming_what_is_ready(
    pair: tuple[Workspace, Workspace], admin: Admin
) -> None:
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute("set local role enablebot_router")
    assert await admin.fetchval("select count(distinct tenant_id) from enablebot.inbox") == 2
    for statement in (
        "update enablebot.inbox set tenant_id = gen_random_uuid()",
        "update enablebot.inbox set reason = 'mine'",
        "insert into enablebot.lanes (tenant_id, lane, live) values (gen_random_uuid(), 'C1:1', 1)",
        "select from enablebot.event_bodies",
        "select from enablebot.messages",
        "update enablebot.inbox set state = 'queued' where state = 'ready'",
        "truncate enablebot.inbox",
    ):
        assert await _attempt(admin, statement) == "refused", statement
    assert (
        await _attempt(admin, "delete from enablebot.inbox where state in ('ready', 'queued', 'claimed')") == "DELETE 0"
    )
    await transaction.rollback()


# Who calls does not matter


@pytest.mark.parametrize("caller", ["superuser", "bypassrls", "owner"])
async def test_a_function_that_forgot_its_where_returns_the_declared_tenant_s_rows_only(
    pair: tuple[Workspace, Workspace], admin: Admin, caller: str
) -> None:
    acme, other = pair
    async with _forgetful_function(admin):
        if caller != "superuser":
            options = "bypassrls" if caller == "bypassrls" else "in role enablebot_owner"
            await admin.execute(f"create role wall_caller {options}; grant usage on schema enablebot to wall_caller")
            await admin.execute("grant execute on function enablebot.forgetful to wall_caller")
            await admin.execute("set local role wall_caller")
        for workspace in (acme, other):
            seen = await admin.fetchval("select enablebot.forgetful($1)", workspace.tenant_id)
            assert seen == [workspace.tenant_id]


async def test_that_function_would_return_everything_without_force(
    pair: tuple[Workspace, Workspace], admin: Admin
) -> None:
    acme, _ = pair
    async with _forgetful_function(admin):
        await admin.execute("alter table enablebot.messages no force row level security")
        assert len(await admin.fetchval("select enablebot.forgetful($1)", acme.tenant_id)) == 2


@asynccontextmanager
async def _forgetful_function(admin: Admin) -> AsyncIterator[None]:
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute("""
        create function enablebot.forgetful(p_tenant_id uuid) returns uuid[] language plpgsql security definer
        set search_path = pg_catalog, enablebot, pg_temp as $$
        begin
          perform enablebot.work_for(array[p_tenant_id]);
          return array(select distinct tenant_id from messages);
        end $$;
        alter function enablebot.forgetful owner to enablebot_owner""")
    try:
        yield
    finally:
        await transaction.rollback()


async def test_a_superuser_s_calls_stay_inside_the_tenants_they_name(
    pair: tuple[Workspace, Workspace], database: Database, admin_url: str, admin: Admin
) -> None:
    acme, other = pair
    strong = Database(await PostgresTransport.connect(admin_url))
    try:
        claimed = await claim(strong, limit=100, tenant_cap=100)
        theirs = [event for event in claimed if event.tenant_id == other.tenant_id]
        before = {table: await _rows_of(admin, table, other) for table in TENANT_TABLES}
        for event in theirs:
            assert await strong.settle_events(
                tenant_ids=[acme.tenant_id],
                ids=[event.id],
                tokens=[event.claim_token],
                outcomes=["done"],
                reasons=[None],
                delays=[0],
            ) == ["stale"]
        overview = await strong.get_overview(tenant_id=acme.tenant_id)
        assert overview is not None
        assert overview.tenant.id == acme.tenant_id
        assert overview.answered == 1
        assert {table: await _rows_of(admin, table, other) for table in TENANT_TABLES} == before
    finally:
        await strong.aclose()
