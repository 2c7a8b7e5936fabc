"""`api-keys`: keys of the REST API, made for one workspace, shown once."""

import argparse
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

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
from enablebot.shared.errors import BadRequest, NotFound
from enablebot.shared.models.api_key import SCOPES, hash_of_key, make_key, start_of_key

if TYPE_CHECKING:
    from enablebot.shared.database.models import ApiKeyRow, RouteRow
    from enablebot.shared.database.operations import Database

_LONGEST_NAME = 100
_MOST_DAYS = 3650


def add_to(commands: Commands) -> None:
    keys = commands.add_parser("api-keys", help="keys of the REST API").add_subparsers(required=True, metavar="ACTION")
    create = keys.add_parser(
        "create",
        help="make a key for a workspace and print it, once",
        description="The key alone goes to the standard output; only its hash is stored, so it is never shown again.",
    )
    create.add_argument("--team", required=True, metavar="T…", help="the workspace's Slack id")
    create.add_argument("--name", default="api", help="what it is for, as the list will show it (api)")
    create.add_argument(
        "--scopes", default=",".join(SCOPES), metavar="LIST", help=f"comma-separated, of {', '.join(SCOPES)} (all)"
    )
    create.add_argument(
        "--days", type=_number_of_days, metavar="N", help="it ends by itself after so many days (never)"
    )
    create.set_defaults(run=_create)

    listing = keys.add_parser("list", help="a workspace's keys: name, scopes, last use, never the key itself")
    listing.add_argument("--team", required=True, metavar="T…", help="the workspace's Slack id")
    listing.add_argument("--json", action="store_true", help="print them as JSON")
    listing.set_defaults(run=_list)

    revoke = keys.add_parser("revoke", help="end a key, at once and for good")
    revoke.add_argument("key", metavar="KEY", help="its beginning as `api-keys list` shows it, or its id")
    revoke.add_argument("--team", required=True, metavar="T…", help="the workspace's Slack id")
    revoke.set_defaults(run=_revoke)


async def _create(arguments: argparse.Namespace) -> int:
    name = arguments.name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise BadRequest(f"A key's name has 1 to {_LONGEST_NAME} characters that can be printed. Choose another.")
    scopes = _scopes(arguments.scopes)
    now = datetime.now(UTC)
    async with operators_database(settings_of_cli()) as database:
        route = await _workspace(database, arguments.team)
        id_ = uuid4()
        key = make_key(id_)
        await database.create_api_key(
            tenant_id=route.tenant_id,
            id=id_,
            key_hash=hash_of_key(key.reveal()),
            name=name,
            scopes=scopes,
            expires_at=None if arguments.days is None else now + timedelta(days=arguments.days),
            actor="cli",
        )
    say(key.reveal())
    ends = "" if arguments.days is None else f" It ends {moment_of(now + timedelta(days=arguments.days))}."
    complain(
        f"This is the one time the key is shown: keep it as a secret. It may: {', '.join(scopes)}.{ends}\n"
        "Send it as `Authorization: Bearer …`. "
        f"`python -m enablebot api-keys revoke {start_of_key(id_)} --team {arguments.team}` ends it."
    )
    if route.status == "uninstalled":
        complain(f"{arguments.team} has removed the app: the key works once somebody there adds it again.")
    return 0


async def _list(arguments: argparse.Namespace) -> int:
    async with operators_database(settings_of_cli()) as database:
        route = await _workspace(database, arguments.team)
        rows = await database.list_api_keys(tenant_id=route.tenant_id)
    if arguments.json:
        say(json.dumps([row.model_dump(mode="json") | {"key": start_of_key(row.id)} for row in rows], indent=2))
    elif not rows:
        say(f"{arguments.team} has no API key. `api-keys create` makes one.")
    else:
        say_table(
            [("KEY", "NAME", "STATE", "SCOPES", "CREATED", "BY", "LAST USED", "ENDS")]
            + [
                (
                    start_of_key(row.id),
                    harmless(row.name),
                    row.state,
                    ",".join(row.scopes),
                    moment_of(row.created_at),
                    harmless(row.created_by),
                    moment_of(row.last_used_at),
                    moment_of(row.revoked_at or row.expires_at),
                )
                for row in rows
            ]
        )
    return 0


async def _revoke(arguments: argparse.Namespace) -> int:
    async with operators_database(settings_of_cli()) as database:
        route = await _workspace(database, arguments.team)
        row = _chosen(await database.list_api_keys(tenant_id=route.tenant_id), arguments.key)
        revoked = (await database.revoke_api_key(tenant_id=route.tenant_id, id=row.id, actor="cli")).revoked
    say(f"{start_of_key(row.id)} ({harmless(row.name)}) {'is revoked' if revoked else 'was revoked before'}.")
    return 0


def _chosen(rows: "list[ApiKeyRow]", said: str) -> "ApiKeyRow":
    """The one key that somebody means by its beginning, its id or the whole of it."""
    found = [row for row in rows if str(row.id) == said or _begins(row.id, said)]
    if not found:
        raise NotFound("The workspace has no key that begins like this. `api-keys list` shows those it has.")
    if len(found) > 1:
        raise BadRequest("Several keys begin like this. Name more of it, or its id from `api-keys list --json`.")
    return found[0]


def _begins(id_: UUID, said: str) -> bool:
    start = start_of_key(id_)
    return len(said) >= len("eb_") + 4 and (start.startswith(said) or said.startswith(start))


def _scopes(said: str) -> list[str]:
    chosen = [scope.strip() for scope in said.split(",")]
    unknown = [scope for scope in chosen if scope not in SCOPES]
    if unknown:
        raise BadRequest(f"There is no scope {', '.join(map(harmless, unknown))}. Choose of {', '.join(SCOPES)}.")
    return [scope for scope in SCOPES if scope in chosen]


async def _workspace(database: "Database", team: str) -> "RouteRow":
    from enablebot.shared.database.models import RouteRow

    route = await database.find_route(enterprise_id=None, team_id=team, is_org_wide=False)
    if not isinstance(route, RouteRow):
        raise NotFound(f"No workspace {harmless(team)} is known here. `tenants list` shows those that are.")
    return route


def _number_of_days(text: str) -> int:
    number = int(text)
    if not 0 < number <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"a number from 1 to {_MOST_DAYS} is needed")
    return number
