"""`audit`: the trail of privileged actions."""

import argparse

from enablebot.commands.terminal import Commands, complain, operators_database, say, settings_of_cli


def add_to(commands: Commands) -> None:
    audit = commands.add_parser("audit", help="the audit trail").add_subparsers(required=True, metavar="ACTION")
    verify = audit.add_parser("verify", help="check a workspace's hash chain from its first row to its head")
    verify.add_argument("--team", required=True, metavar="T…", help="the workspace's Slack id")
    verify.set_defaults(run=_verify)


async def _verify(arguments: argparse.Namespace) -> int:
    from enablebot.shared.database.models import RouteRow

    async with operators_database(settings_of_cli()) as database:
        route = await database.find_route(enterprise_id=None, team_id=arguments.team, is_org_wide=False)
        if not isinstance(route, RouteRow):
            complain(f"No workspace {arguments.team} is known here.")
            return 1
        verdict = await database.verify_audit(tenant_id=route.tenant_id)
    if not verdict.ok:
        complain(f"The chain of {arguments.team} is broken at row {verdict.broken_at}.")
        return 1
    say(f"The chain of {arguments.team} holds: {verdict.rows} rows.")
    return 0
