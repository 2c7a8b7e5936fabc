"""Draw the schema as it stands in a database: what migrations made, read back from the catalogue.

`schema.sql` is this text, kept so that a change of the schema is reviewed as one; a test proves it equal. It is the
same on every supported version of Postgres. Grants to Supabase's service_role are left out: not everybody has it.
"""

import asyncpg

_HEADER = """\
-- The schema as the migrations leave it. Generated; read it, change the migrations instead.
-- To draw it anew: REDRAW=1 python -m pytest enablebot/tests/shared/test_database_catalogue.py -k picture
"""

_ROLES = """
select r.rolname as name, r.rolcanlogin as can_login, r.rolsuper or r.rolbypassrls as bypasses
from pg_roles r
where r.rolname in ('enablebot_owner', 'enablebot_router', 'enablebot_searcher', 'enablebot_api', 'enablebot_web')
order by 1
"""

_TABLES = """
select c.oid, c.relname as name, c.relowner::regrole::text as owner, obj_description(c.oid) as comment,
       c.relrowsecurity as enabled, c.relforcerowsecurity as forced, array_to_string(c.reloptions, ', ') as options
from pg_class c where c.relnamespace = 'enablebot'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
order by c.relname collate "C"
"""

_COLUMNS = """
select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as required,
       a.attidentity <> '' as is_identity, pg_get_expr(d.adbin, d.adrelid) as initial,
       case when a.attcollation <> t.typcollation then k.collname end as collation,
       case when a.attstorage <> t.typstorage then a.attstorage::text end as storage,
       col_description(a.attrelid, a.attnum) as comment
from pg_attribute a
join pg_type t on t.oid = a.atttypid
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
left join pg_collation k on k.oid = a.attcollation
where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""

# From version 18 on, "not null" is a constraint of its own; the columns say it already.
_CONSTRAINTS = """
select k.conname as name, pg_get_constraintdef(k.oid) as definition
from pg_constraint k where k.conrelid = $1 and k.contype <> 'n' order by k.contype, k.conname collate "C"
"""

_INDEXES = """
select pg_get_indexdef(i.indexrelid) as definition
from pg_index i join pg_class c on c.oid = i.indexrelid
where i.indrelid = $1 and not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.conrelid = $1)
order by c.relname collate "C"
"""

_POLICIES = """
select p.polname as name, p.polpermissive as permissive,
       case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
       else 'all' end as command,
       (select string_agg(case r when 0 then 'public' else r::regrole::text end, ', ')
        from unnest(p.polroles) r) as roles,
       pg_get_expr(p.polqual, p.polrelid) as using, pg_get_expr(p.polwithcheck, p.polrelid) as checks
from pg_policy p where p.polrelid = $1 order by p.polname collate "C"
"""

_TRIGGERS = """
select pg_get_triggerdef(t.oid) as definition, t.tgenabled = 'A' as is_always
from pg_trigger t where t.tgrelid = $1 and not t.tgisinternal order by t.tgname collate "C"
"""

# MAINTAIN is left out: version 16 has no such privilege.
_TABLE_GRANTS = """
select coalesce(r.rolname, 'public') as grantee,
       string_agg(lower(g.what), ', ' order by g.what collate "C") as privileges
from (
  select a.grantee, a.privilege_type as what
  from pg_class c cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a where c.oid = $1
  union all
  select a.grantee, a.privilege_type || ' (' || b.attname || ')'
  from pg_attribute b cross join lateral aclexplode(b.attacl) a where b.attrelid = $1
) g
left join pg_roles r on r.oid = g.grantee
where g.what <> 'MAINTAIN' and r.rolname is distinct from 'service_role'
group by 1 order by 1
"""

_FUNCTIONS = """
select p.proname as name, pg_get_function_arguments(p.oid) as arguments, format_type(p.prorettype, null) as returns,
       p.proowner::regrole::text as owner, p.prosecdef as is_definer, p.provolatile::text as volatility,
       array_to_string(p.proconfig, ', ') as settings, l.lanname as language, (
         select string_agg(coalesce(r.rolname, 'public'), ', ' order by r.rolname collate "C")
         from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
         left join pg_roles r on r.oid = a.grantee
         where a.grantee <> p.proowner and r.rolname is distinct from 'service_role') as callers
