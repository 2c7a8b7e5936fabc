"""A whole household for tests that kill: real processes on free ports, on this test's own database."""

import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from enablebot.config.settings import load_settings
from enablebot.local.household import Household, Ports, furnish
from enablebot.local.ports import free_port
from enablebot.local.sandbox_credentials import sandbox_credentials
from enablebot.local.story import Workspace
from enablebot.local.supervisor import Supervisor
from enablebot.local.visitor import Visitor


@dataclass
class House:
    """What a test holds on to while everything runs."""

    household: Household
    supervisor: Supervisor
    workspace: Workspace
    admin_url: str
    lines: list[str]

    def pid(self, name: str) -> int:
        """The process id of a running child."""
        found = next(child.pid for child in self.supervisor.running if child.child.name == name)
        assert found is not None, f"{name} is not running"
        return found

    async def inbox_depth(self) -> dict[str, int]:
        """How many events are in each state that still asks for work, as the database has it."""
        connection = await asyncpg.connect(self.admin_url)
        try:
            depth: dict[str, int] = json.loads(await connection.fetchval("select enablebot.get_inbox_depth()"))
        finally:
            await connection.close()
        return {state: depth[state] for state in ("ready", "queued", "claimed")}

    async def install(self) -> None:
        """Ada adds the app to Acme, through the browser's pages."""
        async with Visitor() as ada:
            dashboard = await ada.press(await ada.open(f"{self.household.web_url}/slack/install"), "Allow")
            assert dashboard.url.endswith("/dashboard"), dashboard.url


Play = Callable[[House], Coroutine[Any, Any, None]]
Run = Callable[[Play], Coroutine[Any, Any, None]]


@pytest.fixture
def in_a_house(services_url: str, admin_url: str, tmp_path: Path) -> Run:
    """Run a play in a house; short leases, so that a dead worker's events return within the test."""

    @asynccontextmanager
    async def house() -> AsyncIterator[House]:
        data_dir = tmp_path / "data"
        settings = load_settings(environ={"ENABLEBOT_DATA_DIR": str(data_dir)}, env_file=None, service="cli")
        household = furnish(
            settings,
            environ=os.environ | {"WORKER_LEASE_SECONDS": "2", "LOG_FORMAT": "json", "ENVIRONMENT": "development"},
            database={"DATABASE_URL": services_url, "DATABASE_ADMIN_URL": admin_url},
            ports=Ports(api=free_port(), web=free_port(), sandbox=free_port()),
            credentials=sandbox_credentials(data_dir),
            sandbox_dir=data_dir / "sandbox",
            play_everything=True,
            model_delay_ms=40,
            time_scale=0.05,
        )
        lines: list[str] = []
        supervisor = Supervisor(household.children, say=lines.append, first_pause=0.1)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
            assert household.sandbox_url
            yield House(household, supervisor, Workspace(household.sandbox_url, session), admin_url, lines)

    async def run(play: Play) -> None:
        async with house() as here:
            try:
                await here.supervisor.run(then=lambda: play(here))
            except BaseException:
                print("\n".join(here.lines[-200:]))
                raise

    return run
