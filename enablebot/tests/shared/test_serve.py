import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx2 import Client

from enablebot.scripts.serve import listen
from enablebot.shared.errors import SettingsError

ROOT = Path(__file__).parents[3]
HAS_IPV6 = socket.has_dualstack_ipv6()

# Says on its standard output what happens, and does what its standard input tells: a served app under the test's hand.
PROGRAM = """
import asyncio, sys
from contextlib import asynccontextmanager
from fastapi import FastAPI
from enablebot.config.settings import LoggingSettings
from enablebot.scripts.serve import serve
from enablebot.shared.errors import SchemaMissing
from enablebot.shared.health import Pings, ready_endpoint
from enablebot.shared.http import protect
from enablebot.shared.logging import configure_logging

mode, drain_seconds = sys.argv[1], float(sys.argv[2])
released = asyncio.Event()

def say(word):
    print(word, flush=True)

@asynccontextmanager
async def lifespan(app):
    if mode == "cannot-start":
        raise SchemaMissing("The schema is missing. Run `python -m enablebot migrate`.")
    asyncio.get_running_loop().add_reader(sys.stdin, lambda: (sys.stdin.read(1), released.set()))
    yield
    asyncio.get_running_loop().remove_reader(sys.stdin)
    if mode == "lifespan-hangs":
        await asyncio.Event().wait()
    say("closed")

app = FastAPI(lifespan=lifespan)
app.state.pings = Pings()
app.add_route("/ready", ready_endpoint(app.state.pings))

@app.get("/slow")
async def slow():
    say("slow began")
    await released.wait()
    return "whole"

@app.get("/broken")
async def broken():
    asyncio.get_running_loop().call_exception_handler({"message": "loose", "exception": ValueError("CANARY")})
    asyncio.get_running_loop().call_exception_handler({"message": "repr", "task": "<Task exception=CANARY>"})

async def hook():
    say("hook began")
    if mode == "hook-hangs":
        await asyncio.Event().wait()
    await released.wait()
    say("hook ended")

if mode == "thread-hangs":
    import threading
    threading.Thread(target=threading.Event().wait).start()
if mode != "plain":
    app.state.pings.on_drain(hook)
protect(app, public_url="http://localhost", has_pages=False)
configure_logging(LoggingSettings(format="json"), stream=sys.stdout)
serve(app, host="localhost", port=0, drain_seconds=drain_seconds, notice_seconds=0)
say("left")
"""


