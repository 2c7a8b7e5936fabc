"""`manifest`: the Slack app to create."""

import argparse
import json

from enablebot.commands.terminal import Commands, say, settings_of_cli


def add_to(commands: Commands) -> None:
    manifest = commands.add_parser("manifest", help="print the Slack app manifest for the configured addresses")
    manifest.add_argument(
        "--socket-mode",
        action="store_true",
        help="for development: no public address, events through a socket (needs SLACK_APP_TOKEN)",
    )
    manifest.set_defaults(run=_manifest)


async def _manifest(arguments: argparse.Namespace) -> int:
    from enablebot.shared.slack.manifest import build_manifest

    http = settings_of_cli().http
    manifest = build_manifest(api_url=http.api_public_url, web_url=http.web_public_url, by_socket=arguments.socket_mode)
    say(json.dumps(manifest, indent=2))
    return 0
