"""A whole api in this process, between the played Slack and OpenAI: for faults that need no process to die.

Everything is real but the two stand-ins; what a test orders from them strikes at a moment it chooses, and what the api
sent them can be counted to the call.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from enablebot.api.answering.model import Model
from enablebot.api.main import Api, create_app
from enablebot.config.settings import ModelSettings, WorkerSettings
from enablebot.sandbox.app import Sandbox, SandboxConfig
from enablebot.sandbox.ledger import RecordedCall
from enablebot.sandbox.server import running
from enablebot.shared.database.operations import Database
from enablebot.shared.sensitive import Sensitive
from enablebot.tests.api.serving import served, settings_for
from enablebot.tests.api.slack_side import grant
from enablebot.tests.faults.scale import FULL

ACME, GLOBEX = "T0SANDBOX1", "T0SANDBOX2"
PEOPLE = {ACME: ("U0ADA", "C0GENERAL"), GLOBEX: ("U1EVA", "C1GENERAL")}
SCALE = 0.02
# Long enough for any machine: a test that needs it is stuck.
PATIENCE_SECONDS = 300 if FULL else 90

QUICK = SandboxConfig(model_delay_ms=0, time_scale=SCALE, rate_limits=False, post_burst=1_000_000)


@dataclass(frozen=True)
class Asked:
    """A person's question where it stands."""

    team: str
    channel: str
    ts: str
    text: str
    root: str

    @property
    def lane(self) -> str:
        """The conversation it belongs to."""
        return f"{self.channel}:{self.root}"


def place_of(team: str) -> tuple[str, str]:
    """Somebody of a workspace and its first channel."""
    return PEOPLE.get(team) or (f"U0{team[2:]}A", f"C0{team[2:]}N0")


@dataclass
class Town:
    """A served api, the Slack it listens to, and the database behind it."""

    sandbox: Sandbox
    api: Api
    admin: "asyncpg.Connection[asyncpg.Record]"

    async def install(self, team: str) -> UUID:
        """Add the app to a workspace, as the consent page and web do together; returns its tenant."""
        installed = self.sandbox.install(team)
        return await self.api.services.installations.save(
            grant(
                team,
                bot_token=Sensitive(installed.token),
                bot_user_id=installed.bot_user,
                bot_id=installed.bot_id,
            ),
            audit_actor=installed.installer,
        )

    async def gather(self, workspaces: int) -> list[str]:
        """Make more workspaces with the app in each; returns their ids."""
        made = [install["team"] for install in self.sandbox.crowd.gather(workspaces=workspaces, channels=1)]
        for team in made:
            await self.install(team)
        return made

    async def ask(self, text: str, *, team: str = ACME, direct: bool = False, thread_ts: str | None = None) -> Asked:
        """Ask in a thread of the workspace's first channel, a new one unless told, or in the asker's own messages."""
        person, general = place_of(team)
        channel = self.sandbox.world.direct_channel(team, person).id if direct else general
        said = text if direct else f"@EnableBot {text}"
        ts = await self.sandbox.post(team=team, channel=channel, user=person, text=said, thread_ts=thread_ts)
        return Asked(team, channel, ts, text, thread_ts or ts)

    async def talk(self, text: str, *, team: str = ACME) -> str:
        """Say something that is none of the bot's business; returns its `ts`."""
        person, channel = place_of(team)
        return await self.sandbox.post(team=team, channel=channel, user=person, text=text)

    def spoken(self, asked: Asked) -> list[dict[str, Any]]:
        """The bot's messages under a question, oldest first."""
        found = self.sandbox.messages(asked.team, asked.channel, asked.root)
        return [message for message in found if message.get("bot_id") and not message.get("ephemeral_to")]

    def the_answer(self, asked: Asked) -> str:
        """The text of the one message under a question."""
        messages = self.spoken(asked)
        assert len(messages) == 1, (asked, [message["text"] for message in messages])
        assert messages[0].get("streaming_state") in (None, "completed"), messages[0]
        return str(messages[0]["text"])

    def calls(self, method: str, *, team: str | None = None) -> list[RecordedCall]:
        """Slack's record of the calls of a method, refused ones included."""
        return self.sandbox.ledger.calls_of(method, team=team)

    def asked_model(self, asked: Asked) -> int:
        """How often the model's server was sent this question."""
        return sum(asked.text in str(body["input"][-1]) for _, body in self.sandbox.desk.asked)

    async def waiting(self) -> int:
        """How many accepted events have not ended yet."""
        states = "('ready', 'queued', 'claimed')"
        return int(await self.admin.fetchval(f"select count(*) from enablebot.inbox where state in {states}"))

    async def quiet(self, *, within: float = PATIENCE_SECONDS) -> None:
        """Wait until everything was delivered, handled and settled."""
        async with asyncio.timeout(within):
            while True:
                await self.sandbox.settled()
                if not await self.waiting():
                    break
                await asyncio.sleep(0.02)
        await self.sandbox.settled()

    async def ended(self, asked: Asked, *, within: float = PATIENCE_SECONDS) -> tuple[str, str | None]:
        """Wait until a question's answer has ended; its state and reason."""
        async with asyncio.timeout(within):
            while True:
                row = await self.admin.fetchrow(
                    "select state, reason from enablebot.answers where question_ts = $1 and channel = $2 "
                    "and state <> 'open'",
                    asked.ts,
                    asked.channel,
                )
                if row is not None:
                    return row["state"], row["reason"]
                await asyncio.sleep(0.01)


@asynccontextmanager
async def opened_town(
    database: Database,
    admin: "asyncpg.Connection[asyncpg.Record]",
    *,
    config: SandboxConfig = QUICK,
    deadline_seconds: float = 60,
    worker: WorkerSettings | None = None,
    model: Model | None = None,
    install: tuple[str, ...] = (ACME,),
) -> AsyncIterator[Town]:
    """A town with the app in these workspaces."""
    async with (
        running(config) as sandbox,
        opened_api(sandbox, database, deadline_seconds=deadline_seconds, worker=worker, model=model) as api,
    ):
        town = Town(sandbox, api, admin)
        for team in install:
            await town.install(team)
        yield town


@asynccontextmanager
async def opened_api(
    sandbox: Sandbox,
    database: Database,
    *,
    deadline_seconds: float = 60,
    worker: WorkerSettings | None = None,
    model: Model | None = None,
) -> AsyncIterator[Api]:
    """An api that the sandbox's events reach from now on."""
    settings = settings_for(sandbox, secrets=(sandbox.config.signing_secret,))
    asks = ModelSettings(
        api_key=settings.model.api_key, base_url=settings.model.base_url, deadline_seconds=deadline_seconds
    )
    works = worker or WorkerSettings(time_scale=SCALE, drain_seconds=4)
    api = create_app(settings.model_copy(update={"model": asks, "worker": works}), database=database, model=model)
    async with served(api) as url:
        sandbox.config_urls(events_url=f"{url}/slack/events", interactions_url=f"{url}/slack/interactions")
        yield api
