"""From a question's arrival to its reply, one at a time: EnableBot's own share, Bolt's `say` beside it.

Prints one table. The api runs as it always does, on a real Postgres; Slack and the model are stand-ins of this process
that answer at once (benchmarks/answering/stand_ins.py). Measured is the time from the first byte of a signed event to
the first byte of the first call that shows text (chat.postMessage in a channel, chat.startStream in a direct message),
less the time the stand-ins had of it. Bolt accepts the same event, keeps nothing, asks no model and posts. Questions
come in turns and only when the one before has long been settled.
"""

import argparse
import asyncio
import hmac
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.accepting.contestants import enablebot, install_everywhere
from benchmarks.accepting.signed import PATH, SIGNING_SECRET, TEAMS, bot_of
from benchmarks.answering.stand_ins import StandIns, stand_ins
from enablebot.local.ports import free_port
from enablebot.shared.database.config import prepare_embedded
from enablebot.shared.database.embedded import EmbeddedPostgres

_SHOWING = frozenset({"chat.postMessage", "chat.startStream"})
_TEAM = TEAMS[0]
_WARM_UP = 30
_numbers = itertools.count(1)

Question = Callable[[], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Share:
    """One question: milliseconds until its reply, and how many of them were the stand-ins'."""

    whole: float
    played: float

    @property
    def own(self) -> float:
        """What the service itself took."""
        return self.whole - self.played


def mention() -> dict[str, Any]:
    """A question in a channel."""
    ts = f"{1_800_000_000 + next(_numbers)}.000100"
    text = f"<@{bot_of(_TEAM)}> Whom do I ask about trains abroad?"
    return {"type": "app_mention", "user": "U0ADA", "text": text, "ts": ts, "channel": "C0GENERAL01", "event_ts": ts}


def direct() -> dict[str, Any]:
    """A question in a direct message."""
    ts = f"{1_800_000_000 + next(_numbers)}.000100"
    event = {"type": "message", "user": "U0ADA", "text": "Whom do I ask about trains abroad?", "ts": ts}
    return {**event, "channel": "D0ADA", "channel_type": "im", "event_ts": ts}


def signed(event: dict[str, Any]) -> bytes:
    """The request with which Slack delivers an event."""
    authorization = {"enterprise_id": None, "team_id": _TEAM, "user_id": bot_of(_TEAM), "is_bot": True}
    body = json.dumps(
        {
            "team_id": _TEAM,
            "api_app_id": "A0BENCHMARK",
            "event": event,
            "type": "event_callback",
            "event_id": f"Ev{next(_numbers):09d}",
            "event_time": int(time.time()),
            "authorizations": [{**authorization, "is_enterprise_install": False}],
        }
    ).encode()
    stamp = b"%d" % time.time()
    signature = hmac.new(SIGNING_SECRET.encode(), b"v0:" + stamp + b":" + body, "sha256").hexdigest()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-Slack-Request-Timestamp: {stamp.decode()}\r\nX-Slack-Signature: v0={signature}\r\n\r\n"
    )
    return head.encode() + body


class Asker:
    """A connection over which one service gets its events."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, played: StandIns) -> None:
        self._reader = reader
        self._writer = writer
        self._played = played

    async def ask(self, event: dict[str, Any], *, rest: float) -> Share:
        """Send one question, wait for its reply, and `rest` seconds for whatever comes after it."""
        request = signed(event)
        self._played.calls.clear()
        began = time.perf_counter()
        self._writer.write(request)
        async with asyncio.timeout(10):
            while (shown := self._shown_at()) is None:
                self._played.arrived.clear()
                await self._played.arrived.wait()
        before = [call for call in self._played.calls if call.came_at < shown]
        # Calls beside each other would count twice: what the stand-ins had is the union of their times.
        played, until = 0.0, began
        for call in sorted(before, key=lambda call: call.came_at):
            ended = min(call.answered_at, shown)
            played += max(0.0, ended - max(call.came_at, until))
            until = max(until, ended)
        acknowledged = await self._reader.readuntil(b"\r\n\r\n")
        if not acknowledged.startswith(b"HTTP/1.1 200"):
            sys.exit(f"an event was not acknowledged: {acknowledged.decode()}")
        await self._rest_of(acknowledged)
        await asyncio.sleep(rest)
        return Share((shown - began) * 1000, played * 1000)

    def _shown_at(self) -> float | None:
        return next((call.came_at for call in self._played.calls if call.method in _SHOWING), None)

    async def _rest_of(self, head: bytes) -> None:
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await self._reader.readexactly(int(line.partition(b":")[2]))


@asynccontextmanager
async def asking(port: int, played: StandIns) -> AsyncIterator[Asker]:
    """An asker of the service on this port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Asker(reader, writer, played)
    finally:
        writer.close()
        await writer.wait_closed()


async def wait_until_up(port: int) -> None:
    """Wait at most half a minute for whoever answers there, whatever it says."""
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/"):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def measure(server: EmbeddedPostgres, opened: ExitStack, *, questions: int) -> dict[str, list[Share]]:
    """Ask both services in turns."""
    logins = await prepare_embedded(server)
    await install_everywhere(server.url())
    async with stand_ins() as (played, url):
        # Started from a thread: starting asks the api for its readiness, and that may ask the stand-ins.
        api = await asyncio.to_thread(
            opened.enter_context, enablebot("EnableBot", slack_url=url, database={"DATABASE_URL": logins["api"]})
        )
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.answering.saying", "--port", str(port), "--slack-url", url]
        bolt = subprocess.Popen(command, env=os.environ)
        opened.callback(bolt.wait)
        opened.callback(bolt.terminate)
        await wait_until_up(port)
        kinds: dict[str, Question] = {"mention": mention, "direct": direct}
        shares: dict[str, list[Share]] = {f"{name} {kind}": [] for name in ("EnableBot", "Bolt") for kind in kinds}
        async with asking(api.port, played) as ours, asking(port, played) as theirs:
            for number in range(_WARM_UP + questions):
                for kind, question in kinds.items():
                    for name, asker in (("EnableBot", ours), ("Bolt", theirs)):
                        share = await asker.ask(question(), rest=0.05)
                        if number >= _WARM_UP:
                            shares[f"{name} {kind}"].append(share)
        return shares


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of them lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, ExitStack() as opened:
        server = EmbeddedPostgres(Path(home))
        server.start()
        opened.callback(server.stop)
        shares = asyncio.run(measure(server, opened, questions=options.questions))
    print("| question to reply call, idle | p50 ms | p95 ms | of the stand-ins, ms | Bolt p50 | Bolt p95 | goal |")
    print("|---|---|---|---|---|---|---|")
    for kind, shown in (("mention", "chat.postMessage"), ("direct", "chat.startStream")):
        ours = [share.own for share in shares[f"EnableBot {kind}"]]
        played = statistics.median(share.played for share in shares[f"EnableBot {kind}"])
        theirs = [share.own for share in shares[f"Bolt {kind}"]]
        print(
            f"| {kind}, to {shown} | {percentile(ours, 0.5):.1f} | {percentile(ours, 0.95):.1f} | {played:.2f} "
            f"| {percentile(theirs, 0.5):.1f} | {percentile(theirs, 0.95):.1f} | p50 10 or less |"
        )
    print(f"\n{options.questions} questions of each kind, in turns.")


if __name__ == "__main__":
    main()
