"""Migrations: in order, once, under a lock, by a login like Supabase's, or pasted as one bundle."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from enablebot.shared.database import init_db
from enablebot.shared.database.embedded import EmbeddedPostgres, Version
from enablebot.shared.database.init_db import SqlFile, bundle, functions, functions_checksum, migrate, migrations
from enablebot.shared.database.operations import Database, operation_names
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.errors import DatabaseError, DatabaseUnavailable
from enablebot.tests.database import VERSIONS, PostgresServer, from_sync, postgres_versions

pytestmark = pytest.mark.anyio

EVERYTHING = [file.name for file in (*migrations(), *functions())]

# What a schema is made of, as far as it could differ between two ways of making it.
CATALOGUE = """
select 'function', p.proname, pg_get_functiondef(p.oid), p.proowner::regrole::text, p.proacl::text
  from pg_proc p where p.pronamespace = 'enablebot'::regnamespace
union all
select 'relation', c.relname, c.relkind::text || c.relrowsecurity || c.relforcerowsecurity, c.relowner::regrole::text,
  c.relacl::text from pg_class c where c.relnamespace = 'enablebot'::regnamespace
union all
select 'column', a.attrelid::regclass || '.' || a.attname, format_type(a.atttypid, a.atttypmod) || a.attnotnull,
  pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum)
  from pg_attribute a join pg_class c on c.oid = a.attrelid and c.relkind = 'r'
  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where c.relnamespace = 'enablebot'::regnamespace and a.attnum > 0
union all
select 'constraint', k.conrelid::regclass || '.' || k.conname, pg_get_constraintdef(k.oid), null, null
  from pg_constraint k where k.connamespace = 'enablebot'::regnamespace
union all
select 'policy', schemaname || tablename || policyname, cmd || roles::text, qual, with_check from pg_policies
order by 1, 2, 3
"""


@pytest.fixture
def empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The superuser's URL of a database with nothing in it."""
    with postgres_server.empty() as name:
        yield postgres_server.url(name)


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(empty_url)
    yield connection
    await connection.close()


