"""What the catalogue says about the wall; every hole it is searched for is planted once, to see that it is found."""

import inspect
import json
import os
import re
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from enablebot.shared.database import picture
from enablebot.shared.database.init_db import functions_checksum, migrations
from enablebot.shared.database.operations import Database, operation_names
from enablebot.tests.database import postgres_versions
from enablebot.tests.shared.wall_holes import OPEN_POLICIES, find_holes, open_policies

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# What the router may never see, whatever a policy says.
_CONTENT_TABLES = {
    "event_bodies",
    "messages",
    "answers",
    "replies",
    "installations",
    "data_keys",
    "audit",
    "conversations",
}
# Functions that are no operations: the wall's own.
_OF_THE_WALL = {"tenants", "work_for", "refuse_audit_change"}


@postgres_versions
async def test_the_catalogue_has_no_hole_in_the_wall(admin: Admin) -> None:
    assert await find_holes(admin) == {}


async def test_the_list_of_open_policies_holds_nothing_that_is_gone(admin: Admin) -> None:
    listed = {(table, name) for table, names in OPEN_POLICIES.items() for name in names}
    assert set(await open_policies(admin)) == listed


async def test_the_router_has_no_way_into_content(admin: Admin) -> None:
    reachable = await admin.fetch("""
        select c.relname from pg_class c where c.relnamespace = 'enablebot'::regnamespace and c.relkind in ('r', 'p')
          and (has_table_privilege('enablebot_router', c.oid, 'select, insert, update, delete')
            or has_any_column_privilege('enablebot_router', c.oid, 'select, insert, update'))""")
    names = {row["relname"] for row in reachable}
    assert names == {
        *("tenants", "oauth_states", "sessions", "inbox", "dedupe_keys", "api_keys", "api_requests"),
        *("documents", "document_versions"),
    }
    # Which are due and when, and nothing else of them.
    columns = await admin.fetch("""
        select a.attname from pg_attribute a
        where a.attrelid in ('enablebot.documents'::regclass, 'enablebot.document_versions'::regclass) and a.attnum > 0
          and has_column_privilege('enablebot_router', a.attrelid, a.attnum, 'select, insert, update, references')""")
    assert {row["attname"] for row in columns} == {"tenant_id", "id", "document_id", "version", "due_at"}
    # Whose request and when, never what was answered.
    assert not await admin.fetchval(
        "select has_column_privilege('enablebot_router', 'enablebot.api_requests', 'response', 'select')"
    )
    assert not names & _CONTENT_TABLES


_PLANTS = {
    "table without row-level security": (
        "create table enablebot.plant (tenant_id uuid not null, id uuid, primary key (tenant_id, id))",
        "row-level security is not enabled and forced",
    ),
    "row-level security without force": (
        "alter table enablebot.messages no force row level security",
        "row-level security is not enabled and forced",
    ),
    "open policy": (
        "create policy plant on enablebot.messages for select to enablebot_owner using (true)",
        "policy that is not bound to a tenant",
    ),
    "policy for everybody": (
        "create policy plant on enablebot.messages for select using (tenant_id = any (enablebot.tenants()))",
        "policy that is not bound to a tenant",
    ),
    "policy without check": (
        "drop policy tenant_insert on enablebot.messages",
        "command without a tenant policy",
    ),
    "simple foreign key": (
        "alter table enablebot.conversations add column plant uuid unique; "
        "alter table enablebot.messages add foreign key (conversation_id) references enablebot.conversations (plant)",
        "key between tenants' tables leaves out the tenant",
    ),
    "foreign key to another tenant's row": (
        "alter table enablebot.messages add column plant uuid; alter table enablebot.messages "
        "add foreign key (plant, conversation_id) references enablebot.conversations (tenant_id, id)",
        "key between tenants' tables leaves out the tenant",
    ),
    "unique index without tenant": (
        "create unique index plant on enablebot.messages (ts)",
        "key between tenants' tables leaves out the tenant",
    ),
    "owner's view": (
        "create view enablebot.plant as select * from enablebot.messages",
        "view runs as its owner",
    ),
    "materialised view": (
        "create materialized view enablebot.plant as select * from enablebot.messages",
        "view runs as its owner",
    ),
    "open search path": (
        "alter function enablebot.get_overview reset search_path",
        "function's search path is open",
    ),
    "function for everybody": (
        "grant execute on function enablebot.get_overview to public",
        "function may be executed by strangers",
    ),
    "function for anonymous": (
        "grant execute on function enablebot.find_route to anon",
        "function may be executed by strangers",
    ),
    "inner function for a service": (
        "grant execute on function enablebot.inner_settle to enablebot_api",
        "inner function may be executed by a service",
    ),
    "superuser's function": (
        "alter function enablebot.get_overview owner to current_user",
        "function is not the owner's, the router's or the searcher's",
    ),
    "table for a service": (
        "grant select on enablebot.messages to enablebot_api",
        "table is granted to more than owner, router and searcher",
    ),
    "column for a service": (
        "grant select (body) on enablebot.messages to service_role",
        "table is granted to more than owner, router and searcher",
    ),
    "truncate": (
        "grant truncate on enablebot.messages to enablebot_owner",
        "owner may truncate or add triggers",
    ),
    "column without class": (
        "alter table enablebot.messages add column plant text",
        "column without a data class",
    ),
    "content as text": (
        "comment on column enablebot.messages.author is 'what was said [content]'",
        "sealed column that is not bytes",
    ),
    "overload": (
        "create function enablebot.get_overview(p_tenant_id text) returns jsonb language sql as 'select null::jsonb'",
        "overloaded function",
    ),
}


