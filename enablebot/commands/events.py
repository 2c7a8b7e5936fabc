"""`events`: what was given up and set aside, and putting it back to be answered after all."""

import argparse
import json
from typing import TYPE_CHECKING
from uuid import UUID

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

if TYPE_CHECKING:
    from enablebot.shared.database.models import RouteRow
    from enablebot.shared.database.operations import Database

_PAGE = 500


def add_to(commands: Commands) -> None:
    events = commands.add_parser("events", help="events that were set aside").add_subparsers(
        required=True, metavar="ACTION"
    )
    failed = events.add_parser(
        "failed",
        help="those that were set aside, oldest first: whose, when, why",
        description="An event is set aside when it failed three times, or when its answer was given up. "
        "What people wrote is never shown.",
    )
    failed.add_argument("--team", metavar="T…", help="only this workspace's, by its Slack id")
    failed.add_argument("--limit", type=_count, default=100, metavar="N", help="at most so many (100)")
    failed.add_argument("--json", action="store_true", help="print them as JSON")
    failed.set_defaults(run=_failed)

    replay = events.add_parser(
        "replay",
        help="put events back, to be answered after all",
        description="The event waits again, before what came later in its conversation; where an apology was shown, "
        "the answer takes its place. Each is audited.",
    )
    replay.add_argument("ids", nargs="*", type=_count, metavar="ID", help="as `events failed` shows it")
    replay.add_argument("--all", action="store_true", help="every one of the workspace's")
    replay.add_argument("--team", required=True, metavar="T…", help="the workspace's Slack id")
    replay.set_defaults(run=_replay)


async def _failed(arguments: argparse.Namespace) -> int:
    async with operators_database(settings_of_cli()) as database:
        route = await _workspace(database, arguments.team) if arguments.team else None
        found = await database.list_set_aside(
            tenant_id=route.tenant_id if route else None, after_id=None, limit=arguments.limit + 1
        )
    rows = found[: arguments.limit]
    if arguments.json:
        say(json.dumps([row.model_dump(mode="json") for row in rows], indent=2))
    elif not rows:
        say(f"No event{f' of {arguments.team}' if arguments.team else ''} is set aside.")
    else:
        say_table(
            [("TEAM", "WHEN", "KIND", "ATTEMPTS", "REASON", "ID")]
            + [
                (
                    harmless(row.team_id or str(row.tenant_id)),
                    moment_of(row.settled_at),
                    row.kind,
                    str(row.attempts),
                    harmless(row.reason or "unknown"),
                    str(row.id),
                )
                for row in rows
            ]
        )
    if len(found) > len(rows):
        complain(f"These are the first {len(rows)}, there are more. A larger --limit shows them.")
    return 0


async def _replay(arguments: argparse.Namespace) -> int:
    if bool(arguments.ids) == arguments.all:
        raise BadRequest("Name the events to put back by their ids, or --all. `events failed` shows them.")
    async with operators_database(settings_of_cli()) as database:
        route = await _workspace(database, arguments.team)
        ids = arguments.ids or await _ids_set_aside(database, route.tenant_id)
        refused: dict[int, str] = {}
        for id_ in dict.fromkeys(ids):
            row = await database.replay_event(tenant_id=route.tenant_id, id=id_, actor="cli")
            if row.replayed:
                say(f"{id_} is put back.")
            else:
                refused[id_] = await _reason_for_refusing(database, route.tenant_id, id_)
    for id_, reason in refused.items():
        complain(f"{id_} is not put back: {reason}")
    if not ids:
        say(f"No event of {arguments.team} is set aside.")
    if route.status != "active" and len(refused) < len(ids):
        complain(f"{arguments.team} is {route.status}: they wait until somebody there adds the app again.")
    return 1 if refused else 0


async def _reason_for_refusing(database: "Database", tenant_id: UUID, id_: int) -> str:
    found = await database.list_set_aside(tenant_id=tenant_id, after_id=id_ - 1, limit=1)
    if [row.id for row in found] == [id_]:
        return "what it asked is kept no longer."
    return "it is none of this workspace's events that are set aside. Perhaps it was put back before."


async def _workspace(database: "Database", team: str) -> "RouteRow":
    from enablebot.shared.database.models import RouteRow

    route = await database.find_route(enterprise_id=None, team_id=team, is_org_wide=False)
    if not isinstance(route, RouteRow):
        raise NotFound(f"No workspace {harmless(team)} is known here. `tenants list` shows those that are.")
    return route


async def _ids_set_aside(database: "Database", tenant_id: UUID) -> list[int]:
    ids: list[int] = []
    while page := await database.list_set_aside(tenant_id=tenant_id, after_id=ids[-1] if ids else None, limit=_PAGE):
        ids += [row.id for row in page]
    return ids


def _count(text: str) -> int:
    number = int(text)
    if not 0 < number < 2**63:
        raise ValueError(text)
    return number
