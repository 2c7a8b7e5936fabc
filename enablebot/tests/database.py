"""Real Postgres for tests: one server a run, migrated once into a template, cloned, and used again once emptied.

The server is shared by every xdist worker and by runs side by side, and stops with the last of them; one that a
killed run left behind is taken over. `TEST_DATABASE_URL` (a superuser's) uses a given server instead.
"""

import asyncio
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import pytest

from enablebot.shared.database.embedded import EmbeddedPostgres, Version
from enablebot.shared.database.init_db import functions, migrate, migrations

VERSIONS: tuple[Version, ...] = (18, 16)
# Put it above a test that must hold on every version we support; the others run on the newest.
postgres_versions = pytest.mark.parametrize("postgres_version", VERSIONS, indirect=True)

# Logins that hold nothing but membership of the named roles, as services should.
LOGINS = {
    "enablebot_test_api": ("enablebot_api",),
    "enablebot_test_web": ("enablebot_web",),
    "enablebot_test_services": ("enablebot_api", "enablebot_web"),
}
PASSWORD = "only-for-tests"

# The roles Supabase has, made before any migration so that every database here grants to service_role as there.
SUPABASE_ROLES = {
    "anon": "nologin noinherit",
    "authenticated": "nologin noinherit",
    "service_role": "nologin noinherit bypassrls",
    "authenticator": f"login noinherit password '{PASSWORD}'",
}

# Nothing here outlives a power cut, and nothing needs to.
_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "autovacuum": "off",
}
_TAKE_TURNS = "select pg_advisory_lock(826001)"
# What a test may leave behind and is still as good as new; who changed anything else leaves a mark, and is dropped.
_MARK_CHANGES = """
create schema testing;
create table testing.changes (tag text);
create table testing.origin as select
  (select md5(string_agg(m::text, ',' order by m.version)) from enablebot.schema_migrations m) as migrations,
  (select md5(string_agg(f::text, ',' order by f.name)) from enablebot.schema_functions f) as functions;
create function testing.mark() returns event_trigger language plpgsql security definer set search_path = pg_catalog
as $$ begin insert into testing.changes values (tg_tag); end $$;
create event trigger testing_marks on ddl_command_end execute function testing.mark();
create event trigger testing_marks_drops on sql_drop execute function testing.mark();
alter event trigger testing_marks enable always;
alter event trigger testing_marks_drops enable always;
"""
_IS_CHANGED = """
select exists (select from testing.changes)
    or (select md5(string_agg(m::text, ',' order by m.version)) from enablebot.schema_migrations m)
       is distinct from (select o.migrations from testing.origin o)
    or (select md5(string_agg(f::text, ',' order by f.name)) from enablebot.schema_functions f)
       is distinct from (select o.functions from testing.origin o)
    or exists (select from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase where d.datname = $1)
    or exists (select from pg_statistic s join pg_class c on c.oid = s.starelid
               where c.relnamespace = 'enablebot'::regnamespace)
"""
_IS_USED = "select exists (select from pg_stat_activity where datname = $1 and pid <> pg_backend_pid())"
_WRITTEN = """
select format('%I.%I', n.nspname, c.relname) as name, pg_relation_size(c.oid) / 8192 as pages,
  (select format('select setval(%L, 1, false);', s.oid::regclass) from pg_depend d join pg_class s on s.oid = d.objid
   where d.refobjid = c.oid and d.classid = 'pg_class'::regclass and s.relkind = 'S') as restart
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'enablebot' and c.relkind = 'r' and c.relname not like 'schema\\_%' and pg_relation_size(c.oid) > 0
"""
# More than these were deleted from it by and by: what a plan reads there is no longer what it would read in a new one.
_MOST_PAGES = 40
_LONGEST_FAREWELL_SECONDS = 0.5
_names = itertools.count()
_T = TypeVar("_T")


