"""`tenants`: which workspaces are here, one of them, and, in development, adding one by its bot token."""

import argparse
import json
import os
import sys
from collections.abc import AsyncIterator
from getpass import getpass
from typing import TYPE_CHECKING

from enablebot.commands.terminal import (
    Commands,
    complain,
    harmless,
    moment_of,
    operators_database,
    say,
    say_table,
    settings_of_cli,
)
from enablebot.shared.errors import BadRequest, Forbidden, SettingsError
from enablebot.shared.models.installation import missing_scopes
from enablebot.shared.sensitive import Sensitive

if TYPE_CHECKING:
    from enablebot.shared.database.models import TenantRow
    from enablebot.shared.database.operations import Database

_PAGE = 500
TOKEN_VARIABLE = "SLACK_BOT_TOKEN"  # noqa: S105 - the variable's name


def add_to(commands: Commands) -> None:
    tenants = commands.add_parser("tenants", help="the workspaces that are here").add_subparsers(
        required=True, metavar="ACTION"
    )
    listing = tenants.add_parser("list", help="every workspace: status, installation, missing scopes")
    listing.add_argument("--json", action="store_true", help="print them as JSON")
    listing.set_defaults(run=_list)

    show = tenants.add_parser("show", help="one workspace: installation, questions and answers")
    show.add_argument("--team", required=True, metavar="T…", help="the workspace's Slack id")
    show.set_defaults(run=_show)

    add = tenants.add_parser(
        "add",
        help="development only: add a workspace by its bot token, where Slack's OAuth cannot reach this machine",
        description=f"The bot token is read from the variable {TOKEN_VARIABLE}, or with `--bot-token -` from the "
        "terminal or a pipe. Given on the command line, it stays in the shell's history.",
    )
    add.add_argument("--bot-token", metavar="xoxb-…", help="`-` reads it from the terminal or a pipe")
    add.add_argument("--app-id", metavar="A…", help="the app's id, where neither Slack nor SLACK_APP_TOKEN tells it")
    add.set_defaults(run=_add)


async def _list(arguments: argparse.Namespace) -> int:
    async with operators_database(settings_of_cli()) as database:
        rows = [row async for row in _everybody(database)]
    rows.sort(key=lambda row: (row.name.casefold(), row.team_id or row.enterprise_id or ""))
    if arguments.json:
        say(json.dumps([_as_json(row) for row in rows], indent=2))
    elif not rows:
        say("No workspace yet. Open the web service's address and click Add to Slack.")
    else:
        say_table(
            [("TEAM", "NAME", "STATUS", "INSTALLED", "MISSING SCOPES")]
            + [
                (
                    row.team_id or row.enterprise_id or "",
                    harmless(row.name),
                    row.status,
                    moment_of(row.installed_at),
                    ", ".join(_missing(row)) or "none",
                )
                for row in rows
            ]
        )
    return 0


async def _show(arguments: argparse.Namespace) -> int:
    async with operators_database(settings_of_cli()) as database:
        row = await _of_team(database, arguments.team)
        overview = None if row is None else await database.get_overview(tenant_id=row.tenant_id)
    if row is None or overview is None:
        complain(f"No workspace {harmless(arguments.team)} is known here. `tenants list` shows those that are.")
        return 1
    installation = overview.installation
    say_table(
        [
            ("name", harmless(row.name)),
            ("team", row.team_id or "the organisation itself"),
            ("organisation", row.enterprise_id or "none"),
            ("status", row.status),
            ("installed", moment_of(row.installed_at)),
            ("installed by", (installation.installed_by if installation else None) or "unknown"),
            ("bot", installation.bot_user_id if installation else "none"),
            ("app", installation.app_id if installation else "none"),
            ("missing scopes", ", ".join(_missing(row)) or "none"),
            ("last event", moment_of(overview.last_event_at)),
            ("last answer", moment_of(overview.last_answer_at)),
            ("questions", f"{overview.answered} answered, {overview.failed} failed, {overview.waiting} waiting"),
            ("set aside", str(overview.set_aside)),
        ]
    )
    return 0


async def _add(arguments: argparse.Namespace) -> int:
    from enablebot.shared.encryption.keyring import Keyring
    from enablebot.shared.installations import Installations
    from enablebot.shared.slack.client import SlackClients
    from enablebot.shared.slack.granting import grant_of_token

    settings = settings_of_cli()
    if settings.is_production:
        raise Forbidden(
            "`tenants add` is for development. In production people add the app themselves, with Add to Slack: that "
            "way Slack says who agreed to it, and nobody handles a token by hand."
        )
    if settings.encryption.keys is None:
        raise SettingsError(["ENCRYPTION_KEYS is missing. Make one with `python -m enablebot keys generate`."])
    token = _bot_token(arguments.bot_token)
    clients = SlackClients(base_url=settings.slack.base_url)
    await clients.open()
    try:
        app_token = settings.slack.app_token
        app_id = arguments.app_id or _app_of(app_token.get_secret_value() if app_token else "")
        grant = await grant_of_token(clients, token, app_id=app_id)
    finally:
        await clients.aclose()
    async with operators_database(settings) as database:
        keyring = Keyring.parse(settings.encryption.keys.get_secret_value())
        await Installations(database, keyring).save(grant, audit_actor="cli")
    say(f"{harmless(grant.name)} ({grant.team_id or grant.enterprise_id}) is added; its bot is {grant.bot_user_id}.")
    lacking = missing_scopes(grant.scopes)
    if lacking:
        complain(
            f"The token lacks {', '.join(lacking)}. Update the app from `python -m enablebot manifest --socket-mode`, "
            "install it to the workspace again, and add the new token."
        )
    return 0


def _bot_token(given: str | None) -> Sensitive[str]:
    if given is None:
        found = os.environ.get(TOKEN_VARIABLE, "")
    elif given == "-":
        found = getpass("Bot token (xoxb-…): ") if sys.stdin.isatty() else sys.stdin.readline()
    else:
        found = given
        complain("The token on the command line stays in the shell's history. Next time: --bot-token -")
    token = found.strip()
    if not token:
        raise BadRequest(f"There is no bot token. Set {TOKEN_VARIABLE}, or use `--bot-token -`.")
    if not token.startswith("xoxb-"):
        raise BadRequest(
            "This is not a bot token that lasts: it starts with xoxb-. Copy the Bot User OAuth Token from the app's "
            "page OAuth & Permissions; token rotation has to be off."
        )
    return Sensitive(token)


def _app_of(app_token: str) -> str | None:
    """The app's id, which an app-level token carries as its third part: xapp-1-A0123-…"""
    parts = app_token.split("-")
    return parts[2] if len(parts) > 3 and parts[2].startswith("A") else None


async def _everybody(database: "Database") -> "AsyncIterator[TenantRow]":
    after = None
    while page := await database.list_tenants(after=after, limit=_PAGE):
        for row in page:
            yield row
        after = page[-1].tenant_id


async def _of_team(database: "Database", team: str) -> "TenantRow | None":
    async for row in _everybody(database):
        if team in (row.team_id, row.enterprise_id if row.team_id is None else None):
            return row
    return None


def _missing(row: "TenantRow") -> tuple[str, ...]:
    return missing_scopes(row.scopes) if row.status == "active" else ()


def _as_json(row: "TenantRow") -> dict[str, object]:
    return row.model_dump(mode="json") | {"missing_scopes": list(_missing(row))}
