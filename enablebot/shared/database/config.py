"""Where the database is → an open Database, after asking it whether its walls stand."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

import asyncpg

from enablebot.shared.database.embedded import EmbeddedPostgres
from enablebot.shared.database.init_db import migrate
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.database.readiness import refuse_old_schema, refuse_open_walls
from enablebot.shared.database.transport import Transport
from enablebot.shared.errors import DatabaseError, SchemaMissing

if TYPE_CHECKING:
    from enablebot.config.settings import DatabaseSettings

Role: TypeAlias = Literal["api", "web"]

_log = logging.getLogger(__name__)


async def open_database(
    settings: "DatabaseSettings",
    *,
    role: Role,
    migrate_first: bool = False,
    on_login: Callable[[bool], None] | None = None,
) -> Database:
    """Open the database that the settings name: DATABASE_URL, else Supabase's Data API, else one of our own.

    Settings have refused a production without an address before. `migrate_first` is development's way with
    DATABASE_URL; our own Postgres is always migrated. `on_login` hears whether the login may do more than its job.
    A missing or old schema is only logged: `/ready` says so until it has been migrated.
    Raises DatabaseUnavailable when nobody answers, and DatabaseError when a wall is down.
    """
    database = Database(await _transport(settings, role=role, migrate_first=migrate_first))
    try:
        is_strong = await refuse_open_walls(database)
        if on_login is not None:
            on_login(is_strong)
        await refuse_old_schema(database)
    except SchemaMissing as error:
        _log.error("%s", error.message)
    except BaseException:
        await database.aclose()
        raise
    return database


@contextmanager
def admin_url(settings: "DatabaseSettings") -> Iterator[str]:
    """Yield the URL that may migrate: DATABASE_ADMIN_URL, else DATABASE_URL, else our own Postgres, up meanwhile."""
    given = settings.admin_url or settings.url
    if given is not None:
        yield given.get_secret_value()
    elif settings.supabase_url is not None:
        raise DatabaseError(
            "The Data API cannot change the schema. Set DATABASE_ADMIN_URL to Supabase's direct connection string, or "
            "paste what `python -m enablebot migrate --bundle` prints into its SQL editor."
        )
    else:
        with EmbeddedPostgres(settings.data_dir) as server:
            yield server.url()


async def prepare_embedded(server: EmbeddedPostgres) -> Mapping[Role, str]:
    """Migrate a running Postgres of our own; return a URL for each service, whose login may do its job and no more."""
    await migrate(server.url())
    return await service_logins(server)


async def service_logins(server: EmbeddedPostgres) -> Mapping[Role, str]:
    """Return a URL for each service of a migrated Postgres of our own, made where it is new."""
    connection = await asyncpg.connect(server.url())
    urls: dict[Role, str] = {}
    try:
        for role in ("api", "web"):
            login = f"enablebot_{role}_login"
            # Services that start side by side both come here.
            await connection.execute(
                f"do $$ begin create role {login} login; "
                f"exception when duplicate_object or unique_violation then null; end $$; "
                f"grant enablebot_{role} to {login}"
            )
            urls[role] = server.url(user=login)
    finally:
        await connection.close()
    return urls


async def _transport(settings: "DatabaseSettings", *, role: Role, migrate_first: bool) -> Transport:
    if settings.url is not None:
        if migrate_first:
            await migrate((settings.admin_url or settings.url).get_secret_value())
        return await PostgresTransport.connect(settings.url.get_secret_value(), pool_size=settings.pool_size)
    if settings.supabase_url is not None and settings.supabase_service_key is not None:
        # Its HTTP client is weight that a process on DATABASE_URL need not carry.
        from enablebot.shared.database.supabase import SupabaseTransport

        return await SupabaseTransport.connect(settings.supabase_url, settings.supabase_service_key.get_secret_value())
    server = EmbeddedPostgres(settings.data_dir)

    async def leave() -> None:
        await asyncio.to_thread(server.stop)

    await asyncio.to_thread(server.start)
    try:
        urls = await prepare_embedded(server)
        return await PostgresTransport.connect(urls[role], pool_size=settings.pool_size, on_close=leave)
    except BaseException:
        await leave()
        raise
