"""The chooser of Railway's one start command, and Docker's question whether a service is alive."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from enablebot.scripts.check_health import main as check_health
from enablebot.scripts.start import choose_service
from enablebot.shared.errors import SettingsError
from enablebot.tests.deploy.files import ROOT


@pytest.mark.parametrize(
    ("name", "service"),
    [("api", "api"), ("web", "web"), ("enablebot-api", "api"), ("EnableBot Web", "web"), ("web_staging", "web")],
)
def test_the_service_is_named_by_a_word_of_its_name(name: str, service: str) -> None:
    assert choose_service({"RAILWAY_SERVICE_NAME": name}) == service


@pytest.mark.parametrize("name", ["enablebot", "webhook", "rapid", "api-and-web"])
def test_a_name_that_does_not_say_which_is_refused_whatever_the_default(name: str) -> None:
    with pytest.raises(SettingsError, match=r"RAILWAY_SERVICE_NAME says .*Rename the service"):
        choose_service({"RAILWAY_SERVICE_NAME": name}, default="web")


def test_the_default_is_for_platforms_that_name_no_service() -> None:
    assert choose_service({}, default="web") == "web"
    assert choose_service({"RAILWAY_SERVICE_NAME": "api"}, default="web") == "api"
    with pytest.raises(SettingsError, match="RAILWAY_SERVICE_NAME is missing"):
        choose_service({})


@pytest.mark.parametrize(
    ("name", "missing", "not_asked"),
    [("api", "SLACK_SIGNING_SECRET", "SESSION_SECRET"), ("web", "SESSION_SECRET", "SLACK_SIGNING_SECRET")],
)
def test_the_start_command_starts_the_service_that_was_named(name: str, missing: str, not_asked: str) -> None:
    said = start(RAILWAY_SERVICE_NAME=name, ENVIRONMENT="production")
    # Each service asks for its own settings, which tells whose start this was.
    assert f"{missing} is missing" in said.stderr
    assert f"{not_asked} is missing" not in said.stderr
    assert said.returncode == 1


def test_a_start_that_cannot_choose_says_so_in_plain_words() -> None:
    said = start(RAILWAY_SERVICE_NAME="enablebot")
    assert said.returncode == 1
    assert "start_api" in said.stderr
    assert "Traceback" not in said.stderr


def start(**environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "enablebot.scripts.start"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Alive(BaseHTTPRequestHandler):
    """A service that is alive and not ready, which is no reason to end it."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing: the test's outcome says it."""


@pytest.fixture
def port() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Alive) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield str(server.server_port)
        server.shutdown()
        thread.join()


def test_a_service_that_answers_is_healthy_at_the_port_it_obeys(port: str) -> None:
    assert check_health([port], {}) == 0
    assert check_health([port], {"PORT": ""}) == 0
    assert check_health(["1"], {"PORT": port}) == 0


def test_a_service_that_does_not_answer_is_not_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_health(["1"], {}) == 1
    assert "http://127.0.0.1:1/health" in capsys.readouterr().err
    assert check_health([], {}) == 2
