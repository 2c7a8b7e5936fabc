"""The answering room with real parts around it: a database, the played Slack and OpenAI, no worker and no doors.

A test asks as a person would, claims the event by hand and hands the question to one service or, after a crash, to the
next one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from pydantic import SecretStr

from enablebot.api.answering.fence import Pulse
from enablebot.api.answering.model import Completed, Model, ModelEvent, ModelRequest, OpenAIModel, TextDelta
from enablebot.api.answering.service import AnsweringService
from enablebot.config.settings import ModelSettings
from enablebot.sandbox.config import SandboxConfig
from enablebot.sandbox.sandbox import Sandbox
from enablebot.sandbox.server import running
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.encryption.encryption import Place
from enablebot.shared.encryption.keyring import Keyring, generate_master_key
from enablebot.shared.errors import ModelError
from enablebot.shared.installations import Installations
from enablebot.shared.metrics import Metrics
from enablebot.shared.models.installation import OAuthGrant
from enablebot.shared.models.question import ChannelType, Outcome, Question
from enablebot.shared.sensitive import Sensitive
from enablebot.shared.slack.client import SlackClients
from enablebot.tests.database import VERSIONS, PostgresServers

TEAM = "T0SANDBOX1"
ADA, BEN = "U0ADA", "U0BEN"
GENERAL = "C0GENERAL"
SCALE = 0.02


@dataclass
class Room:
    """Everything a service needs, and what a test looks at."""

    sandbox: Sandbox
    database: Database
    admin: "asyncpg.Connection[asyncpg.Record]"
    installations: Installations
    slack: SlackClients
    tenant_id: UUID
    bot_user: str
    settings: ModelSettings
    metrics: Metrics = field(default_factory=Metrics)
    time_scale: float = SCALE
    _models: list[Model] = field(default_factory=list)

    async def fresh(self) -> "Room":
        """The same house for another test: nobody has asked anything, nothing goes wrong, nothing was called."""
        self.sandbox.faults.replace([])
        self.sandbox.ledger.forget()
        for table in ("replies", "answers", "messages", "conversations", "event_bodies", "inbox", "lanes"):
            await self.admin.execute(f"delete from enablebot.{table}")
        return replace(await self.fresh_slack(), metrics=Metrics(), _models=[])

    async def fresh_slack(self) -> "Room":
        """The same room as another process sees it: nothing is remembered of what Slack has limited."""
        slack = SlackClients(base_url=self.sandbox.base_url, timeout_seconds=5)
        await slack.open()
        return replace(self, slack=slack)

    async def leave(self) -> None:
        """Close what this room and its services opened."""
        for model in self._models:
            await model.aclose()
        await self.slack.aclose()

    def service(self, *, model: Model | None = None, pulse: Pulse | None = None) -> AnsweringService:
        """A service as a freshly started process would have it."""
        if model is None:
            model = OpenAIModel(self.settings)
            self._models.append(model)
        return AnsweringService(
            self.database,
            self.installations,
            self.slack,
            model,
            self.settings,
            self.metrics,
            time_scale=self.time_scale,
            pulse=pulse,
        )

    async def ask(
        self, text: str, *, channel: str = GENERAL, user: str = ADA, thread_ts: str | None = None
    ) -> Question:
        """Write as a person, and claim what they wrote; `channel="@bot"` is their direct messages."""
        ts = await self.sandbox.post(team=TEAM, channel=channel, user=user, text=text, thread_ts=thread_ts)
        is_direct = channel == "@bot"
        place = self.sandbox.world.direct_channel(TEAM, user).id if is_direct else channel
        return await self.accepted(
            text=text,
            channel=place,
            channel_type="im" if is_direct else "channel",
            ts=ts,
            user=user,
            thread_ts=thread_ts,
        )

    async def accepted(
        self, *, text: str, channel: str, channel_type: ChannelType, ts: str, user: str, thread_ts: str | None
    ) -> Question:
        """The question, stored as accepted and claimed."""
        route = await self.installations.route_of_tenant(self.tenant_id)
        event_key, root = f"Ev{uuid4().hex}", thread_ts or ts
        lane = f"{channel}:{root}"
        verdicts = await self.database.accept_events(
            tenant_ids=[self.tenant_id],
            event_keys=[event_key],
            message_keys=[f"{channel}:{ts}"],
            lanes=[lane],
            kinds=["message"],
            joins=[True],
            bodies=[route.key.seal(Place(self.tenant_id, "event_bodies", "body", event_key), b"{}")],
            data_key_ids=[route.key.id],
        )
        assert verdicts == ["accepted"]
        question = Question(
            tenant_id=self.tenant_id,
            event_id=0,
            claim_token=uuid4(),
            event_key=event_key,
            attempts=0,
            received_at=datetime.now(UTC),
            team_id=TEAM,
            channel=channel,
            channel_type=channel_type,
            ts=ts,
            thread_ts=root,
            lane=lane,
            asker=user,
            asker_team=TEAM,
            text=text.replace("@EnableBot ", ""),
            file_names=(),
            in_thread=thread_ts is not None,
            bot_user_id=self.bot_user,
            is_external=False,
            waited_seconds=0,
        )
        return await self.claimed(question)

    async def claimed(self, question: Question) -> Question:
        """The question under a fresh claim, as another worker takes it over once the lease ran out."""
        await self.admin.execute(
            "update enablebot.inbox set lease_until = now() - interval '1 second' where event_key = $1 "
            "and state = 'claimed'",
            question.event_key,
        )
        # What was lost twice comes back a little later; here, nobody waits for that.
        await self.database.claim_events(
            worker=uuid4().hex, after_tenant=None, limit=0, tenant_cap=100, lease_seconds=60
        )
        await self.admin.execute(
            "update enablebot.inbox set available_at = now() where event_key = $1 and state = 'ready'",
            question.event_key,
        )
        rows = await self.database.claim_events(
            worker=uuid4().hex, after_tenant=None, limit=1, tenant_cap=100, lease_seconds=60
        )
        assert [row.event_key for row in rows] == [question.event_key]
        row = rows[0]
        return replace(
            question,
            event_id=row.id,
            claim_token=row.claim_token,
            attempts=row.attempts,
            received_at=row.received_at,
            waited_seconds=row.waited_seconds,
        )

    def spoken(self, question: Question) -> list[dict[str, Any]]:
        """The bot's messages under a question, oldest first."""
        return [
            message
            for message in self.sandbox.messages(TEAM, question.channel, question.thread_ts)
            if message.get("bot_id") and not message.get("ephemeral_to")
        ]

    def the_answer(self, question: Question) -> str:
        """The text of the one message a person sees as the answer."""
        messages = self.spoken(question)
        assert len(messages) == 1, [message["text"] for message in messages]
        (message,) = messages
        assert message.get("streaming_state") in (None, "completed", "errored")
        return str(message["text"])

    def calls(self, method: str) -> int:
        """How often Slack was called by this method, refused calls included."""
        return sum(call.method == method for call in self.sandbox.ledger.calls)

    async def inbox(self, question: Question) -> tuple[str, str | None]:
        """State and outcome of the question's event."""
        row = await self.admin.fetchrow(
            "select state, outcome from enablebot.inbox where event_key = $1", question.event_key
        )
        assert row is not None
        return row["state"], row["outcome"]

    async def answer_row(self, question: Question) -> asyncpg.Record:
        """The answer as stored."""
        row = await self.admin.fetchrow("select * from enablebot.answers where event_id = $1", question.event_id)
        assert row is not None
        return row

    async def replies(self, question: Question) -> list[asyncpg.Record]:
        """The journal of the answer's messages."""
        return list(
            await self.admin.fetch(
                "select r.* from enablebot.replies r join enablebot.answers a on a.id = r.answer_id "
                "where a.event_id = $1 order by r.part",
                question.event_id,
            )
        )

    async def abandon_when(self, service: AnsweringService, question: Question, here: Callable[[], Any]) -> None:
        """Begin to answer, and vanish as a killed process does once `here()` is true."""
        answering = asyncio.create_task(service.answer(question))
        waiting = asyncio.create_task(self.sandbox.wait_for(here, timeout=20))
        await asyncio.wait({answering, waiting}, return_when=asyncio.FIRST_COMPLETED)
        assert not answering.done(), "the answer was finished before its process could die"
        answering.cancel()
        await asyncio.gather(answering, waiting, return_exceptions=True)


