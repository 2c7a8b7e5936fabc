"""A workshop for tests that kill and freeze workers: Slack and the model are played in this process, the api is real.

So a test can hold, withhold and count whatever it likes around the processes it kills, and nothing inside them is
prepared for it. Workers are stopped at a chosen step from outside: by the database (triggers of this test's own
database that wait for an advisory lock), by Slack (a call that hangs) or by the model (slow words).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from enablebot.sandbox.config import SandboxConfig
from enablebot.sandbox.ledger import Violation
from enablebot.sandbox.sandbox import Sandbox
from enablebot.sandbox.server import running
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.encryption.keyring import Keyring, generate_master_key
from enablebot.shared.installations import Installations
from enablebot.shared.models.installation import OAuthGrant
from enablebot.shared.sensitive import Sensitive
from enablebot.tests.database import VERSIONS, PostgresServers
from enablebot.tests.faults.instance import PATIENCE_SECONDS, Instance
from enablebot.tests.sandbox.openai_door import Door, open_door

SCALE = 0.02
TEAM, CHANNEL, ADA = "T0SANDBOX1", "C0GENERAL", "U0ADA"
LEASE_SECONDS = 60
# The longest a worker may take to come to a step that it is held at; its lease must last longer than that.
REACHED_WITHIN_SECONDS = 40.0

# Where the database can be told to hold a worker: name -> (key of the advisory lock, trigger).
_GATES = {
    "open_answer": "before insert on enablebot.conversations for each row",
    "save_draft": "before update on enablebot.answers for each row when (old.text is null and new.text is not null)",
    "intend_reply": "before insert on enablebot.replies for each row",
    "record_reply": "before update on enablebot.replies for each row when (new.recorded_at is not null)",
    "finish_answer": "before insert on enablebot.messages for each row when (new.role = 'assistant')",
}
_FIRST_KEY = 826100
_HOLD = """
create function public.hold_back() returns trigger language plpgsql as $$
begin
  perform pg_catalog.pg_advisory_xact_lock_shared(tg_argv[0]::bigint);
  return new;
