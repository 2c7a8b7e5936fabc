"""A whole household for tests: real processes on free ports, restarted when they die, on a database of its own."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from enablebot.config.settings import load_settings
from enablebot.local.children import Child, Patience, RunningChild
from enablebot.local.household import Household, Ports, furnish
from enablebot.local.ports import free_port
from enablebot.local.sandbox_credentials import sandbox_credentials
from enablebot.local.story import Workspace
from enablebot.local.supervisor import Supervisor
from enablebot.local.visitor import Visitor
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.encryption.keyring import Keyring
from enablebot.shared.installations import Installations
from enablebot.shared.models.installation import OAuthGrant
from enablebot.shared.sensitive import Sensitive

Rearrange = Callable[[Household], Household]
# A supervisor that never despairs: what dies here was killed on purpose.
UNDAUNTED = Patience(first_pause=0.1, longest_pause=0.1, deaths_that_count_as_broken=1_000_000)


@dataclass(frozen=True)
class Plan:
    """What a house is made of.

    `apis` is how many instances of the api there are; above one they are called api-1, api-2 …, and Slack posts to
    them in turn. Without `has_web` people cannot install by the browser, see `House.gather`. Leases are short, so that
    a dead worker's events return within the test. `sandbox_flags` are options of `python -m enablebot.sandbox`;
    `in_memory` keeps its world out of files, which it would write at every pause of a busy talk.
    """

    apis: int = 1
    has_web: bool = True
    environ: Mapping[str, str] = field(default_factory=dict)
    sandbox_flags: tuple[str, ...] = ()
    in_memory: bool = False
    model_delay_ms: int = 40
    time_scale: float = 0.05
    lease_seconds: int = 2
    patience: Patience = UNDAUNTED


USUAL = Plan()
# For load: an instant model, no rate limits (a load is no misbehaviour), a ledger that forgets nothing, no files.
BUSY = Plan(
    apis=2,
    has_web=False,
    in_memory=True,
    model_delay_ms=0,
    # Slack sends again at once, after 0.3 s and after 1.5 s; a stream lives for 15, in the scale of the worker.
    time_scale=0.005,
    lease_seconds=3,
    environ={"WORKER_TIME_SCALE": "0.05"},
    sandbox_flags=("--without-rate-limits", "--kept", "1000000", "--stream-seconds", "3000"),
)


@dataclass
class House:
    """What a test holds on to while everything runs."""

    household: Household
    supervisor: Supervisor
    workspace: Workspace
    services_url: str
    admin_url: str
    data_dir: Path
    http: aiohttp.ClientSession
    lines: list[str]

    @property
    def apis(self) -> list[str]:
        """The names of the api's instances."""
        return [child.child.name for child in self.supervisor.running if child.child.name.startswith("api")]

    def pid(self, name: str) -> int:
        """The process id of a running child."""
        pid = self.running(name).pid
        assert pid is not None, f"{name} is not running"
        return pid

    def running(self, name: str) -> RunningChild:
        """The keeper of a child: its `pid`, None while it is down, and how often it was started."""
        return next(child for child in self.supervisor.running if child.child.name == name)

    async def until_ready(self, name: str, *, within: float = 30) -> float:
        """Wait until a child answers on its readiness page; returns the seconds it took."""
        began = time.monotonic()
        async with asyncio.timeout(within):
            while not await self.is_ready(name):
                await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def is_ready(self, name: str) -> bool:
        """Whether a child answers 200 on its readiness page at this moment."""
        try:
            async with self.http.get(self.running(name).child.ready_url) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

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

    async def gather(self, *, workspaces: int, channels: int = 3) -> list[str]:
        """Make workspaces in Slack and install the app into each, as the web service would; returns their teams."""
        made = await self.control("crowd", workspaces=workspaces, channels=channels)
        settings = load_settings(environ={"ENABLEBOT_DATA_DIR": str(self.data_dir)}, env_file=None)
        assert settings.encryption.keys is not None
        transport = await PostgresTransport.connect(self.services_url)
        try:
            keyring = Keyring.parse(settings.encryption.keys.get_secret_value())
            installations = Installations(Database(transport), keyring)
            for installed in made["installs"]:
                await installations.save(_grant(installed), audit_actor=installed["installer"])
        finally:
            await transport.aclose()
        return [installed["team"] for installed in made["installs"]]

    async def control(self, action: str, /, **given: Any) -> dict[str, Any]:
        """Do something with the sandbox, by its control API."""
        async with self.http.post(f"{self.household.sandbox_url}/sandbox/api/{action}", json=given) as response:
            return await _taken(response)

    async def look(self, at: str) -> dict[str, Any]:
        """Read something from the sandbox, by its control API."""
        async with self.http.get(f"{self.household.sandbox_url}/sandbox/api/{at}") as response:
            return await _taken(response)


