"""Who takes part: EnableBot's api as it is started, and its peers, each a process with a port of its own."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.accepting.signed import PATH, SIGNING_SECRET, TEAMS, bot_of
from enablebot.local.ports import free_port
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.encryption.keyring import Keyring, generate_master_key
from enablebot.shared.installations import Installations
from enablebot.shared.models.installation import REQUIRED_SCOPES, OAuthGrant
from enablebot.shared.sensitive import Sensitive

MASTER_KEY = generate_master_key(datetime(2026, 1, 1, tzinfo=UTC).date())


@dataclass(frozen=True)
class Contestant:
    """A process that takes Slack's requests."""

    name: str
    pid: int
    port: int

    @property
    def url(self) -> str:
        """Where events go."""
        return f"http://127.0.0.1:{self.port}{PATH}"

    @property
    def resident_megabytes(self) -> float:
        """VmRSS."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


@contextmanager
def peer(name: str, kind: str, *, database_url: str = "", slack_url: str = "") -> Iterator[Contestant]:
    """One of the peers of `peer.py`."""
    port = free_port()
    command = ["benchmarks.accepting.peer", kind, "--port", str(port)]
    command += ["--database-url", database_url, "--slack-url", slack_url]
    with _running(name, command, port, environ=os.environ) as contestant:
        yield contestant


@contextmanager
def enablebot(name: str, *, slack_url: str, database: Mapping[str, str]) -> Iterator[Contestant]:
    """The api, started as it always is; `database` holds the settings that say where it is."""
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "PYTHONPATH"}}
    environ = {
        **kept,
        "ENVIRONMENT": "test",
        "ENCRYPTION_KEYS": MASTER_KEY,
        "SLACK_SIGNING_SECRET": SIGNING_SECRET,
        "SLACK_BASE_URL": slack_url,
        "OPENAI_API_KEY": "sk-benchmark",
        "OPENAI_BASE_URL": f"{slack_url}/v1",
        "API_HOST": "127.0.0.1",
        "API_PORT": str(port),
        "DRAIN_SECONDS": "2",
        "LOG_LEVEL": "CRITICAL",
        **database,
    }
    with _running(name, ["enablebot.scripts.start_api"], port, environ=environ) as contestant:
        yield contestant


async def install_everywhere(database_url: str) -> None:
    """Install EnableBot into every workspace that the requests come from."""
    transport = await PostgresTransport.connect(database_url)
    try:
        installations = Installations(Database(transport), Keyring.parse(MASTER_KEY))
        for team in TEAMS:
            await installations.save(_grant(team), audit_actor="U0INSTALLER")
    finally:
        await transport.aclose()


def _grant(team: str) -> OAuthGrant:
    return OAuthGrant(
        app_id="A0BENCHMARK",
        enterprise_id=None,
        enterprise_name=None,
        team_id=team,
        team_name=team,
        is_org_wide=False,
        bot_user_id=bot_of(team),
        bot_id=f"B{team}",
        scopes=REQUIRED_SCOPES,
        bot_token=Sensitive(f"xoxb-{team}"),
        refresh_token=None,
        expires_in=None,
        installed_by="U0INSTALLER",
    )


@contextmanager
def _running(name: str, module: list[str], port: int, *, environ: Mapping[str, str]) -> Iterator[Contestant]:
    process = subprocess.Popen([sys.executable, "-m", *module], env=dict(environ), stdout=subprocess.DEVNULL)
    try:
        _wait_until_up(name, process, port)
        yield Contestant(name, process.pid, port)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_up(name: str, process: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if process.poll() is not None:
            sys.exit(f"{name} did not start: it ended with {process.returncode}. What it said stands above.")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5)
        except urllib.error.HTTPError as answer:
            # A peer has no such page, and answers all the same.
            if answer.code < 500:
                return
        except OSError:
            pass
        else:
            return
        time.sleep(0.1)
    sys.exit(f"{name} was not ready within 30 s.")
