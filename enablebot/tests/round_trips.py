"""Install, ask in a channel, a thread and a DM, with every call of the database counted: what a transport costs."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import asyncpg
from pydantic import SecretStr

from enablebot.api.main import create_app as create_api
from enablebot.config.settings import EncryptionSettings
from enablebot.sandbox.app import Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.database.supabase import SupabaseTransport
from enablebot.shared.database.transport import Argument, Json, Transport
from enablebot.tests.api.conftest import MASTER_KEY
from enablebot.tests.api.serving import served
from enablebot.tests.api.serving import settings_for as api_settings
from enablebot.tests.database import PostgresServer
from enablebot.tests.postgrest import data_api
from enablebot.tests.web.visiting import ACME, ADA, HTTPS_URL, Visitor, opened
from enablebot.tests.web.visiting import settings_for as web_settings
from enablebot.web.main import create_app as create_web

Way = Literal["asyncpg", "Data API"]
WAYS: tuple[Way, ...] = ("asyncpg", "Data API")

# What a running service asks by the clock, whether or not anybody asks it anything.
_BY_THE_CLOCK = frozenset(
    {
        "claim_documents",
        "get_inbox_depth",
        "list_documents_to_purge",
        "prune",
        "prune_api_requests",
        "read_signals",
        "renew_leases",
        "schema_version",
    }
)
# A mention comes as two events; where the second does not meet the first it costs a call of its own.
_REPEATED = "accept_events of nothing new"
# A process that a busy machine has held up asks whether the answer is still its own.
ASKED_AGAIN = "open_answer once more"
# Our own message comes back as an event, too. Nobody waits for any of these on a machine that keeps up.
_BESIDE = ("note_own_messages", _REPEATED, ASKED_AGAIN)


@dataclass(frozen=True)
class Step:
    """One act of the story: what it called, and how long it took until the last of it was committed."""

    name: str
    calls: Counter[str]
    seconds: float

    @property
    def on_the_way(self) -> int:
        """Calls that the one who asked waits for."""
        return sum(self.calls.values()) - self.beside

    @property
    def beside(self) -> int:
        """Calls that the step causes and that nobody waits for."""
        return sum(self.calls[function] for function in _BESIDE)


class Counting:
    """A transport that counts what passes through it."""

    def __init__(self, transport: Transport) -> None:
        """Take what carries the calls."""
        self._transport = transport
        self.calls: Counter[str] = Counter()
        self.underway = 0

    async def call(self, function: str, arguments: Mapping[str, Argument]) -> Json:
        """Pass a call on, and count it once its answer is known."""
        self.underway += 1
        try:
            answer = await self._transport.call(function, arguments)
        finally:
            self.underway -= 1
        if function == "accept_events" and "accepted" not in answer:
            function = _REPEATED
        if function == "open_answer" and not answer["is_new"]:
            function = ASKED_AGAIN
        # A look into an empty inbox is nobody's.
        if function not in _BY_THE_CLOCK and (function != "claim_events" or answer):
            self.calls[function] += 1
        return answer

    async def ping(self) -> None:
        """Pass it on."""
        await self._transport.ping()

    async def aclose(self) -> None:
        """Close what carries the calls."""
        await self._transport.aclose()


@asynccontextmanager
async def counting(server: PostgresServer, name: str, way: Way) -> AsyncIterator[Counting]:
    """A counted transport to a database, with the rights that production has over it."""
    if way == "asyncpg":
        found = Counting(await PostgresTransport.connect(server.url(name, login="enablebot_test_services")))
        try:
            yield found
        finally:
            await found.aclose()
        return
    with data_api(server, name) as api:
        found = Counting(await SupabaseTransport.connect(api.url, api.key()))
        try:
            yield found
        finally:
            await found.aclose()


async def story(server: PostgresServer, name: str, way: Way) -> list[Step]:
    """Play the story over one transport, both services and the played Slack and model included.

    Pauses that people need are a fiftieth as long, so that what remains is work.
    """
    config = SandboxConfig(
        redirect_url=f"{HTTPS_URL}/slack/oauth_redirect", time_scale=0.02, model_delay_ms=0, rate_limits=False
    )
    admin = await asyncpg.connect(server.url(name))
    try:
        async with running(config) as sandbox, counting(server, name, way) as counted:
            return await _played(sandbox, counted, admin)
    finally:
        await admin.close()


async def _played(sandbox: Sandbox, counted: Counting, admin: "asyncpg.Connection[asyncpg.Record]") -> list[Step]:
    database = Database(counted)
    encryption = EncryptionSettings(keys=SecretStr(MASTER_KEY))
    settings = web_settings(sandbox.base_url).model_copy(update={"encryption": encryption})
    steps: list[Step] = []

    async def quiet() -> float:
        """Wait until everything is delivered, handled and evidence of it stored; return when the last was settled."""
        busy = "select exists (select from enablebot.inbox where state in ('ready', 'queued', 'claimed'))"
        async with asyncio.timeout(20):
            while await admin.fetchval(busy):
                await asyncio.sleep(0.002)
            ended = time.perf_counter()
            await sandbox.settled()
            while counted.underway:
                await asyncio.sleep(0.002)
        return ended

    @asynccontextmanager
    async def step(called: str) -> AsyncIterator[None]:
        await quiet()
        counted.calls.clear()
        began = time.perf_counter()
        yield
        ended = await quiet()
        steps.append(Step(called, Counter(counted.calls), ended - began))

    async def ask(channel: str, text: str, thread: str | None = None) -> str:
        asked = await sandbox.post(team=ACME, channel=channel, user=ADA, text=text, thread_ts=thread)
        # Until it has arrived the inbox is empty, too.
        await sandbox.settled()
        return asked

    secrets = (sandbox.config.signing_secret,)
    async with (
        opened(create_web(settings, database=database)) as web,
        served(create_api(api_settings(sandbox, secrets=secrets), database=database)) as url,
    ):
        sandbox.config_urls(events_url=f"{url}/slack/events", interactions_url=f"{url}/slack/interactions")
        visitor = Visitor(web, sandbox, HTTPS_URL)
        async with step("install"):
            assert (await visitor.install()).headers["location"].endswith("/dashboard")
        async with step("open the dashboard"):
            assert (await visitor.get("/dashboard")).status_code == 200
        await visitor.http.aclose()
        async with step("first question, in a channel"):
            thread = await ask("C0GENERAL", "@EnableBot why is the sky blue?")
        async with step("question in a channel"):
            await ask("C0GENERAL", "@EnableBot why is the grass green?")
        async with step("follow-up in the thread"):
            await ask("C0GENERAL", "and the sea?", thread)
        async with step("question in the DM"):
            await ask("@bot", "hello there")
    answers = [m for m in sandbox.messages(ACME, "C0GENERAL") if m.get("bot_id")]
    assert len(answers) == 3, "each question in the channel was answered once"
    assert [m for m in sandbox.messages(ACME, f"@bot/{ADA}") if m.get("bot_id")], "the DM was answered"
    assert not sandbox.ledger.violations
    return steps