Play = Callable[[House], Coroutine[Any, Any, None]]


async def run(
    play: Play,
    *,
    plan: Plan,
    services_url: str,
    admin_url: str,
    data_dir: Path,
    rearrange: Rearrange = lambda household: household,
    at_owners: Callable[[str], str] = lambda url: url,
) -> None:
    """Start a house, play in it, and stop it; on failure its last lines are printed.

    `rearrange` changes the household before it starts; `at_owners` the URL under which the test itself reaches the
    database, where the services' one leads through a proxy.
    """
    async with _built(plan, services_url, admin_url, data_dir, rearrange, at_owners) as house:
        try:
            await house.supervisor.run(then=lambda: play(house))
        except BaseException:
            print("\n".join(house.lines[-200:]))
            raise


@asynccontextmanager
async def _built(
    plan: Plan,
    services_url: str,
    admin_url: str,
    data_dir: Path,
    rearrange: Rearrange,
    at_owners: Callable[[str], str],
) -> AsyncIterator[House]:
    settings = load_settings(environ={"ENABLEBOT_DATA_DIR": str(data_dir)}, env_file=None, service="cli")
    ports = Ports(api=free_port(), web=free_port(), sandbox=free_port())
    instances = [ports.api, *(free_port() for _ in range(plan.apis - 1))]
    flags = list(plan.sandbox_flags)
    for port in instances[1:]:
        flags += ["--events-url", f"http://localhost:{port}/slack/events"]
        flags += ["--interactions-url", f"http://localhost:{port}/slack/interactions"]
    household = furnish(
        settings,
        environ=os.environ
        | {"WORKER_LEASE_SECONDS": str(plan.lease_seconds), "LOG_FORMAT": "json", "ENVIRONMENT": "development"}
        | dict(plan.environ),
        database={"DATABASE_URL": services_url, "DATABASE_ADMIN_URL": admin_url},
        ports=ports,
        credentials=sandbox_credentials(data_dir),
        sandbox_dir=None if plan.in_memory else data_dir / "sandbox",
        play_everything=True,
        model_delay_ms=plan.model_delay_ms,
        time_scale=plan.time_scale,
        sandbox_flags=flags,
    )
    household = rearrange(_with_instances(household, instances, has_web=plan.has_web))
    lines: list[str] = []
    supervisor = Supervisor(household.children, say=lines.append, patience=plan.patience)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        assert household.sandbox_url
        yield House(
            household=household,
            supervisor=supervisor,
            workspace=Workspace(household.sandbox_url, session),
            services_url=at_owners(services_url),
            admin_url=admin_url,
            data_dir=data_dir,
            http=session,
            lines=lines,
        )


def _with_instances(household: Household, instances: list[int], *, has_web: bool) -> Household:
    sandbox, api, web = household.children
    apis = [api] if len(instances) == 1 else [_instance(api, f"api-{n}", port) for n, port in enumerate(instances, 1)]
    return replace(household, children=(sandbox, *apis, *([web] if has_web else [])))


def _instance(api: Child, name: str, port: int) -> Child:
    return replace(
        api,
        name=name,
        ready_url=f"http://localhost:{port}/ready",
        environ=dict(api.environ) | {"API_PORT": str(port)},
    )


def _grant(installed: Mapping[str, Any]) -> OAuthGrant:
    return OAuthGrant(
        app_id=installed["app_id"],
        enterprise_id=None,
        enterprise_name=None,
        team_id=installed["team"],
        team_name=installed["name"],
        is_org_wide=False,
        bot_user_id=installed["bot_user"],
        bot_id=installed["bot_id"],
        scopes=tuple(installed["scopes"]),
        bot_token=Sensitive(installed["token"]),
        refresh_token=None,
        expires_in=None,
        installed_by=installed["installer"],
    )


async def _taken(response: aiohttp.ClientResponse) -> dict[str, Any]:
    body: dict[str, Any] = await response.json(content_type=None)
    assert response.status == 200, f"the sandbox answered {response.status} to {response.url.path}: {body}"
    return body
