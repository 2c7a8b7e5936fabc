"""Apply the migrations: in order, once, under a lock; or print them as one SQL bundle to paste.

`migrations/NNN_name.sql` run once and never change; `migrations/functions/*.sql` are applied again, all changed ones
together, whenever their text changes. Every file runs in a transaction, with the record of it, or not at all.
"""

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files

import asyncpg

from enablebot.shared.database import errors
from enablebot.shared.database.postgres import without_foreign_options
from enablebot.shared.errors import DatabaseError, DatabaseUnavailable

_log = logging.getLogger(__name__)

# "EnableBot" in eight bytes or so: any number that nobody else locks.
_LOCK = 0x456E61626C65426F

# Wait a minute for another migration, but only seconds for a table: whoever queues behind us waits as long.
_TAKE_LOCK = f"set local lock_timeout = '60s'; select pg_advisory_xact_lock({_LOCK}); set local lock_timeout = '5s';"
# Asked of the catalogue: to_regclass() may answer from before the lock, what another process did meanwhile unseen.
_HAS_TABLE = (
    "exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace "
    "where n.nspname = 'enablebot' and c.relname = '{}')"
)
# PostgREST answers from a cache of the schema; elsewhere nobody listens and this costs nothing.
_TELL_POSTGREST = "notify pgrst, 'reload schema';"


@dataclass(frozen=True, slots=True)
class SqlFile:
    """One file of SQL and the checksum of its text."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        return sha256(self.text.encode()).hexdigest()

    @property
    def version(self) -> int:
        return int(self.name.split("_", 1)[0])


@cache
def migrations() -> tuple[SqlFile, ...]:
    """Return the migrations, oldest first."""
    return _read("migrations")


@cache
def functions() -> tuple[SqlFile, ...]:
    """Return the files of functions, in the order they are applied."""
    return _read("migrations/functions")


def functions_checksum() -> str:
    """Return what `schema_version()` reports when this release's functions are in place."""
    return sha256("".join(f"{file.name}:{file.checksum}\n" for file in functions()).encode()).hexdigest()


async def migrate(admin_url: str, *, dry_run: bool = False) -> list[str]:
    """Bring the database up to date and return the files applied; `dry_run` only says which would be.

    Safe while the previous release runs and while another process migrates. Raises DatabaseError when a migration
    was changed after it had been applied, and DatabaseUnavailable when a lock could not be had in time.
    """
    async with _connected(admin_url) as connection:
        done = await _applied(connection)
        _refuse_changed(done)
        if newer := [version for version in done if version > migrations()[-1].version]:
            _log.warning("The database is at migration %s, newer than this release: left as it is.", max(newer))
            return []
        pending = [file for file in migrations() if file.version not in done]
        stale = await _stale_functions(connection)
        if dry_run or not (pending or stale):
            return [file.name for file in (*pending, *stale)]
        applied = [file.name for file in pending if await _apply_migration(connection, file)]
        return applied + await _apply_functions(connection)


def bundle() -> str:
    """Return everything as one SQL text to paste; pasting it again changes nothing."""
    once = (
        f"do $apply$ declare v_done boolean := false; begin\n"
        # Nested, because Postgres looks up every table of a condition before it evaluates any of it.
        f"if {_HAS_TABLE.format('schema_migrations')} then\n"
        f"v_done := exists (select from enablebot.schema_migrations where version = {file.version});\n"
        f"end if;\n"
        f"if not v_done then\n"
        f"execute $migration$\n{_recorded_migration(file)}\n$migration$;\n"
        f"end if;\n"
        f"end $apply$;"
        for file in migrations()
    )
    every_time = (_recorded_functions(file) for file in functions())
    return "\n\n".join(["begin;", _TAKE_LOCK, *once, *every_time, _TELL_POSTGREST, "commit;", ""])


def _recorded_migration(file: SqlFile) -> str:
    return (
        f"{file.text}\n;reset role;\ninsert into enablebot.schema_migrations (version, name, checksum)\n"
        f"values ({file.version}, '{file.name}', '{file.checksum}');"
    )


