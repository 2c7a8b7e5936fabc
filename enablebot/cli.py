"""`python -m enablebot …`: what operators and developers do from a terminal.

Exit codes: 0 done · 1 it did not work, and the message says why · 2 the command line or the settings are wrong.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from enablebot import __version__
from enablebot.config.settings import Settings, load_settings
from enablebot.shared.errors import EnableBotError, SettingsError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(asyncio.run(arguments.run(arguments)) or 0)
    except SettingsError as wrong:
        _complain(str(wrong))
        return 2
    except EnableBotError as failure:
        _complain(failure.message)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m enablebot", description="A Slack assistant that answers from a workspace's own knowledge."
    )
    parser.add_argument("--version", action="version", version=f"EnableBot {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start everything on this machine until Ctrl-C")
    up.add_argument(
        "--sandbox-port", type=int, default=8002, metavar="PORT", help="where the played Slack listens (8002)"
    )
    up.set_defaults(run=_up)

    demo = commands.add_parser("demo", help="play the whole story and print the transcript")
    demo.add_argument("--verbose", action="store_true", help="show what the services print")
    demo.set_defaults(run=_demo)

    migrate = commands.add_parser("migrate", help="bring the database's schema up to date")
    how = migrate.add_mutually_exclusive_group()
    how.add_argument("--bundle", action="store_true", help="print everything as one SQL file to paste into an editor")
    how.add_argument("--dry-run", action="store_true", help="say what would be applied")
    migrate.set_defaults(run=_migrate)

    doctor = commands.add_parser(
        "doctor", help="look at settings, database, keys, Slack and the model; each finding with its remedy"
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.set_defaults(run=_doctor)

    manifest = commands.add_parser("manifest", help="print the Slack app manifest for the configured addresses")
    manifest.set_defaults(run=_manifest)

    keys = commands.add_parser("keys", help="master keys").add_subparsers(required=True, metavar="ACTION")
    generate = keys.add_parser("generate", help="print a new master key for ENCRYPTION_KEYS")
    generate.set_defaults(run=_generate_key)

    audit = commands.add_parser("audit", help="the audit trail").add_subparsers(required=True, metavar="ACTION")
    verify = audit.add_parser("verify", help="check a workspace's hash chain from its first row to its head")
    verify.add_argument("--team", required=True, metavar="T…", help="the workspace's Slack id")
    verify.set_defaults(run=_verify_audit)
    return parser


async def _up(arguments: argparse.Namespace) -> int:
    from enablebot.local.children import ChildBroken
    from enablebot.local.ports import PortTaken
    from enablebot.local.supervisor import NotReady
    from enablebot.local.up import run_up

    try:
        await run_up(_settings(), sandbox_port=arguments.sandbox_port, say=_say)
    except (PortTaken, NotReady, ChildBroken) as failure:
        _complain(str(failure))
        return 1
    return 0


async def _demo(arguments: argparse.Namespace) -> int:
    from enablebot.local.children import ChildBroken
    from enablebot.local.demo import run_demo
    from enablebot.local.story import StoryBroken
    from enablebot.local.supervisor import NotReady

    try:
        await run_demo(_settings(), say=_say, verbose=arguments.verbose)
    except (StoryBroken, NotReady, ChildBroken) as failure:
        _complain(str(failure))
        return 1
    return 0


async def _migrate(arguments: argparse.Namespace) -> int:
    from enablebot.shared.database.config import admin_url
    from enablebot.shared.database.init_db import bundle, migrate

    if arguments.bundle:
        print(bundle())
        return 0
    with admin_url(_settings().database) as address:
        applied = await migrate(address, dry_run=arguments.dry_run)
    verb = "Would apply" if arguments.dry_run else "Applied"
    print(f"{verb}: {', '.join(applied)}." if applied else "The schema is up to date.")
    return 0


async def _doctor(arguments: argparse.Namespace) -> int:
    from enablebot.doctor import examine, report

    findings = await examine(load_settings)
    print(json.dumps([finding.as_json() for finding in findings], indent=2) if arguments.json else report(findings))
    return 1 if any(finding.level == "broken" for finding in findings) else 0


async def _manifest(_: argparse.Namespace) -> int:
    from enablebot.shared.slack.manifest import build_manifest

    http = _settings().http
    print(json.dumps(build_manifest(api_url=http.api_public_url, web_url=http.web_public_url), indent=2))
    return 0


async def _generate_key(_: argparse.Namespace) -> int:
    from enablebot.shared.encryption.keyring import generate_master_key

    print(generate_master_key(datetime.now(UTC).date()))
    print(
        "Put it first in ENCRYPTION_KEYS; keep older keys behind it, comma-separated, as long as they are in use.\n"
        "Keep a copy outside this deployment: without the key, every token and conversation it sealed is lost.",
        file=sys.stderr,
    )
    return 0


async def _verify_audit(arguments: argparse.Namespace) -> int:
    from enablebot.shared.database.config import open_database
    from enablebot.shared.database.models import RouteRow

    database = await open_database(_settings().database, role="web")
    try:
        route = await database.find_route(enterprise_id=None, team_id=arguments.team, is_org_wide=False)
        if not isinstance(route, RouteRow):
            _complain(f"No workspace {arguments.team} is known here.")
            return 1
        verdict = await database.verify_audit(tenant_id=route.tenant_id)
    finally:
        await database.aclose()
    if not verdict.ok:
        _complain(f"The chain of {arguments.team} is broken at row {verdict.broken_at}.")
        return 1
    print(f"The chain of {arguments.team} holds: {verdict.rows} rows.")
    return 0


def _settings() -> Settings:
    return load_settings(env_file=Path(".env"), service="cli")


def _say(line: str) -> None:
    print(line, flush=True)


def _complain(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