SETTLED = Outcome("settled")


@asynccontextmanager
async def opened_house(servers: PostgresServers) -> AsyncIterator[Room]:
    """A room for a whole module of tests, which start their turns with `fresh`: opening one takes longer than most."""
    server = servers.server(VERSIONS[0])
    with server.migrated() as name:
        transport = await PostgresTransport.connect(server.url(name, login="enablebot_test_api"))
        admin = await asyncpg.connect(server.url(name))
        try:
            async with opened_room(Database(transport), admin) as room:
                yield room
        finally:
            await admin.close()
            await transport.aclose()


class Recorded:
    """A model that says what it was told to say, and remembers what it was asked."""

    def __init__(
        self,
        *texts: str,
        delay: float = 0,
        ended: Completed | ModelError | None = None,
        failures: int = 0,
        held: asyncio.Event | None = None,
    ) -> None:
        self.pause_after_first: asyncio.Event | None = None
        self.held = held or asyncio.Event()
        if held is None:
            self.held.set()
        self.requests: list[ModelRequest] = []
        self.closed = 0
        self._texts = texts or ("Hello.",)
        self._delay = delay
        self._ended = ended or Completed("gpt-6-luna")
        self._failures = failures

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        self.requests.append(request)
        try:
            await self.held.wait()
            for text in self._texts:
                await asyncio.sleep(self._delay)
                yield TextDelta(text)
                if self.pause_after_first is not None:
                    await self.pause_after_first.wait()
            if len(self.requests) <= self._failures:
                raise ModelError("cut", reason="cut")
            if isinstance(self._ended, ModelError):
                raise self._ended
            yield self._ended
        finally:
            self.closed += 1

    async def ping(self) -> None:
        """Always there."""

    async def aclose(self) -> None:
        """Nothing to close."""


