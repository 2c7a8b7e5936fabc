"""`keys`: master keys."""

import argparse
from datetime import UTC, datetime

from enablebot.commands.terminal import Commands, complain, say


def add_to(commands: Commands) -> None:
    keys = commands.add_parser("keys", help="master keys").add_subparsers(required=True, metavar="ACTION")
    generate = keys.add_parser("generate", help="print a new master key for ENCRYPTION_KEYS")
    generate.set_defaults(run=_generate)


async def _generate(_: argparse.Namespace) -> int:
    from enablebot.shared.encryption.keyring import generate_master_key

    say(generate_master_key(datetime.now(UTC).date()))
    complain(
        "Put it first in ENCRYPTION_KEYS; keep older keys behind it, comma-separated, as long as they are in use.\n"
        "Keep a copy outside this deployment: without the key, every token and conversation it sealed is lost."
    )
    return 0
