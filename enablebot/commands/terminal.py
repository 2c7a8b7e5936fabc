"""What every command does with a terminal and with the settings."""

import argparse
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from enablebot.config.settings import Settings, load_settings

if TYPE_CHECKING:
    from enablebot.shared.database.operations import Database

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def settings_of_cli() -> Settings:
    """The environment, and in development `.env` of this directory."""
    return load_settings(env_file=Path(".env"), service="cli")


@asynccontextmanager
async def operators_database(settings: Settings) -> AsyncIterator["Database"]:
    """The database with the rights of web, which may see who is here."""
    from enablebot.shared.database.config import open_database

    is_development = settings.environment == "development"
    database = await open_database(settings.database, role="web", migrate_first=is_development)
    try:
        yield database
    finally:
        await database.aclose()


def say(line: str) -> None:
    """A line of what was asked for."""
    print(line, flush=True)


def say_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Lines whose cells stand below each other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        say("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def moment_of(moment: datetime | None) -> str:
    """A time as operators read it."""
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "never"


def complain(message: str) -> None:
    """What went wrong, beside what was asked for."""
    print(message, file=sys.stderr, flush=True)


def harmless(text: str) -> str:
    """A name somebody else chose, without what would move the cursor or colour the terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)
