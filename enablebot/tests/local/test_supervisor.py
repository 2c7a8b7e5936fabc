"""Several processes run as one: ready together, restarted when they die, stopped together."""

import asyncio
import json
import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import aiohttp
import pytest

from enablebot.local import supervisor as supervisor_module
from enablebot.local.children import Child, ChildBroken, Patience
from enablebot.local.ports import PortTaken, free_port, insist_free
from enablebot.local.supervisor import NotReady, Supervisor
from enablebot.tests.postgrest import serving as serving_here

pytestmark = pytest.mark.anyio

SERVER = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(str(__import__("os").getpid()).encode())
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


def serving(name: str) -> Child:
    port = free_port()
    return Child(name, (sys.executable, "-c", SERVER, str(port)), f"http://127.0.0.1:{port}/", os.environ)


async def pid_behind(child: Child) -> int:
    async with aiohttp.ClientSession() as session, session.get(child.ready_url) as response:
        return int(await response.text())


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


async def test_all_children_are_ready_before_the_work_begins_and_gone_after_it() -> None:
    children = [serving("first"), serving("second")]
    seen: list[int] = []

    async def work() -> None:
        seen.extend([await pid_behind(child) for child in children])

    await Supervisor(children, say=lambda _: None).run(then=work)
    assert len(set(seen)) == 2
    assert not any(is_alive(pid) for pid in seen)


async def test_a_killed_child_is_started_again_and_the_person_is_told() -> None:
    child, lines = serving("api"), list[str]()

    async def work() -> None:
        first = await pid_behind(child)
        os.kill(first, signal.SIGKILL)
        while True:
            await asyncio.sleep(0.02)
            try:
                if await pid_behind(child) != first:
                    return
            except aiohttp.ClientError:
                continue

    async with asyncio.timeout(20):
        await Supervisor([child], say=lines.append).run(then=work)
    assert any("api ended (killed by SIGKILL)" in line for line in lines)


async def test_a_child_that_never_stays_up_ends_the_household_with_its_own_words() -> None:
    broken = Child(
        "web",
        (sys.executable, "-c", "print('no such setting'); raise SystemExit(3)"),
        "http://127.0.0.1:9/",
        os.environ,
    )
    lines: list[str] = []
    supervisor = Supervisor([broken], say=lines.append, patience=Patience(first_pause=0.01))
    with pytest.raises(ChildBroken, match="web ended 5 times"):
        await supervisor.run()
    assert any("no such setting" in line for line in lines)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            json.dumps({"status": "not ready", "parts": {"database": "Paste the bundle.", "keys": "ok"}}),
            "Paste the bundle.",
        ),
        ("<html>", "answers 503"),
        (json.dumps({"parts": None}), "answers 503"),
    ],
)
async def test_a_child_that_is_not_ready_in_time_is_quoted(
    monkeypatch: pytest.MonkeyPatch, body: str, said: str
) -> None:
    class Unready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.send_header("content-type", "application/json" if body.startswith("{") else "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Say nothing."""

    monkeypatch.setattr(supervisor_module, "READY_WITHIN_SECONDS", -1.0)
    with serving_here(Unready) as url:
        child = Child("api", (sys.executable, "-c", "import time; time.sleep(60)"), url, os.environ)
        with pytest.raises(NotReady, match=f"api was not ready.*{said}"):
            await Supervisor([child], say=lambda _: None, patience=Patience(first_pause=5)).run()


async def test_sigterm_stops_every_child() -> None:
    children, seen = [serving("first"), serving("second")], list[int]()
    supervisor = Supervisor(children, say=lambda _: None)

    async def work() -> None:
        seen.extend([await pid_behind(child) for child in children])
        os.kill(os.getpid(), signal.SIGTERM)
        await supervisor.until_stopped()

    await supervisor.run(then=work)
    assert not any(is_alive(pid) for pid in seen)


async def test_a_failure_of_the_work_reaches_the_caller_after_everything_has_stopped() -> None:
    child, seen = serving("only"), list[int]()

    async def work() -> None:
        seen.append(await pid_behind(child))
        raise LookupError("the story broke")

    with pytest.raises(LookupError, match="the story broke"):
        await Supervisor([child], say=lambda _: None).run(then=work)
    assert not is_alive(seen[0])


async def test_taken_ports_are_all_named_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"api wants port {port}, web wants port {port}"):
            insist_free([("api", port), ("web", port), ("sandbox", free_port())])
