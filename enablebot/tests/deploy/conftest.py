"""A household as on a plain server: nginx in front of two api instances and one web."""

import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from enablebot.config.settings import load_settings
from enablebot.local.children import Child
from enablebot.local.household import Household, Ports, furnish
from enablebot.local.ports import free_port
from enablebot.local.sandbox_credentials import sandbox_credentials
from enablebot.local.story import Workspace
from enablebot.local.supervisor import Supervisor
from enablebot.tests.deploy.nginx import render
from enablebot.tests.faults.conftest import House

Play = Callable[[House], Coroutine[Any, Any, None]]
Run = Callable[[Play], Coroutine[Any, Any, None]]

# How long a stopped instance stays away before it is started again: long enough to ask in between.
AWAY_SECONDS = 4.0


@pytest.fixture
def behind_nginx(services_url: str, admin_url: str, tmp_path: Path) -> Run:
    """Run a play in a house whose every address is nginx's; the instances are `api-8001` and `api-8011`."""

    @asynccontextmanager
    async def house() -> AsyncIterator[House]:
        data_dir = tmp_path / "data"
        settings = load_settings(environ={"ENABLEBOT_DATA_DIR": str(data_dir)}, env_file=None, service="cli")
        fronts = Ports(api=free_port(), web=free_port(), sandbox=free_port())
        household = furnish(
            settings,
            environ=os.environ
            | {
                "WORKER_LEASE_SECONDS": "2",
                "LOG_FORMAT": "json",
                "ENVIRONMENT": "development",
                "TRUSTED_PROXY": "on",
            },
            database={"DATABASE_URL": services_url, "DATABASE_ADMIN_URL": admin_url},
            # Slack and people know nginx's addresses only.
            ports=fronts,
            credentials=sandbox_credentials(data_dir),
            sandbox_dir=data_dir / "sandbox",
            play_everything=True,
            model_delay_ms=40,
            time_scale=0.05,
        )
        household = put_nginx_in_front(household, fronts=fronts, prefix=tmp_path / "nginx")
        lines: list[str] = []
        supervisor = Supervisor(household.children, say=lines.append, first_pause=AWAY_SECONDS)
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


def put_nginx_in_front(household: Household, *, fronts: Ports, prefix: Path) -> Household:
    """Move the services to ports of their own, double the api, and let nginx have the addresses they had."""
    sandbox, api, web = household.children
    instances = {8001: free_port(), 8011: free_port(), 8000: free_port()}

    def moved(child: Child, *, name: str, wanted: int, variable: str) -> Child:
        port = str(instances[wanted])
        return replace(
            child,
            name=name,
            ready_url=f"http://127.0.0.1:{port}/ready",
            environ=dict(child.environ) | {variable: port},
        )

    nginx = render(prefix, api_front=fronts.api, web_front=fronts.web, instances=instances)
    return replace(
        household,
        children=(
            sandbox,
            moved(api, name="api-8001", wanted=8001, variable="API_PORT"),
            moved(api, name="api-8011", wanted=8011, variable="API_PORT"),
            moved(web, name="web", wanted=8000, variable="WEB_PORT"),
            Child("nginx", nginx.argv, f"http://127.0.0.1:{fronts.api}/ready", os.environ),
        ),
    )