end
$$
"""


@dataclass(frozen=True)
class Asked:
    """A question as the person sees it; `mark` is a word of it that no other question has."""

    mark: str
    channel: str
    ts: str

    @property
    def lane(self) -> str:
        return f"{self.channel}:{self.ts}"


@dataclass
class Workshop:
    """What a test holds on to."""

    sandbox: Sandbox
    model: Door
    instances: list[Instance]
    services_url: str
    database: Database
    admin: "asyncpg.Connection[asyncpg.Record]"
    # Whether Slack keeps to itself what the bot has posted: no echo of it reaches the app.
    withheld: bool = False
    _asked: int = 0

    async def tidy(self) -> None:
        """Nothing goes wrong any more, every process runs, and nothing was counted yet."""
        self.sandbox.faults.replace([])
        self.sandbox.ledger.forget()
        self.model.faults.replace([])
        self.model.desk.pace = 0.0
        self.model.desk.asked.clear()
        self.withheld = False
        for instance in self.instances:
            instance.lines.clear()
            if instance.is_running:
                instance.thaw()
            else:
                await instance.start()
        await asyncio.gather(*(instance.ready() for instance in self.instances))
        self.listen_to(self.instances[0])

    def tell(self) -> None:
        """Print what the processes have said last: shown when the test fails."""
        for number, instance in enumerate(self.instances):
            print(f"--- instance {number} (process {instance.pid})", *instance.lines[-80:], sep="\n")

    async def ask(self, text: str, *, channel: str = CHANNEL) -> Asked:
        """Ada asks; `@bot` is her direct messages with the bot."""
        self._asked += 1
        mark = f"question-{self._asked}"
        said = f"{mark} {text}"
        ts = await self.sandbox.post(
            team=TEAM, channel=channel, user=ADA, text=said if channel == "@bot" else f"@EnableBot {said}"
        )
        place = self.sandbox.world.direct_channel(TEAM, ADA).id if channel == "@bot" else channel
        return Asked(mark, place, ts)

    async def said_without_faults(self, text: str) -> str:
        """What the bot says to this when nothing goes wrong; the same every time."""
        asked = await self.ask(text)
        await self.until_over([asked])
        (message,) = self.shown(asked)
        return str(message["text"])

    def listen_to(self, instance: Instance) -> None:
        """Have Slack send its events there."""
        self.sandbox.config_urls(
            events_url=f"{instance.url}/slack/events", interactions_url=f"{instance.url}/slack/interactions"
        )

    def shown(self, asked: Asked) -> list[dict[str, Any]]:
        """The bot's messages under a question."""
        return [
            message
            for message in self.sandbox.messages(TEAM, asked.channel, asked.ts)
            if message.get("bot_id") and not message.get("ephemeral_to")
        ]

    def is_working(self, asked: Asked) -> bool:
        """Whether the thread still shows the bot as at work."""
        session = self.sandbox.sessions.find(asked.channel, asked.ts)
        return session is not None and session.status == "processing"

    def broken_rules(self) -> list[Violation]:
        """What no Slack would have taken; that a frozen process acknowledges late is the test's doing."""
        return [one for one in self.sandbox.ledger.violations if one.kind != "late_acknowledgement"]

    def model_calls(self, asked: Asked) -> int:
        """How often the model was asked this question."""
        return sum(f"{asked.mark} " in str(body) for _, body in self.model.desk.asked)

    async def events(self, asked: Sequence[Asked]) -> dict[str, asyncpg.Record]:
        """The questions' events and answers as stored, by their mark."""
        rows = await self.admin.fetch(
            "select i.*, a.id as answer_id, a.state as answer_state, a.reason as answer_reason from enablebot.inbox i "
            "left join enablebot.answers a on a.tenant_id = i.tenant_id and a.event_id = i.id "
            "where i.lane = any ($1) and i.kind in ('mention', 'message')",
            [one.lane for one in asked],
        )
        found = {row["lane"]: row for row in rows}
        return {one.mark: found[one.lane] for one in asked if one.lane in found}

    async def until_over(self, asked: Sequence[Asked]) -> dict[str, asyncpg.Record]:
        """Wait until nothing more will be done for these questions."""
        over: dict[str, asyncpg.Record] = {}

        async def is_over() -> bool:
            await self.hurry(asked)
            over.update(await self.events(asked))
            return len(over) == len(asked) and all(row["state"] in ("done", "set_aside") for row in over.values())

        await self.until(is_over)
        return over

    async def claimed_by(self, instance: Instance, asked: Sequence[Asked]) -> set[str]:
        """The marks of the questions this process holds."""
        rows = await self.events(asked)
        return {
            mark
            for mark, row in rows.items()
            if row["state"] == "claimed" and row["claimed_by"].split(":")[1] == str(instance.pid)
        }

    @asynccontextmanager
    async def held(self, *gates: str) -> AsyncIterator[None]:
        """Hold every statement that comes to one of these gates until left."""
        keys = [_key(gate) for gate in gates]
        for key in keys:
            await self.admin.execute("select pg_advisory_lock($1)", key)
        try:
            yield
        finally:
            for key in keys:
                await self.admin.execute("select pg_advisory_unlock($1)", key)

    async def waiting(self, operation: str) -> int:
        """How many calls of a SQL function wait for a lock."""
        return int(
            await self.admin.fetchval(
                "select count(*) from pg_stat_activity where datname = current_database() and state = 'active' "
                "and wait_event_type = 'Lock' and query ilike '%enablebot.' || $1 || '(%'",
                operation,
            )
        )

    async def cut_off_waiting(self) -> None:
        """End the statements that wait at a gate: their process died before they could do anything."""
        await self.admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
            "and state = 'active' and wait_event_type = 'Lock' and pid <> pg_backend_pid()"
        )

    async def end_leases(self, asked: Sequence[Asked]) -> None:
        """Let the claims on these questions run out now, by the database's clock."""
        await self.admin.execute(
            "update enablebot.inbox set lease_until = clock_timestamp() - interval '1 millisecond' "
            "where state = 'claimed' and lane = any ($1)",
            [one.lane for one in asked],
        )

    async def hurry(self, asked: Sequence[Asked]) -> None:
        """Let the time that these questions have to wait be over: what was lost again and again comes back later."""
        await self.admin.execute(
            "update enablebot.inbox set available_at = clock_timestamp() "
            "where state = 'ready' and available_at > clock_timestamp() and lane = any ($1)",
            [one.lane for one in asked],
        )

    async def arrived(self) -> None:
        """Let Slack take what was sent to it: a look-up must not overtake a post only because this machine is busy."""
        await asyncio.sleep(0.1)

    async def until(self, true: Callable[[], Awaitable[bool]], *, seconds: float = PATIENCE_SECONDS) -> None:
        """Look again and again; TimeoutError when it never becomes true."""
        async with asyncio.timeout(seconds):
            while not await true():
                await asyncio.sleep(0.01)