def _recorded_functions(file: SqlFile) -> str:
    return (
        f"{file.text}\n;reset role;\ninsert into enablebot.schema_functions (name, checksum)\n"
        f"values ('{file.name}', '{file.checksum}')\n"
        f"on conflict (name) do update set checksum = excluded.checksum, applied_at = now();"
    )


async def _apply_migration(connection: "asyncpg.Connection[asyncpg.Record]", file: SqlFile) -> bool:
    async with _locked(connection):
        # Another process may have been first while we waited for the lock.
        if file.version in await _applied(connection):
            return False
        await _run(connection, file, _recorded_migration(file))
        return True


async def _apply_functions(connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    async with _locked(connection):
        stale = await _stale_functions(connection)
        for file in stale:
            await _run(connection, file, _recorded_functions(file))
        await connection.execute(_TELL_POSTGREST)
        return [file.name for file in stale]


async def _applied(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[int, str]:
    if not await connection.fetchval(f"select {_HAS_TABLE.format('schema_migrations')}"):
        return {}
    rows = await connection.fetch("select version, checksum from enablebot.schema_migrations")
    return {row["version"]: row["checksum"] for row in rows}


async def _stale_functions(connection: "asyncpg.Connection[asyncpg.Record]") -> list[SqlFile]:
    if not await connection.fetchval(f"select {_HAS_TABLE.format('schema_functions')}"):
        return list(functions())
    rows = await connection.fetch("select name, checksum from enablebot.schema_functions")
    known = {row["name"]: row["checksum"] for row in rows}
    return [file for file in functions() if known.get(file.name) != file.checksum]


def _refuse_changed(done: dict[int, str]) -> None:
    changed = [file.name for file in migrations() if done.get(file.version, file.checksum) != file.checksum]
    if changed:
        raise DatabaseError(
            f"{', '.join(changed)} was changed after it had been applied to this database. "
            "Restore the file as it was and put the change into a new migration."
        )


@asynccontextmanager
async def _connected(admin_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    try:
        # A pooler may sit in between: no prepared statement outlives its transaction.
        connection = await asyncpg.connect(without_foreign_options(admin_url), statement_cache_size=0, timeout=10)
    except asyncpg.PostgresError as error:
        raise errors.translate(error.sqlstate, function="migrate") from error
    except (asyncpg.InterfaceError, OSError) as error:
        raise errors.unavailable("migrate") from error
    try:
        yield connection
    except asyncpg.LockNotAvailableError as error:
        raise DatabaseUnavailable(
            "A migration could not be applied: another one is under way, or a long transaction holds a table. "
            "It changed nothing; run it again."
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseError(
            f"This login may not migrate the database ({error}). Set DATABASE_ADMIN_URL to the login that migrated it "
            "first (on Supabase: `postgres`), or make it a member of `enablebot_owner`, "
            "`enablebot_router` and `enablebot_searcher`."
        ) from error
    except asyncpg.PostgresError as error:
        raise errors.translate(error.sqlstate, function="migrate") from error
    except (asyncpg.InterfaceError, OSError) as error:
        raise errors.unavailable("migrate") from error
    finally:
        await connection.close()


@asynccontextmanager
async def _locked(connection: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[None]:
    async with connection.transaction():
        await connection.execute(_TAKE_LOCK)
        yield


async def _run(connection: "asyncpg.Connection[asyncpg.Record]", file: SqlFile, text: str) -> None:
    try:
        await connection.execute(text)
    except asyncpg.PostgresError as error:
        if isinstance(error, asyncpg.LockNotAvailableError | asyncpg.InsufficientPrivilegeError):
            raise
        position = error.as_dict().get("position")
        line = f", line {text.count(chr(10), 0, int(position)) + 1}," if position else ""
        raise DatabaseError(f"{file.name}{line} failed and left nothing behind. Postgres said: {error}") from error


def _read(folder: str) -> tuple[SqlFile, ...]:
    found: Iterable[SqlFile] = (
        SqlFile(name=entry.name, text=entry.read_text(encoding="utf-8"))
        for entry in files(__package__).joinpath(folder).iterdir()
        if entry.name.endswith(".sql")
    )
    return tuple(sorted(found, key=lambda file: file.name))
