"""`up` and `demo`: everything on this machine."""

import argparse

from enablebot.commands.terminal import Commands, complain, say, settings_of_cli


def add_to(commands: Commands) -> None:
    up = commands.add_parser("up", help="start everything on this machine until Ctrl-C")
    up.add_argument(
        "--sandbox-port", type=int, default=8002, metavar="PORT", help="where the played Slack listens (8002)"
    )
    up.set_defaults(run=_up)

    demo = commands.add_parser("demo", help="play the whole story and print the transcript")
    demo.add_argument("--verbose", action="store_true", help="show what the services print")
    demo.set_defaults(run=_demo)


async def _up(arguments: argparse.Namespace) -> int:
    from enablebot.local.children import ChildBroken
    from enablebot.local.ports import PortTaken
    from enablebot.local.supervisor import NotReady
    from enablebot.local.up import run_up

    try:
        await run_up(settings_of_cli(), sandbox_port=arguments.sandbox_port, say=say)
    except (PortTaken, NotReady, ChildBroken) as failure:
        complain(str(failure))
        return 1
    return 0


async def _demo(arguments: argparse.Namespace) -> int:
    from enablebot.local.children import ChildBroken
    from enablebot.local.demo import run_demo
    from enablebot.local.story import StoryBroken
    from enablebot.local.supervisor import NotReady

    try:
        await run_demo(settings_of_cli(), say=say, verbose=arguments.verbose)
    except (StoryBroken, NotReady, ChildBroken) as failure:
        complain(str(failure))
        return 1
    return 0