async def test_every_planted_hole_is_found(admin: Admin) -> None:
    for name, (statement, fault) in _PLANTS.items():
        transaction = admin.transaction()
        await transaction.start()
        await admin.execute(statement)
        found = await find_holes(admin)
        await transaction.rollback()
        assert fault in found, f"{name}: found only {found}"


async def test_a_login_of_a_service_reaches_no_table(api_url: str, web_url: str, admin: Admin) -> None:
    tables = [
        row["relname"]
        for row in await admin.fetch(
            "select relname from pg_class where relnamespace = 'enablebot'::regnamespace and relkind = 'r'"
        )
    ]
    assert len(tables) > 15
    for url in (api_url, web_url):
        connection = await asyncpg.connect(url)
        try:
            for table in tables:
                for statement in (
                    f"select from enablebot.{table}",
                    f"delete from enablebot.{table}",
                    f"truncate enablebot.{table}",
                ):
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await connection.execute(statement)
            for statement in (
                "set role enablebot_owner",
                "select enablebot.work_for(null)",
                "create table enablebot.mine ()",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)
        finally:
            await connection.close()


# Operations and functions


async def test_every_operation_is_one_function_with_the_same_arguments_and_the_reverse(admin: Admin) -> None:
    rows = await admin.fetch("""
        select p.proname, coalesce(p.proargnames, '{}') as arguments, format_type(p.prorettype, null) as returns
        from pg_proc p where p.pronamespace = 'enablebot'::regnamespace and p.proname not like 'inner\\_%'""")
    functions = {row["proname"]: row["arguments"] for row in rows if row["proname"] not in _OF_THE_WALL}
    operations = {
        name: [
            f"p_{argument}" for argument in inspect.signature(getattr(Database, name)).parameters if argument != "self"
        ]
        for name in operation_names()
    }
    assert operations == functions
    assert {row["returns"] for row in rows if row["proname"] not in _OF_THE_WALL} == {"jsonb"}


def test_arguments_of_operations_are_named_when_called() -> None:
    for name in operation_names():
        parameters = list(inspect.signature(getattr(Database, name)).parameters.values())[1:]
        assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters), name


async def test_every_operation_that_knows_its_tenant_takes_it_first(admin: Admin) -> None:
    for name in operation_names():
        arguments = [
            argument for argument in inspect.signature(getattr(Database, name)).parameters if argument != "self"
        ]
        for tenant in ("tenant_id", "tenant_ids"):
            assert tenant not in arguments[1:], name


