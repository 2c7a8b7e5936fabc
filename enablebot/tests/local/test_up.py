"""`up` and `demo` as a person runs them: in a process of their own, from an empty data directory."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from enablebot.local.ports import free_port
from enablebot.shared.database.embedded import EmbeddedPostgres

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

START_WITHIN_SECONDS = 60


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    """An environment in which nothing is configured but where to keep data and which ports to take."""
    kept = {
        name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")
    }
    root = Path(__file__).parents[3]
    return kept | {
        "PYTHONPATH": str(root),
        "ENABLEBOT_DATA_DIR": str(tmp_path / "data"),
        "API_PORT": str(free_port()),
        "WEB_PORT": str(free_port()),
        "PORT": "9",
    }


async def start_up(environ: Mapping[str, str], cwd: Path) -> Process:
    command = [sys.executable, "-m", "enablebot", "up", "--sandbox-port", str(free_port())]
    process = await asyncio.create_subprocess_exec(*command, env=environ, cwd=cwd, stdout=PIPE, stderr=STDOUT)
    assert process.stdout
    seen: list[str] = []
    async with asyncio.timeout(START_WITHIN_SECONDS):
        while line := (await process.stdout.readline()).decode():
            seen.append(line)
            if "EnableBot is ready." in line:
                return process
    raise AssertionError("up ended before it was ready:\n" + "".join(seen))


async def until_free(*ports: str) -> None:
    async with asyncio.timeout(30):
        for port in ports:
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", int(port))
                except OSError:
                    break
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
                await asyncio.sleep(0.05)


async def test_ctrl_c_stops_all_of_it_postgres_included(environ: Mapping[str, str], tmp_path: Path) -> None:
    process = await start_up(environ, tmp_path)
    postgres = EmbeddedPostgres(tmp_path / "data")
    assert postgres.postmaster_pid() is not None
    process.send_signal(signal.SIGINT)
    output, _ = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode == 0, output.decode()
    assert postgres.postmaster_pid() is None
    await until_free(environ["API_PORT"], environ["WEB_PORT"])


async def test_the_next_up_takes_over_what_a_killed_one_left(environ: Mapping[str, str], tmp_path: Path) -> None:
    killed = await start_up(environ, tmp_path)
    killed.kill()
    await killed.communicate()
    postgres = EmbeddedPostgres(tmp_path / "data")
    left = postgres.postmaster_pid()
    assert left is not None, "nothing was left to take over, so this proves nothing"
    await until_free(environ["API_PORT"], environ["WEB_PORT"])

    process = await start_up(environ, tmp_path)
    assert postgres.postmaster_pid() == left
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), 40)
    assert postgres.postmaster_pid() is None


async def test_the_demo_plays_to_its_end(environ: Mapping[str, str], tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "enablebot", "demo", env=environ, cwd=tmp_path, stdout=PIPE, stderr=STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, output.decode()
    assert "every act ended as it must" in output.decode()


async def test_a_taken_port_is_named_with_what_to_do(environ: Mapping[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", int(environ["API_PORT"]))):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "enablebot", "up", env=environ, cwd=tmp_path, stdout=PIPE, stderr=STDOUT
        )
        output, _ = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode == 1
    assert f"api wants port {environ['API_PORT']}" in output.decode()
