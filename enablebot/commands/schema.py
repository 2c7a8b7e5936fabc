"""`migrate`: the schema, applied or printed."""

import argparse

from enablebot.commands.terminal import Commands, say, settings_of_cli


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
    with admin_url(settings_of_cli().database) as address:
        applied = await migrate(address, dry_run=arguments.dry_run)
    verb = "Would apply" if arguments.dry_run else "Applied"
    say(f"{verb}: {', '.join(applied)}." if applied else "The schema is up to date.")
    return 0