def _key(gate: str) -> int:
    return _FIRST_KEY + list(_GATES).index(gate)


@asynccontextmanager
async def opened_workshop(
    servers: PostgresServers, data_dir: Path, *, instances: int = 2, **environ: str
) -> AsyncIterator[Workshop]:
    """A workshop with the app installed in one workspace; `tidy` waits until every instance is ready."""
    key = generate_master_key(datetime.now(UTC).date())
    server = servers.server(VERSIONS[0])
    async with AsyncExitStack() as opened:
        name = opened.enter_context(server.migrated())
        services_url = server.url(name, login="enablebot_test_services")
        sandbox = await opened.enter_async_context(
            running(
                SandboxConfig(
                    model_delay_ms=0, time_scale=SCALE, stream_seconds=300_000, rate_limits=False, post_burst=10_000
                )
            )
        )
        model = await opened.enter_async_context(open_door())
        settings = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH", "LANG") if name in os.environ},
            "ENVIRONMENT": "test",
            "DATABASE_URL": services_url,
            "DATABASE_POOL_SIZE": "24",
            "ENABLEBOT_DATA_DIR": str(data_dir),
            "ENCRYPTION_KEYS": key,
            "SESSION_SECRET": "s" * 40,
            "SLACK_CLIENT_ID": sandbox.config.client_id,
            "SLACK_CLIENT_SECRET": sandbox.config.client_secret,
            "SLACK_SIGNING_SECRET": sandbox.config.signing_secret,
            "SLACK_BASE_URL": sandbox.base_url,
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "sk-sandbox",
            "WORKER_LEASE_SECONDS": str(LEASE_SECONDS),
            "WORKER_TIME_SCALE": str(SCALE),
            "LOG_FORMAT": "json",
            "PYTHONUNBUFFERED": "1",
        }
        processes = [Instance(settings | environ, cwd=Path.cwd()) for _ in range(instances)]
        for process in processes:
            await process.start()
            opened.push_async_callback(process.kill)
        admin: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(server.url(name))
        opened.push_async_callback(admin.close)
        await _hang_gates(admin)
        transport = await PostgresTransport.connect(services_url)
        opened.push_async_callback(transport.aclose)
        database = Database(transport)
        await _install(sandbox, Installations(database, Keyring.parse(key)))
        workshop = Workshop(sandbox, model, processes, services_url, database, admin)
        _make_withholdable(workshop)
        yield workshop


async def _hang_gates(admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    await admin.execute(_HOLD)
    for gate, when in _GATES.items():
        await admin.execute(f"create trigger hold_{gate} {when} execute function public.hold_back('{_key(gate)}')")


async def _install(sandbox: Sandbox, installations: Installations) -> None:
    installed = sandbox.install(TEAM)
    await installations.save(
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


def _make_withholdable(workshop: Workshop) -> None:
    sandbox = workshop.sandbox
    posted = sandbox.announcer.posted

    def announced(message: Any) -> None:
        if not (workshop.withheld and message.bot_id):
            posted(message)

    setattr(sandbox.announcer, "posted", announced)  # noqa: B010 - a method cannot be assigned to
