"""systemd's units and Caddy's file for a plain server."""

import re
import shlex
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

from enablebot.config.reference import SETTINGS_REFERENCE
from enablebot.scripts.serve import KEEP_ALIVE_SECONDS
from enablebot.tests.deploy.files import SERVER, insist_startable

KNOWN = {variable.name: variable for variable in SETTINGS_REFERENCE}
UNITS = ("enablebot-api@.service", "enablebot-web.service", "enablebot-migrate.service")
SERVICES = UNITS[:2]
PYTHON = "/opt/enablebot/.venv/bin/python"


def read_unit(name: str) -> RawConfigParser:
    unit = RawConfigParser(strict=False, delimiters="=")
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string((SERVER / name).read_text())
    return unit


@pytest.mark.parametrize("name", UNITS)
def test_each_unit_starts_what_exists(name: str) -> None:
    insist_startable(shlex.split(read_unit(name)["Service"]["ExecStart"]))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_has_nothing_to_say_against_a_unit(name: str, tmp_path: Path) -> None:
    for each in UNITS:
        # What is not installed here is not what is looked at.
        text = (SERVER / each).read_text().replace(PYTHON, sys.executable)
        (tmp_path / each).write_text(text.replace("=/opt/enablebot\n", f"={tmp_path}\n"))
    unit = tmp_path / name.replace("@", "@8001")
    if unit.name != name:
        unit.write_text((tmp_path / name).read_text())
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False, timeout=60
    )
    about_ours = [line for line in (said.stdout + said.stderr).splitlines() if "enablebot" in line]
    assert (said.returncode, about_ours) == (0, [])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_tries_again_for_ever_and_is_given_time_to_leave(name: str) -> None:
    unit = read_unit(name)
    assert unit["Service"]["Restart"] == "always"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert "Requires" not in unit["Unit"]
    assert float(unit["Service"]["TimeoutStopSec"]) > float(KNOWN["DRAIN_SECONDS"].default)


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_runs_as_a_user_who_may_write_nowhere(name: str) -> None:
    service = read_unit(name)["Service"]
    assert service["User"] == "enablebot"
    assert (service["NoNewPrivileges"], service["ProtectSystem"]) == ("yes", "strict")
    assert service["CapabilityBoundingSet"] == ""


def test_the_proxies_pass_to_the_ports_that_the_units_listen_on() -> None:
    nginx, caddy = (SERVER / "nginx.conf").read_text(), (SERVER / "Caddyfile").read_text()
    assert set(re.findall(r"server 127\.0\.0\.1:(\d+)", nginx)) == set(re.findall(r"127\.0\.0\.1:(\d+)", caddy))
    web = read_unit("enablebot-web.service")["Service"]["ExecStart"]
    assert "WEB_HOST=127.0.0.1 PORT=8000" in web
    assert "server 127.0.0.1:8000" in nginx
    assert "API_HOST=127.0.0.1 PORT=%i" in read_unit("enablebot-api@.service")["Service"]["ExecStart"]


def test_the_proxies_hang_up_before_the_services_do() -> None:
    nginx = re.findall(r"(?m)^ *keepalive_timeout (\d+)s;", (SERVER / "nginx.conf").read_text())
    caddy = re.findall(r"(?m)^\s*keepalive (\d+)s$", (SERVER / "Caddyfile").read_text())
    assert len(nginx + caddy) == 2
    assert max(map(int, nginx + caddy)) < KEEP_ALIVE_SECONDS


def test_caddy_answers_for_figures_before_any_proxy_is_asked() -> None:
    # `handle` blocks exclude each other, the narrower path first; a bare `respond` would come after them all.
    caddy = (SERVER / "Caddyfile").read_text()
    assert len(re.findall(r"handle /metrics \{\s+respond 404\s+\}", caddy)) == 2
    assert "respond /metrics" not in caddy


def test_the_handbook_names_every_file_that_it_hands_out() -> None:
    handbook = (SERVER.parent / "server.md").read_text()
    assert [path.name for path in SERVER.iterdir() if f"server/{path.name}" not in handbook] == []
