"""The call that every handled event makes: one post through our own Slack client, to a Slack that answers at once."""

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from enablebot.shared.sensitive import Sensitive
from enablebot.shared.slack.client import SlackClient, SlackClients

Reply = Callable[[str], Awaitable[None]]

_TEXT = "Yes, 25 days a year, and up to five of them may be carried over into the next. " * 4


@contextmanager
def instant_slack() -> Iterator[str]:
    """Run the server in a process of its own and yield its address."""
    command = [sys.executable, "-m", "benchmarks.queueing.instant_slack"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        yield served.stdout.readline().strip()
        assert served.stdin is not None
        served.stdin.close()


@asynccontextmanager
async def replying(address: str) -> AsyncIterator[Reply]:
    """Yield what posts one reply as the bot of a workspace."""
    clients = SlackClients(base_url=address)
    await clients.open()
    known: dict[str, SlackClient] = {}

    async def reply(workspace: str) -> None:
        client = known.get(workspace)
        if client is None:
            client = known[workspace] = clients.for_workspace(token=Sensitive("xoxb-" + workspace), team_id=workspace)
        await client.post_message(channel="C1", thread_ts="1700000000.000100", text=_TEXT)

    try:
        yield reply
    finally:
        await clients.aclose()