async def test_functions_of_the_owner_declare_their_tenants_first(admin: Admin) -> None:
    rows = await admin.fetch("""
        select p.proname, p.prosrc from pg_proc p where p.pronamespace = 'enablebot'::regnamespace
          and p.proowner = 'enablebot_owner'::regrole and p.proname not like 'inner\\_%'
          and has_function_privilege('service_role', p.oid, 'execute')""")
    undeclared = []
    for row in rows:
        body = row["prosrc"][row["prosrc"].index("begin") :]
        touches = re.search(r"\b(from|update|into|join)\s+(?!pg_)[a-z_]+\b", body)
        declares = body.find("enablebot.work_for(")
        if touches and (declares < 0 or declares > touches.start()):
            undeclared.append(row["proname"])
    # Both read what belongs to no tenant: migrations and the catalogue.
    assert sorted(undeclared) == ["login_strength", "schema_version"]


# The picture


@postgres_versions
async def test_the_picture_in_schema_sql_is_the_schema(admin: Admin) -> None:
    drawn = await picture.draw(admin)
    path = Path(picture.__file__).with_name("schema.sql")
    if os.environ.get("REDRAW"):
        path.write_text(drawn, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == drawn, "the schema changed: review it, then draw it anew with REDRAW=1"


# What start-up asks


async def test_a_service_s_own_login_is_weak_and_finds_no_fault(api_database: Database) -> None:
    strength = await api_database.login_strength()
    assert strength.login == "enablebot_test_api"
    assert (strength.superuser, strength.bypass_rls, strength.owner) == (False, False, False)
    assert strength.member_of == ("enablebot_api",)
    assert strength.faults == ()


_STARTUP_PLANTS = {
    "alter table enablebot.messages no force row level security": "table messages has row-level security not forced",
    "alter table enablebot.messages disable row level security": "table messages has row-level security off",
    "alter table enablebot.messages owner to current_user": "messages belongs to",
    "grant select on enablebot.messages to enablebot_api": "table messages is granted to enablebot_api",
    "grant select on enablebot.messages to public": "table messages is granted to public",
    "grant select (body) on enablebot.messages to anon": "column messages.body is granted to anon",
    "grant execute on function enablebot.find_route to public": "function find_route may be executed by public",
    "grant execute on function enablebot.find_route to anon": "function find_route may be executed by anon",
    "alter function enablebot.find_route owner to current_user": "function find_route belongs to",
    "alter role enablebot_router bypassrls": "role enablebot_router bypasses the tenant wall",
    "grant enablebot_owner to enablebot_web": "role enablebot_web is a member of enablebot_owner",
}


async def test_start_up_is_told_of_every_planted_fault(admin: Admin) -> None:
    for statement, fault in _STARTUP_PLANTS.items():
        transaction = admin.transaction()
        await transaction.start()
        await admin.execute(statement)
        strength = json.loads(await admin.fetchval("select enablebot.login_strength()"))
        await transaction.rollback()
        assert any(found.startswith(fault) for found in strength["faults"]), f"{statement}: {strength['faults']}"


@pytest.mark.parametrize(
    ("role", "strengths"),
    [
        ("superuser", {"superuser", "bypass_rls", "owner"}),
        ("bypassrls", {"bypass_rls"}),
        ("in role enablebot_owner", {"owner"}),
        ("in role enablebot_api", set()),
    ],
)
async def test_what_a_login_may_do_beyond_its_job_is_said(admin: Admin, role: str, strengths: set[str]) -> None:
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute(f"create role strength_test {role}; grant enablebot_api to strength_test")
    await admin.execute("set local session authorization strength_test")
    strength = json.loads(await admin.fetchval("select enablebot.login_strength()"))
    await transaction.rollback()
    assert strength["login"] == "strength_test"
    assert {name for name in ("superuser", "bypass_rls", "owner") if strength[name]} == strengths


async def test_the_data_api_s_role_is_the_one_that_counts(admin: Admin) -> None:
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute("set local session authorization authenticator; set local role service_role")
    strength = json.loads(await admin.fetchval("select enablebot.login_strength()"))
    await transaction.rollback()
    assert (strength["login"], strength["bypass_rls"], strength["owner"]) == ("service_role", True, False)


async def test_the_version_names_what_is_missing(database: Database) -> None:
    complete = await database.schema_version(functions=operation_names())
    assert complete.missing == ()
    assert complete.version == migrations()[-1].version
    assert complete.functions_checksum == functions_checksum()
    assert (await database.schema_version(functions=["find_route", "fly"])).missing == ("fly",)
