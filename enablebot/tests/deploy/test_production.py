"""The services as an image holds them: only the files it copies, production's settings, and nothing written."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from httpx2 import Client, ConnectError

from enablebot.local.ports import free_port
from enablebot.shared.encryption.keyring import generate_master_key
from enablebot.tests.deploy.files import ROOT

pytestmark = pytest.mark.slow

START_WITHIN_SECONDS = 60
SETTINGS = {
    "ENVIRONMENT": "production",
    "LOG_FORMAT": "json",
    "TRUSTED_PROXY": "on",
    "API_PUBLIC_URL": "https://api.example.com",
    "WEB_PUBLIC_URL": "https://web.example.com",
    "SESSION_SECRET": "qT3vN8mZx1Lr6Wc9Ks4Bd7Fh2Jp5Gy0U",
    "SLACK_CLIENT_ID": "1234567890.0987654321",
    "SLACK_CLIENT_SECRET": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "SLACK_SIGNING_SECRET": "1f2e3d4c5b6a79880897a6b5c4d3e2f1",
    "OPENAI_API_KEY": "sk-made-up-for-a-start-without-calls",
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What .dockerignore lets through, in a directory of its own."""
    left_out = [
        line.removeprefix("**/").removeprefix("enablebot/")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith(("enablebot/", "**/"))
    ]
    assert set(left_out) == {"tests", "sandbox", "__pycache__", "*.pyc"}
    directory = tmp_path_factory.mktemp("image")
    shutil.copytree(ROOT / "enablebot", directory / "enablebot", ignore=shutil.ignore_patterns(*left_out))
    return directory


@pytest.fixture
def environ(services_url: str, image: Path) -> dict[str, str]:
    made = SETTINGS | {"DATABASE_URL": services_url, "ENCRYPTION_KEYS": generate_master_key(date(2026, 11, 22))}
    return made | {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "PORT": str(free_port())}


def files(directory: Path) -> set[Path]:
    return {path.relative_to(directory) for path in directory.rglob("*")}


@pytest.fixture
def started(request: pytest.FixtureRequest, image: Path, environ: dict[str, str]) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-m", f"enablebot.scripts.start_{request.param}"]
    process = subprocess.Popen(
        command, cwd=image, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def until_ready(process: "subprocess.Popen[str]", http: Client) -> None:
    deadline = time.monotonic() + START_WITHIN_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        try:
            if http.get("/ready").status_code == 200:
                return
        except ConnectError:
            pass
        time.sleep(0.05)
    raise AssertionError("not ready in time")


@pytest.mark.parametrize("started", ["api", "web"], indirect=True)
def test_a_service_runs_from_what_the_image_holds(
    started: "subprocess.Popen[str]", image: Path, environ: dict[str, str]
) -> None:
    before = files(image)
    with Client(base_url=f"http://127.0.0.1:{environ['PORT']}") as http:
        until_ready(started, http)
        asked = subprocess.run(
            [sys.executable, "-m", "enablebot.scripts.check_health", "1"], cwd=image, env=environ, check=False
        )
        assert asked.returncode == 0
        assert http.get("/metrics").status_code in {401, 403, 404}
        if socket.has_dualstack_ipv6():
            # Railway's older private networks are IPv6 only.
            assert http.get(f"http://[::1]:{environ['PORT']}/health").status_code == 200
    started.send_signal(signal.SIGTERM)
    said, _ = started.communicate(timeout=60)
    assert started.returncode == 0, said
    assert files(image) == before


def test_the_schema_can_be_migrated_from_what_the_image_holds(
    image: Path, environ: dict[str, str], admin_url: str
) -> None:
    migrated = subprocess.run(
        [sys.executable, "-m", "enablebot", "migrate"],
        cwd=image,
        env=environ | {"DATABASE_ADMIN_URL": admin_url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert migrated.returncode == 0, migrated.stderr
    assert "up to date" in migrated.stdout
