"""Where the tenant wall could have holes, as questions to the catalogue."""

from typing import TypeAlias

import asyncpg

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# Policies that are not bound to a tenant. Each has its reason above it in its migration.
OPEN_POLICIES = {
    "schema_migrations": {"migrations_select", "migrations_insert"},
    "schema_functions": {"migrations_select", "migrations_insert", "migrations_update"},
    "tenants": {"router_select"},
    "oauth_states": {"router_select", "router_insert", "router_delete"},
    "sessions": {"router_select", "router_update", "router_delete"},
    "inbox": {"router_select", "router_update", "router_delete"},
    "dedupe_keys": {"router_select", "router_delete"},
    "documents": {"router_select", "searcher_select"},
    "document_versions": {"router_select"},
    "passages": {"searcher_select"},
    "passage_vectors": {"searcher_select"},
    "terms": {"searcher_select"},
    "corpora": {"searcher_select"},
    "api_keys": {"router_select", "router_update"},
    "api_requests": {"router_select", "router_delete"},
}

_FINDERS = {
    "row-level security is not enabled and forced": """
        select c.relname from pg_class c
        where c.relnamespace = 'enablebot'::regnamespace and c.relkind in ('r', 'p')
          and not (c.relrowsecurity and c.relforcerowsecurity)""",
    "table is not the owner's": """
        select c.relname from pg_class c
        where c.relnamespace = 'enablebot'::regnamespace and c.relkind in ('r', 'p')
          and c.relowner <> 'enablebot_owner'::regrole""",
    "table is granted to more than owner, router and searcher": """
        select distinct c.relname || ' ' || coalesce(g.grantee::regrole::text, 'public') from pg_class c
        cross join lateral (
          select a.grantee from aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
          union select a.grantee from pg_attribute b cross join lateral aclexplode(b.attacl) a where b.attrelid = c.oid
        ) g
        where c.relnamespace = 'enablebot'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S')
          and (g.grantee = 0
            or g.grantee::regrole::text not in ('enablebot_owner', 'enablebot_router', 'enablebot_searcher'))""",
    "owner may truncate or add triggers": """
        select c.relname from pg_class c where c.relnamespace = 'enablebot'::regnamespace and c.relkind in ('r', 'p')
          and has_table_privilege('enablebot_owner', c.oid, 'truncate, trigger')""",
    "command without a tenant policy": """
        select c.relname || ' ' || w.command from pg_class c
        cross join unnest(array['r', 'a', 'w', 'd']) as w (command)
        where c.relnamespace = 'enablebot'::regnamespace and c.relkind in ('r', 'p')
          and c.relname not in ('oauth_states', 'schema_migrations', 'schema_functions')
          and not (c.relname = 'audit' and w.command in ('w', 'd'))
          and not exists (
            select from pg_policy p where p.polrelid = c.oid and p.polcmd::text = w.command
              and p.polroles = array['enablebot_owner'::regrole::oid]
              and (w.command = 'a' or pg_get_expr(p.polqual, p.polrelid) like '%enablebot.tenants()%')
              and (w.command in ('r', 'd') or pg_get_expr(p.polwithcheck, p.polrelid) like '%enablebot.tenants()%'))""",
    "view runs as its owner": """
        select c.relname from pg_class c where c.relnamespace = 'enablebot'::regnamespace and (
          c.relkind = 'm'
          or (c.relkind = 'v' and not coalesce(c.reloptions::text ilike '%security_invoker=%true%', false)))""",
    "key between tenants' tables leaves out the tenant": """
        select k.conrelid::regclass || ' ' || k.conname from pg_constraint k
        where k.connamespace = 'enablebot'::regnamespace and k.contype in ('p', 'u', 'f')
          and exists (select from pg_attribute a where a.attrelid = k.conrelid and a.attname = 'tenant_id')
          and not exists (
            select from pg_attribute a
            where a.attrelid = k.conrelid and a.attname = 'tenant_id' and a.attnum = any (k.conkey))
        union
        -- A foreign key must match its tenant with the other table's, not with any other column.
        select k.conrelid::regclass || ' ' || k.conname from pg_constraint k
        where k.connamespace = 'enablebot'::regnamespace and k.contype = 'f'
          and k.conrelid <> 'enablebot.tenants'::regclass
          and not exists (
            select from unnest(k.conkey, k.confkey) as m (ours, theirs)
            join pg_attribute a on a.attrelid = k.conrelid and a.attnum = m.ours
            join pg_attribute b on b.attrelid = k.confrelid and b.attnum = m.theirs
            where a.attname = 'tenant_id'
              and b.attname = case when k.confrelid = 'enablebot.tenants'::regclass then 'id' else 'tenant_id' end)
        union
        select i.indrelid::regclass || ' ' || i.indexrelid::regclass from pg_index i
        join pg_class c on c.oid = i.indrelid and c.relnamespace = 'enablebot'::regnamespace
        where i.indisunique
          and exists (select from pg_attribute a where a.attrelid = i.indrelid and a.attname = 'tenant_id')
          and not exists (
            select from pg_attribute a
            where a.attrelid = i.indrelid and a.attname = 'tenant_id' and a.attnum = any (i.indkey))""",
    "table has no tenant": """
        select c.relname from pg_class c where c.relnamespace = 'enablebot'::regnamespace and c.relkind in ('r', 'p')
          and c.relname not in ('tenants', 'oauth_states', 'schema_migrations', 'schema_functions')
          and not exists (
            select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and a.attnotnull)""",
    "function's search path is open": """
        select p.proname from pg_proc p where p.pronamespace = 'enablebot'::regnamespace and p.proname <> 'tenants'
          and not coalesce('search_path=pg_catalog, enablebot, pg_temp' = any (p.proconfig), false)""",
    "function is not the owner's, the router's or the searcher's": """
        select p.proname from pg_proc p where p.pronamespace = 'enablebot'::regnamespace
          and p.proowner::regrole::text not in ('enablebot_owner', 'enablebot_router', 'enablebot_searcher')""",
    "function is not a definer's": """
        select p.proname from pg_proc p where p.pronamespace = 'enablebot'::regnamespace
          and not p.prosecdef and p.proname not in ('tenants', 'work_for', 'refuse_audit_change')""",
    "function may be executed by strangers": """
        select p.proname || ' ' || coalesce(a.grantee::regrole::text, 'public') from pg_proc p
        cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        where p.pronamespace = 'enablebot'::regnamespace and (a.grantee = 0 or a.grantee::regrole::text not in (
          'enablebot_owner', 'enablebot_router', 'enablebot_searcher', 'enablebot_api', 'enablebot_web',
          'service_role'))""",
    "inner function may be executed by a service": """
        select p.proname || ' ' || a.grantee::regrole from pg_proc p
        cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        where p.pronamespace = 'enablebot'::regnamespace
          and (p.proname like 'inner\\_%' or p.proname in ('tenants', 'work_for', 'refuse_audit_change'))
          and a.grantee::regrole::text not in ('enablebot_owner', 'enablebot_router', 'enablebot_searcher')""",
    "operation that no service may execute": """
        select p.proname from pg_proc p where p.pronamespace = 'enablebot'::regnamespace
          and p.proname not like 'inner\\_%' and p.proname not in ('tenants', 'work_for', 'refuse_audit_change')
          and not has_function_privilege('enablebot_api', p.oid, 'execute')
          and not has_function_privilege('enablebot_web', p.oid, 'execute')""",
    "operation that the Data API may not execute, or inner function that it may": """
        select p.proname from pg_proc p where p.pronamespace = 'enablebot'::regnamespace
          and has_function_privilege('service_role', p.oid, 'execute') <> (
            has_function_privilege('enablebot_api', p.oid, 'execute')
            or has_function_privilege('enablebot_web', p.oid, 'execute'))""",
    "overloaded function": """
        select p.proname from pg_proc p where p.pronamespace = 'enablebot'::regnamespace
        group by p.proname having count(*) > 1""",
    "role that could step over the wall": """
        select r.rolname from pg_roles r
        where r.rolname in (
          'enablebot_owner', 'enablebot_router', 'enablebot_searcher', 'enablebot_api', 'enablebot_web')
          and (r.rolsuper or r.rolbypassrls or r.rolcanlogin or r.rolcreaterole or r.rolcreatedb
            or r.rolreplication)""",
    "service that is a member of an owner": """
        select r.rolname from pg_roles r
        where r.rolname in ('enablebot_api', 'enablebot_web', 'anon', 'authenticated', 'service_role')
          and (pg_has_role(r.oid, 'enablebot_owner', 'member') or pg_has_role(r.oid, 'enablebot_router', 'member')
            or pg_has_role(r.oid, 'enablebot_searcher', 'member'))""",
    "schema open to strangers": """
        select coalesce(a.grantee::regrole::text, 'public') || ' ' || a.privilege_type from pg_namespace n
        cross join lateral aclexplode(n.nspacl) a
        where n.nspname = 'enablebot' and (a.grantee = 0 or a.grantee::regrole::text not in (
            'enablebot_owner', 'enablebot_router', 'enablebot_searcher', 'enablebot_api', 'enablebot_web',
            'service_role')
          or (a.privilege_type = 'CREATE'
            and a.grantee::regrole::text not in ('enablebot_owner', 'enablebot_router', 'enablebot_searcher')))""",
    "column without a data class": r"""
        select c.relname || '.' || a.attname from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace = 'enablebot'::regnamespace and c.relkind in ('r', 'p')
          and coalesce(col_description(c.oid, a.attnum), '') !~ ' \[(secret|content|personal|technical)\]$'""",
    "sealed column that is not bytes": r"""
        select c.relname || '.' || a.attname from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace = 'enablebot'::regnamespace and c.relkind in ('r', 'p')
          and col_description(c.oid, a.attnum) ~ ' \[(secret|content)\]$' and a.atttypid <> 'bytea'::regtype""",
}


async def find_holes(admin: Admin) -> dict[str, list[str]]:
    """Return what is wrong with the wall, by fault; nothing when it stands."""
    found = {fault: [row[0] for row in await admin.fetch(query)] for fault, query in _FINDERS.items()}
    unlisted = [
        f"{table} {name}" for table, name in await open_policies(admin) if name not in OPEN_POLICIES.get(table, set())
    ]
    found["policy that is not bound to a tenant"] = unlisted
    return {fault: sorted(rows) for fault, rows in found.items() if rows}


async def open_policies(admin: Admin) -> list[tuple[str, str]]:
    """Return the policies that are not bound to a tenant, as table and name."""
    rows = await admin.fetch("""
        select c.relname, p.polname from pg_policy p join pg_class c on c.oid = p.polrelid
        where c.relnamespace = 'enablebot'::regnamespace and (
          coalesce(pg_get_expr(p.polqual, p.polrelid), 'enablebot.tenants()') not like '%enablebot.tenants()%'
          or coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'enablebot.tenants()') not like '%enablebot.tenants()%'
          or p.polroles <> array['enablebot_owner'::regrole::oid])""")
    return [(row["relname"], row["polname"]) for row in rows]