class Served:
    """A process with an app in it."""

    def __init__(self, mode: str, *, drain_seconds: float = 20) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, mode, str(drain_seconds)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []
        self.url = ""

    def until(self, word: str) -> str:
        """Read its output up to the line that has the word."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if word in line:
                return line
        raise AssertionError(f"ended without saying {word!r}: {''.join(self.said)}")

    def started(self) -> "Served":
        line = self.until("Listening on ")
        self.url = line.partition("Listening on ")[2].partition('"')[0]
        return self

    def release(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("!")
        self.process.stdin.flush()

    def ended(self) -> int:
        rest, _ = self.process.communicate(timeout=60)
        self.said.extend(rest.splitlines(keepends=True))
        return self.process.returncode


@pytest.fixture
def serving() -> Iterator[list[Served]]:
    running: list[Served] = []
    yield running
    for served in running:
        if served.process.poll() is None:
            served.process.kill()
        served.process.communicate()


def start(serving: list[Served], mode: str, *, drain_seconds: float = 20) -> Served:
    served = Served(mode, drain_seconds=drain_seconds)
    serving.append(served)
    return served


def words(served: Served) -> list[str]:
    return [line.strip() for line in served.said if not line.startswith("{")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_leaving_turns_unready_first_finishes_what_runs_and_ends_with_success(
    serving: list[Served], number: signal.Signals
) -> None:
    served = start(serving, "hook").started()
    with (
        Client(base_url=served.url, timeout=30) as http,
        socket.create_connection(("localhost", int(served.url.rpartition(":")[2]))) as slow,
    ):
        assert http.get("/ready").status_code == 200
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        served.until("slow began")
        served.process.send_signal(number)
        served.until("hook began")
        answer = http.get("/ready")
        assert (answer.status_code, answer.json()["parts"]) == (503, {"process": "draining"})
        with Client(base_url=served.url) as newcomer:
            assert newcomer.get("/ready").status_code == 503, "the door must stay open while hooks run"
        served.release()
        slow.settimeout(30)
        received = b""
        while b"whole" not in received:
            piece = slow.recv(4096)
            assert piece, "the running request was cut off"
            received += piece
        assert received.startswith(b"HTTP/1.1 200")
    assert served.ended() == 0
    assert words(served) == ["slow began", "hook began", "hook ended", "closed", "left"]


@pytest.mark.parametrize(
    ("mode", "code", "closes"), [("hook-hangs", 0, True), ("lifespan-hangs", 0, False), ("thread-hangs", 1, True)]
)
def test_nothing_that_hangs_keeps_the_process(serving: list[Served], mode: str, code: int, closes: bool) -> None:
    served = start(serving, mode, drain_seconds=2).started()
    served.process.send_signal(signal.SIGTERM)
    served.until("hook began")
    served.release()
    assert served.ended() == code
    assert ("closed" in words(served)) is closes


def test_a_request_that_never_ends_is_cut_off_in_time(serving: list[Served]) -> None:
    served = start(serving, "plain", drain_seconds=2).started()
    with socket.create_connection(("localhost", int(served.url.rpartition(":")[2]))) as slow:
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        served.until("slow began")
        served.process.send_signal(signal.SIGTERM)
        assert served.ended() == 0
    assert words(served)[-2:] == ["closed", "left"]


def test_a_start_that_fails_says_why_in_plain_words(serving: list[Served]) -> None:
    served = start(serving, "cannot-start")
    assert served.ended() == 3
    said = "".join(served.said)
    assert "The schema is missing. Run `python -m enablebot migrate`." in said
    assert "Traceback" not in said


def test_no_server_name_is_told_and_nothing_is_logged_about_requests(serving: list[Served]) -> None:
    served = start(serving, "plain").started()
    with Client(base_url=served.url) as http:
        headers = http.get("/ready?code=CANARY").headers
        assert "server" not in headers
        assert "date" in headers
        http.get("/broken")
    served.process.send_signal(signal.SIGTERM)
    assert served.ended() == 0
    said = "".join(served.said)
    assert "CANARY" not in said
    assert "loose" in said


# Where it listens


@pytest.fixture
def opened() -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    yield sockets
    for each in sockets:
        each.close()


def reaches(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=5):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("host", ["", "*", "::", "localhost"])
def test_both_families_are_heard(host: str, opened: list[socket.socket]) -> None:
    opened += listen(host, 0)
    port = opened[0].getsockname()[1]
    assert reaches("127.0.0.1", port)
    assert reaches("::1", port) is HAS_IPV6


def test_localhost_is_heard_on_this_machine_only(opened: list[socket.socket]) -> None:
    opened += listen("localhost", 0)
    assert {each.getsockname()[0] for each in opened} <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    "host", ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not HAS_IPV6, reason="no IPv6"))]
)
def test_one_address_is_heard_alone(host: str, opened: list[socket.socket]) -> None:
    opened += listen(host, 0)
    assert [each.getsockname()[0] for each in opened] == [host]


@pytest.mark.parametrize("host", ["", "localhost", "127.0.0.1"])
def test_a_port_that_is_taken_is_named(host: str, opened: list[socket.socket]) -> None:
    opened += listen(host, 0)
    port = opened[0].getsockname()[1]
    with pytest.raises(SettingsError, match=f"Port {port} is taken"):
        listen(host, port)


@pytest.mark.skipif(not HAS_IPV6, reason="no IPv6")
def test_localhost_is_refused_when_a_stranger_would_answer_on_ipv6(opened: list[socket.socket]) -> None:
    stranger = socket.create_server(("::1", 0), family=socket.AF_INET6)
    opened.append(stranger)
    with pytest.raises(SettingsError, match="is taken"):
        listen("localhost", stranger.getsockname()[1])


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(SettingsError, match=r"203\.0\.113\.7 is no address to listen on here"):
        listen("203.0.113.7", 0)
