"""`doctor`: what is wrong with this deployment, and what to do about it."""

import argparse
import json

from enablebot.commands.terminal import Commands, say, settings_of_cli


def add_to(commands: Commands) -> None:
    doctor = commands.add_parser(
        "doctor", help="look at settings, database, keys, Slack, the model and the clock; each finding with its remedy"
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.set_defaults(run=_doctor)


async def _doctor(arguments: argparse.Namespace) -> int:
    from enablebot.doctor.examination import examine
    from enablebot.doctor.findings import report

    findings = await examine(settings_of_cli)
    say(json.dumps([finding.as_json() for finding in findings], indent=2) if arguments.json else report(findings))
    return 1 if any(finding.level == "broken" for finding in findings) else 0