@pytest.fixture(params=VERSIONS)
def supabase_like(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of its own, with no role of ours yet, whose `postgres` is what Supabase's is."""
    version: Version = request.param
    server = EmbeddedPostgres(tmp_path, version=version, settings={"fsync": "off"})
    server.start()
    try:
        from_sync(_make_supabase_like(server.url()))
        yield server
    finally:
        server.stop("immediate")


async def _make_supabase_like(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("""
        create role supabase_postgres login createrole createdb bypassrls replication;
        create role anon nologin noinherit;
        create role authenticated nologin noinherit;
        create role service_role nologin noinherit bypassrls;
    """)
    await connection.execute("create database project owner supabase_postgres")
    await connection.close()
    project = await asyncpg.connect(url.replace("/postgres?", "/project?"))
    await project.execute("""
        create schema extensions authorization supabase_postgres;
        create extension vector schema extensions;
    """)
    await project.close()


async def catalogue(url: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(CATALOGUE)]
    finally:
        await connection.close()


@postgres_versions
async def test_everything_is_applied_in_order_and_only_once(empty_url: str) -> None:
    assert await migrate(empty_url) == EVERYTHING
    assert await migrate(empty_url) == []


async def test_a_dry_run_names_what_is_missing_and_touches_nothing(
    empty_url: str, empty: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    assert await migrate(empty_url, dry_run=True) == EVERYTHING
    assert await empty.fetchval("select to_regnamespace('enablebot')") is None
    await migrate(empty_url)
    assert await migrate(empty_url, dry_run=True) == []


async def test_two_that_migrate_at_once_apply_everything_once(empty_url: str) -> None:
    applied = await asyncio.gather(*(migrate(empty_url) for _ in range(3)))
    assert sorted(sum(applied, [])) == sorted(EVERYTHING)  # noqa: RUF017 - three short lists


async def test_what_another_process_did_while_we_waited_is_seen(
    empty_url: str, empty: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    assert await init_db._applied(empty) == {}
    other = await asyncpg.connect(empty_url)
    async with empty.transaction():
        # Our session remembers that there was no such table, and takes no lock that would tell it otherwise.
        await empty.execute("set local lock_timeout = '5s'")
        await other.execute("""
            create schema enablebot;
            create table enablebot.schema_migrations as select 1 as version, 'theirs' as checksum;
        """)
        assert await init_db._applied(empty) == {1: "theirs"}
    await other.close()


async def test_the_database_knows_the_checksum_of_this_releases_functions(database: Database) -> None:
    installed = await database.schema_version(functions=operation_names())
    assert installed.functions_checksum == functions_checksum()
    assert installed.version == migrations()[-1].version
    assert installed.missing == ()


async def test_a_migration_changed_after_it_ran_is_refused(
    admin_url: str, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await admin.execute("update enablebot.schema_migrations set checksum = 'of another text' where version = 1")
    with pytest.raises(DatabaseError, match=migrations()[0].name):
        await migrate(admin_url)


async def test_functions_are_applied_again_when_their_text_changed(
    admin_url: str, admin: "asyncpg.Connection[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = functions()[0]
    edited = SqlFile(name=changed.name, text=f"{changed.text}\n-- and a thought")
    monkeypatch.setattr(init_db, "functions", lambda: (edited, *functions()[1:]))
    assert await migrate(admin_url) == [changed.name]
    recorded = "select checksum from enablebot.schema_functions where name = $1"
    assert await admin.fetchval(recorded, changed.name) == edited.checksum


async def test_a_migration_that_fails_leaves_nothing_and_keeps_those_before_it(
    empty_url: str, empty: "asyncpg.Connection[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = SqlFile(name="900_break.sql", text="create table enablebot.half ();\nselect 1 / 0")
    monkeypatch.setattr(init_db, "migrations", lambda: (*migrations(), broken))
    with pytest.raises(DatabaseError, match=r"900_break\.sql.*division by zero"):
        await migrate(empty_url)
    assert await empty.fetchval("select to_regclass('enablebot.half')") is None
    recorded = await empty.fetch("select version from enablebot.schema_migrations order by version")
    assert [row["version"] for row in recorded] == [file.version for file in migrations()]


async def test_an_error_names_the_line(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = SqlFile(name="900_break.sql", text="select 1;\n\nselect from nowhere;\n")
    monkeypatch.setattr(init_db, "migrations", lambda: (*migrations(), broken))
    with pytest.raises(DatabaseError, match="line 3"):
        await migrate(empty_url)


async def test_a_database_ahead_of_this_release_is_left_alone(
    admin_url: str,
    admin: "asyncpg.Connection[asyncpg.Record]",
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await admin.execute("insert into enablebot.schema_migrations values (999, '999_later.sql', 'unknown')")
    monkeypatch.setattr(init_db, "functions", lambda: (SqlFile(name="audit.sql", text="select 1 / 0"),))
    assert await migrate(admin_url) == []
    assert "newer than this release" in caplog.text


async def test_a_table_that_somebody_holds_ends_the_migration_instead_of_the_service(
    admin_url: str, admin: "asyncpg.Connection[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    altering = SqlFile(name="900_alter.sql", text="alter table enablebot.tenants add column later text")
    monkeypatch.setattr(init_db, "migrations", lambda: (*migrations(), altering))
    monkeypatch.setattr(init_db, "_TAKE_LOCK", init_db._TAKE_LOCK.replace("'5s'", "'50ms'"))
    async with admin.transaction():
        await admin.execute("lock table enablebot.tenants in access share mode")
        with pytest.raises(DatabaseUnavailable, match="run it again"):
            await asyncio.wait_for(migrate(admin_url), 30)
    assert await migrate(admin_url) == ["900_alter.sql"]


async def test_waiting_for_another_migration_has_an_end(
    empty_url: str, empty: "asyncpg.Connection[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(init_db, "_TAKE_LOCK", init_db._TAKE_LOCK.replace("'60s'", "'50ms'"))
    async with empty.transaction():
        await empty.execute(f"select pg_advisory_xact_lock({init_db._LOCK})")
        with pytest.raises(DatabaseUnavailable, match="another one is under way"):
            await asyncio.wait_for(migrate(empty_url), 30)
    assert await migrate(empty_url) == EVERYTHING


async def test_a_login_that_may_not_migrate_is_told_which_may(api_url: str) -> None:
    with pytest.raises(DatabaseError, match="DATABASE_ADMIN_URL"):
        await migrate(api_url)


async def test_a_database_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable):
        await migrate(f"postgresql://postgres@/postgres?host={tmp_path}")


@postgres_versions
async def test_the_bundle_makes_what_the_migrations_make(
    postgres_server: PostgresServer, admin_url: str, empty_url: str, empty: asyncpg.Connection
) -> None:
    await empty.execute(bundle())
    assert await catalogue(empty_url) == await catalogue(admin_url)
    assert await migrate(empty_url) == []


async def test_pasting_the_bundle_again_changes_nothing(
    empty_url: str, empty: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await empty.execute(bundle())
    before = await catalogue(empty_url)
    await empty.execute(bundle())
    assert await catalogue(empty_url) == before


def test_no_file_ends_its_own_transaction() -> None:
    for file in (*migrations(), *functions()):
        lines = [line.strip().lower() for line in file.text.splitlines()]
        assert not {"commit;", "rollback;", "begin;"} & set(lines), file.name
        assert "$migration$" not in file.text


def test_migrations_are_numbered_without_gaps() -> None:
    assert [file.version for file in migrations()] == list(range(1, len(migrations()) + 1))


async def test_a_login_like_supabases_migrates_from_nothing(supabase_like: EmbeddedPostgres) -> None:
    url = supabase_like.url(user="supabase_postgres", database="project")
    applied = await asyncio.gather(migrate(url), migrate(url))
    assert sorted(sum(applied, [])) == sorted(EVERYTHING)  # noqa: RUF017 - two short lists
    database = Database(await PostgresTransport.connect(url))
    found = await database.login_strength()
    await database.aclose()
    assert found.faults == ()
    assert not found.superuser


async def test_a_login_like_supabases_may_paste_the_bundle(supabase_like: EmbeddedPostgres) -> None:
    url = supabase_like.url(user="supabase_postgres", database="project")
    connection = await asyncpg.connect(url)
    await connection.execute(bundle())
    await connection.execute(bundle())
    await connection.close()
    assert await migrate(url) == []


async def test_two_projects_on_one_server_share_its_roles(supabase_like: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(supabase_like.url(user="supabase_postgres", database="project"))
    await connection.execute("create database second")
    await connection.close()
    urls = [supabase_like.url(user="supabase_postgres", database=name) for name in ("project", "second")]
    # Here only a superuser may create it; the message says what to do, word for word.
    with pytest.raises(DatabaseError, match="As a superuser") as raised:
        await migrate(urls[1])
    superuser = await asyncpg.connect(supabase_like.url(database="second"))
    await superuser.execute(str(raised.value).partition("in this database: ")[2])
    await superuser.close()
    applied = await asyncio.gather(*map(migrate, urls))
    assert applied[0] == EVERYTHING
    assert applied[1] == EVERYTHING[5:]


@pytest.mark.parametrize(
    ("prepared", "remedy"),
    [
        ("create extension vector schema public", "alter extension vector set schema extensions"),
        (
            "create schema extensions; create extension vector schema extensions; "
            "update pg_extension set extversion = '0.6.2' where extname = 'vector'",
            "newer pgvector",
        ),
    ],
)
async def test_pgvector_that_lies_elsewhere_or_is_too_old_is_refused_with_a_remedy(
    empty_url: str, empty: "asyncpg.Connection[asyncpg.Record]", prepared: str, remedy: str
) -> None:
    await empty.execute(prepared)
    with pytest.raises(DatabaseError, match=remedy):
        await migrate(empty_url)