@asynccontextmanager
async def opened_room(
    database: Database,
    admin: "asyncpg.Connection[asyncpg.Record]",
    *,
    config: SandboxConfig | None = None,
    deadline_seconds: float = 10,
    api_key: str = "sk-test",
    timeout_seconds: float = 5,
) -> AsyncIterator[Room]:
    """A room with the app installed in one workspace."""
    # Nobody listens there: what the app would be told comes from the test instead.
    config = config or SandboxConfig(
        model_delay_ms=0, time_scale=0.001, stream_seconds=300_000, rate_limits=False, post_burst=1000
    )
    config = replace(config, events_url="http://127.0.0.1:9/", interactions_url="http://127.0.0.1:9/")
    async with running(config) as sandbox:
        installed = sandbox.install(TEAM)
        keyring = Keyring.parse(generate_master_key(datetime.now(UTC).date()))
        installations = Installations(database, keyring)
        tenant_id = await installations.save(
            OAuthGrant(
                app_id="A0SANDBOX",
                enterprise_id=None,
                enterprise_name=None,
                team_id=TEAM,
                team_name="Acme",
                is_org_wide=False,
                bot_user_id=installed.bot_user,
                bot_id=installed.bot_id,
                scopes=installed.scopes,
                bot_token=Sensitive(installed.token),
                refresh_token=None,
                expires_in=None,
                installed_by=ADA,
            ),
            audit_actor=ADA,
        )
        slack = SlackClients(base_url=sandbox.base_url, timeout_seconds=timeout_seconds)
        await slack.open()
        room = Room(
            sandbox=sandbox,
            database=database,
            admin=admin,
            installations=installations,
            slack=slack,
            tenant_id=tenant_id,
            bot_user=installed.bot_user,
            settings=ModelSettings(
                api_key=SecretStr(api_key), base_url=sandbox.openai_url, deadline_seconds=deadline_seconds
            ),
        )
        try:
            yield room
        finally:
            await room.leave()