from pg_proc p join pg_language l on l.oid = p.prolang
where p.pronamespace = 'enablebot'::regnamespace order by p.proname collate "C", 2
"""


_STORAGE = {"p": "plain", "e": "external", "m": "main", "x": "extended"}
_VOLATILITY = {"i": "immutable", "s": "stable", "v": "volatile"}


async def draw(connection: "asyncpg.Connection[asyncpg.Record]") -> str:
    """Return the schema as readable text: roles, tables with all that guards them, and functions with their callers."""
    lines = [_HEADER]
    lines += [_role(row) for row in await connection.fetch(_ROLES)]
    for table in await connection.fetch(_TABLES):
        lines += ["", *await _table(connection, table)]
    lines += ["", *[_function(row) for row in await connection.fetch(_FUNCTIONS)]]
    return "\n".join(lines) + "\n"


async def _table(connection: "asyncpg.Connection[asyncpg.Record]", table: asyncpg.Record) -> list[str]:
    oid = table["oid"]
    name = f"enablebot.{table['name']}"
    columns = [_column(row) for row in await connection.fetch(_COLUMNS, oid)]
    constraints = [f"  {row['definition']}," for row in await connection.fetch(_CONSTRAINTS, oid)]
    wall = " and ".join(word for word, is_on in (("enabled", table["enabled"]), ("forced", table["forced"])) if is_on)
    return [
        f"-- {table['comment'] or 'no comment'}",
        f"create table {name} (",
        *columns,
        *constraints,
        f"){f' with ({options})' if (options := table['options']) else ''};",
        f"-- owner {table['owner']}; row-level security {wall or 'off'}",
        *[f"{row['definition']};" for row in await connection.fetch(_INDEXES, oid)],
        *[_policy(row, name) for row in await connection.fetch(_POLICIES, oid)],
        *[
            f"{row['definition']};{' -- enabled always' if row['is_always'] else ''}"
            for row in await connection.fetch(_TRIGGERS, oid)
        ],
        *[
            f"grant {row['privileges']} on {name} to {row['grantee']};"
            for row in await connection.fetch(_TABLE_GRANTS, oid)
        ],
    ]


def _role(row: asyncpg.Record) -> str:
    return f"create role {row['name']} {'login' if row['can_login'] else 'nologin'}{' bypassrls' * row['bypasses']};"


def _column(row: asyncpg.Record) -> str:
    words = [f"  {row['name']} {row['type']}"]
    words += [f"collate {row['collation']}"] if row["collation"] else []
    words += [f"storage {_STORAGE[row['storage']]}"] if row["storage"] else []
    words += ["not null"] if row["required"] else []
    words += ["generated as identity"] if row["is_identity"] else []
    words += [f"default {row['initial']}"] if row["initial"] else []
    return f"{' '.join(words)}, -- {row['comment'] or 'no comment'}"


def _policy(row: asyncpg.Record, table: str) -> str:
    words = [f"create policy {row['name']} on {table} for {row['command']} to {row['roles']}"]
    words += [] if row["permissive"] else ["restrictive"]
    words += [f"using ({row['using']})"] if row["using"] else []
    words += [f"with check ({row['checks']})"] if row["checks"] else []
    return " ".join(" ".join(words).split()) + ";"


def _function(row: asyncpg.Record) -> str:
    volatility = _VOLATILITY[row["volatility"]]
    guard = "security definer" if row["is_definer"] else "security invoker"
    return (
        f"create function enablebot.{row['name']}({row['arguments']}) returns {row['returns']}\n"
        f"  language {row['language']} {volatility} {guard} set {row['settings'] or 'nothing'};\n"
        f"  -- owner {row['owner']}; executable by {row['callers'] or 'nobody else'}"
    )