class PostgresServer:
    """A server to make databases on, and the template they are cloned from."""

    def __init__(self, admin_url: str, *, is_ours: bool) -> None:
        """Take a superuser's URL; nothing is touched yet."""
        self.admin_url = admin_url
        self._is_ours = is_ours
        self._template: str | None = None
        self._emptied: list[str] = []

    async def prepare(self) -> None:
        """Make Supabase's roles, and drop what killed runs left behind; safe to repeat."""
        connection = await asyncpg.connect(self.admin_url)
        try:
            await connection.execute(_TAKE_TURNS)
            if self._is_ours:
                await _drop_left_behind(connection)
            for role, options in SUPABASE_ROLES.items():
                await _create_role(connection, role, options)
            await connection.execute("grant anon, authenticated, service_role to authenticator")
        finally:
            await connection.close()

    def url(self, database: str, *, login: str | None = None) -> str:
        """Return the URL of a database, for the superuser or for one of LOGINS."""
        parts = urlsplit(self.admin_url)
        host = parts.netloc.rpartition("@")[2]
        netloc = f"{login}:{PASSWORD}@{host}" if login else parts.netloc
        return urlunsplit((parts.scheme, netloc, "/" + quote(database), parts.query, ""))

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Yield the name of a database with nothing in it, dropped afterwards."""
        with self._made("template0") as name:
            yield name

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """Yield the name of a database with the current schema and nothing in it."""
        self._template = self._template or from_sync(self._make_template())
        name = self._emptied.pop() if self._emptied else self._make(self._template)
        is_as_new = False
        try:
            yield name
            is_as_new = from_sync(self._empty_again(name))
        finally:
            if is_as_new:
                self._emptied.append(name)
            else:
                self._drop(name)

    def close(self) -> None:
        """Drop the databases kept for another test."""
        while self._emptied:
            self._drop(self._emptied.pop())

    @contextmanager
    def _made(self, template: str) -> Iterator[str]:
        name = self._make(template)
        try:
            yield name
        finally:
            self._drop(name)

    def _make(self, template: str) -> str:
        name = f"test_{os.getpid()}_{next(_names)}"
        # Copying files is three times as fast as copying through the log, for a database this small.
        from_sync(self._execute(f"create database {name} template {template} strategy file_copy"))
        return name

    def _drop(self, name: str) -> None:
        from_sync(self._execute(f"drop database if exists {name} with (force)"))

    async def _empty_again(self, name: str) -> bool:
        """Whether the database is as new: emptying it takes a tenth of the time of making another."""
        try:
            connection = await asyncpg.connect(self.url(name))
        except asyncpg.PostgresError:
            return False
        try:
            until = time.monotonic() + _LONGEST_FAREWELL_SECONDS
            while await connection.fetchval(_IS_USED, name):
                if time.monotonic() > until:
                    return False
                await asyncio.sleep(0.01)
            if await connection.fetchval(_IS_CHANGED, name):
                return False
            written = await connection.fetch(_WRITTEN)
            if any(table["pages"] > _MOST_PAGES for table in written):
                return False
            # The audit trail refuses to be emptied, to everybody: its triggers are put aside for it, unmarked.
            await connection.execute(
                "begin; set local session_replication_role = replica;"
                "alter event trigger testing_marks disable; alter event trigger testing_marks_drops disable;"
                "alter table enablebot.audit disable trigger user;"
                + "".join(f"delete from {table['name']}; {table['restart'] or ''}" for table in written)
                + "alter table enablebot.audit enable always trigger audit_is_append_only;"
                "alter table enablebot.audit enable always trigger audit_is_never_emptied;"
                "alter event trigger testing_marks enable always;"
                "alter event trigger testing_marks_drops enable always; commit"
            )
            await connection.execute("select pg_stat_reset()")
        except asyncpg.PostgresError:
            return False
        else:
            return True
        finally:
            await connection.close()

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.admin_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def _make_template(self) -> str:
        parts = [f.name + f.checksum for f in (*migrations(), *functions())]
        checksum = sha256("".join([*parts, _MARK_CHANGES]).encode()).hexdigest()
        name = f"template_{checksum[:16]}"
        connection = await asyncpg.connect(self.admin_url)
        try:
            if await _exists(connection, name):
                return name
            # Migrations create roles, which all databases share: one at a time, whatever the checkout.
            await connection.execute(_TAKE_TURNS)
            if not await _exists(connection, name):
                await connection.execute(f"drop database if exists {name}_raw with (force)")
                await connection.execute(f"create database {name}_raw template template0 strategy file_copy")
                await migrate(self.url(f"{name}_raw"))
                for login, roles in LOGINS.items():
                    await _create_role(connection, login, f"login password '{PASSWORD}'")
                    await connection.execute(f"grant {', '.join(roles)} to {login}")
                await self._mark_changes(f"{name}_raw")
                await connection.execute(f"alter database {name}_raw rename to {name}")
            return name
        finally:
            await connection.close()

    async def _mark_changes(self, database: str) -> None:
        connection = await asyncpg.connect(self.url(database))
        try:
            await connection.execute(_MARK_CHANGES)
        finally:
            await connection.close()


class PostgresServers:
    """The servers of this test process, started when first asked for."""

    def __init__(self) -> None:
        self._embedded: dict[Version, EmbeddedPostgres] = {}
        self._servers: dict[Version, PostgresServer] = {}
        self._given = os.environ.get("TEST_DATABASE_URL")

    def server(self, version: Version) -> PostgresServer:
        """Return a server of that version; skips the test when the given server is of another."""
        if version not in self._servers:
            self._servers[version] = self._given_server(version) if self._given else self._embedded_server(version)
            from_sync(self._servers[version].prepare())
        return self._servers[version]

    def _given_server(self, version: Version) -> PostgresServer:
        url = self._given or ""
        found = from_sync(_version_of(url))
        # Whatever it is, it stands in for the newest.
        if found != version and version != VERSIONS[0]:
            pytest.skip(f"TEST_DATABASE_URL is PostgreSQL {found}, this test wants {version}")
        return PostgresServer(url, is_ours=False)

    def _embedded_server(self, version: Version) -> PostgresServer:
        self._embedded[version] = EmbeddedPostgres(tests_data_dir(), version=version, settings=_FAST)
        return PostgresServer(self._embedded[version].start(), is_ours=True)

    def stop(self) -> None:
        """Let go of every server; whoever is last stops it."""
        for server in self._servers.values():
            server.close()
        for embedded in self._embedded.values():
            embedded.stop()


def tests_data_dir() -> Path:
    """Return where test servers and fetched binaries live: the same for every run of this user."""
    owner = os.getuid() if sys.platform != "win32" else "user"
    directory = Path(tempfile.gettempdir()) / f"enablebot-tests-{owner}"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def from_sync(work: Coroutine[Any, Any, _T]) -> _T:
    """Run async work to its end from a fixture or test that is not async, whatever loops exist around it."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _exists(connection: "asyncpg.Connection[asyncpg.Record]", name: str) -> bool:
    return bool(await connection.fetchval("select exists (select from pg_database where datname = $1)", name))


async def _create_role(connection: "asyncpg.Connection[asyncpg.Record]", role: str, options: str) -> None:
    if not await connection.fetchval("select exists (select from pg_roles where rolname = $1)", role):
        await connection.execute(f"create role {role} {options}")


async def _drop_left_behind(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Drop databases of test processes that are gone, and all but the newest templates."""
    for name in await connection.fetch(r"select datname from pg_database where datname like 'test\_%'"):
        if not _is_alive(int(name["datname"].split("_")[1])):
            await connection.execute(f"drop database if exists {name['datname']} with (force)")
    old = r"select datname from pg_database where datname like 'template\_%' order by oid desc offset 20"
    for name in await connection.fetch(old):
        await connection.execute(f"drop database if exists {name['datname']} with (force)")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def _version_of(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("show server_version_num")) // 10000
    finally:
        await connection.close()
