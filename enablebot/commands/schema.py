"""`migrate`: the schema, applied or printed."""

import argparse
from typing import TYPE_CHECKING

from enablebot.commands.terminal import Commands, say, settings_of_cli
from enablebot.shared.errors import SchemaMissing

if TYPE_CHECKING:
    from enablebot.config.settings import DatabaseSettings


def add_to(commands: Commands) -> None:
    migrate = commands.add_parser("migrate", help="bring the database's schema up to date")
    how = migrate.add_mutually_exclusive_group()
    how.add_argument("--bundle", action="store_true", help="print everything as one SQL file to paste into an editor")
    how.add_argument("--dry-run", action="store_true", help="say what would be applied")
    migrate.set_defaults(run=_migrate)


async def _migrate(arguments: argparse.Namespace) -> int:
    from enablebot.shared.database.config import admin_url
    from enablebot.shared.database.init_db import bundle, migrate

    if arguments.bundle:
        say(bundle())
        return 0
    settings = settings_of_cli().database
    if settings.url is None and settings.admin_url is None and settings.supabase_url and await _is_current(settings):
        # What runs `migrate` before every deployment has nothing to wait for, and nothing to fail on.
        say("The schema is up to date.")
        return 0
    with admin_url(settings) as address:
        applied = await migrate(address, dry_run=arguments.dry_run)
    verb = "Would apply" if arguments.dry_run else "Applied"
    say(f"{verb}: {', '.join(applied)}." if applied else "The schema is up to date.")
    return 0


async def _is_current(settings: "DatabaseSettings") -> bool:
    """Whether the Data API already shows this release's schema."""
    from enablebot.shared.database.config import open_database
    from enablebot.shared.database.init_db import functions_checksum, migrations

    database = await open_database(settings, role="web")
    try:
        found = await database.schema_version()
    except SchemaMissing:
        return False
    finally:
        await database.aclose()
    newest = max(file.version for file in migrations())
    return found.version >= newest and found.functions_checksum == functions_checksum()
