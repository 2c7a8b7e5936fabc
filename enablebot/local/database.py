"""The database of a household: the one named in the settings, or a Postgres started here and stopped at the end."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from enablebot.config.settings import Settings
from enablebot.local.children import Say
from enablebot.shared.database.config import service_logins
from enablebot.shared.database.embedded import EmbeddedPostgres
from enablebot.shared.database.init_db import migrate


@dataclass(frozen=True)
class Told:
    """What the services are told about their database; with nothing told, they read their own settings."""

    shared: Mapping[str, str] = field(default_factory=dict)
    logins: Mapping[str, str] = field(default_factory=dict)


@asynccontextmanager
async def database_at_home(settings: Settings, *, data_dir: Path, say: Say) -> AsyncIterator[Told]:
    """Have a database with the current schema for as long as the block runs.

    One of our own gives each service a login that may do its job and no more. Over the Data API alone the schema
    cannot be touched from here; `/ready` says what to paste.
    """
    if settings.database.url is None and settings.database.supabase_url is None:
        async with _own_postgres(data_dir, say=say) as told:
            yield told
        return
    say("Database: the one named in the settings.")
    named = settings.database.admin_url or settings.database.url
    if named is None:
        say("Schema: not touched, only the Data API is configured. `python -m enablebot migrate --bundle` prints it.")
    else:
        _say_applied(await migrate(named.get_secret_value()), say)
    yield Told()


@asynccontextmanager
async def _own_postgres(data_dir: Path, *, say: Say) -> AsyncIterator[Told]:
    postgres = EmbeddedPostgres(data_dir)
    admin_url = await asyncio.to_thread(postgres.start)
    say(f"Database: PostgreSQL {postgres.version} in {data_dir}")
    try:
        _say_applied(await migrate(admin_url), say)
        own = await service_logins(postgres)
        # On their start in development the services look whether there is something to migrate.
        yield Told({"DATABASE_ADMIN_URL": admin_url}, {"api": own["api"], "web": own["web"]})
    finally:
        stopped = await asyncio.to_thread(postgres.stop)
        say("Postgres stopped." if stopped else "Postgres stays up: another process uses it.")


def _say_applied(applied: list[str], say: Say) -> None:
    say(f"Schema: {f'applied {len(applied)} files' if applied else 'up to date'}.")
