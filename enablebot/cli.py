"""`python -m enablebot …`: what operators and developers do from a terminal. Each command lives in commands/.

Exit codes: 0 done · 1 it did not work, and the message says why · 2 the command line or the settings are wrong.
"""

import argparse
import asyncio
from collections.abc import Sequence

from enablebot import __version__
from enablebot.commands import api_keys, audit, checkup, events, keys, local, manifest, schema, tenants
from enablebot.commands.terminal import complain
from enablebot.shared.errors import EnableBotError, SettingsError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(asyncio.run(arguments.run(arguments)) or 0)
    except SettingsError as wrong:
        complain(str(wrong))
        return 2
    except EnableBotError as failure:
        complain(failure.message)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m enablebot", description="A Slack assistant that answers from a workspace's own knowledge."
    )
    parser.add_argument("--version", action="version", version=f"EnableBot {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for family in (local, schema, checkup, manifest, keys, api_keys, tenants, events, audit):
        family.add_to(commands)
    return parser
