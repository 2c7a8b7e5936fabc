"""Stop, delete and uninstall reach an answer that is being written, in this process or in another one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import pytest

from enablebot.api.main import Api, create_app
from enablebot.config.settings import WorkerSettings
from enablebot.sandbox.app import Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.shared.database.operations import Database
from enablebot.shared.sensitive import Sensitive
from enablebot.tests.api.serving import served, settings_for
from enablebot.tests.api.slack_side import grant

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

pytestmark = pytest.mark.anyio

ACME, GENERAL, ADA = "T0SANDBOX1", "C0GENERAL", "U0ADA"
# Once a few words are shown the model falls silent, so that no step of the answer itself learns of anything.
WORD_MS, SILENCE_SECONDS = 50, 50.0


@dataclass
class Pair:
    """An api that writes an answer, and the address of the one that hears what a person does next, if it is another."""

    sandbox: Sandbox
    admin: Admin
    writer: Api
    elsewhere: str | None
    leaving: "asyncio.Task[None] | None" = None

    async def begin(self, channel: str = GENERAL) -> str:
        """Ask, wait until the answer has begun to show, and return the thread; from then on the other one hears."""
        text = "why is the sky blue?" if channel == "@bot" else "@EnableBot why is the sky blue?"
        thread = await self.sandbox.post(team=ACME, channel=channel, user=ADA, text=text)
        await self.sandbox.wait_for(lambda: self.shown(channel, thread), timeout=20)
        self.sandbox.desk.pace = SILENCE_SECONDS
        if self.elsewhere is not None:
            self.sandbox.config_urls(events_url=f"{self.elsewhere}/slack/events")
            # As after SIGTERM it finishes what it has and claims no more, so that it cannot hear for itself.
            self.leaving = asyncio.create_task(self.writer.services.worker.drain(60))
        return thread

    def shown(self, channel: str, thread: str) -> list[dict[str, Any]]:
        place = f"@bot/{ADA}" if channel == "@bot" else channel
        return [message for message in self.sandbox.messages(ACME, place, thread) if message.get("bot_id")]

    async def ended(self) -> asyncpg.Record:
        """The question's end; long before the model speaks again."""
        async with asyncio.timeout(20):
            while True:
                row = await self.admin.fetchrow(ENDED)
                if row is not None:
                    return row
                await asyncio.sleep(0.02)


ENDED = """
select i.outcome, a.state, a.reason from enablebot.inbox i
join enablebot.answers a on a.tenant_id = i.tenant_id and a.event_id = i.id
where i.state = 'done' and i.kind in ('mention', 'message')
"""


@pytest.fixture(params=["here", "elsewhere"])
async def pair(request: pytest.FixtureRequest, api_database: Database, admin: Admin) -> AsyncIterator[Pair]:
    config = SandboxConfig(time_scale=0.02, model_delay_ms=WORD_MS, rate_limits=False)
    async with AsyncExitStack() as opened:
        sandbox = await opened.enter_async_context(running(config))
        # A renewal would tell what is lost as well, many minutes later.
        worker = WorkerSettings(time_scale=0.02, drain_seconds=4, lease_seconds=3600)
        settings = settings_for(sandbox, secrets=(sandbox.config.signing_secret,), worker=worker)
        writer = create_app(settings, database=api_database)
        writes: str = await opened.enter_async_context(served(writer))
        elsewhere: str | None = None
        installed = sandbox.install(ACME)
        token, bot = Sensitive(installed.token), installed.bot_user
        await writer.services.installations.save(
            grant(ACME, bot_token=token, bot_user_id=bot, bot_id=installed.bot_id), audit_actor=ADA
        )
        if request.param == "elsewhere":
            other = create_app(settings, database=api_database)
            elsewhere = await opened.enter_async_context(served(other))
            # The question is the first one's: the other has no slot for questions, and always one for what is urgent.
            other.services.worker._settings = worker.model_copy(update={"concurrency": 0})
        sandbox.config_urls(events_url=f"{writes}/slack/events")
        pair = Pair(sandbox, admin, writer, elsewhere)
        yield pair
        if pair.leaving is not None:
            await pair.leaving


@pytest.mark.parametrize("channel", [GENERAL, "@bot"])
async def test_a_stop_ends_the_answer_and_keeps_what_is_shown(pair: Pair, channel: str) -> None:
    thread = await pair.begin(channel)
    pair.sandbox.people.stop(team=ACME, channel=channel, user=ADA, thread_ts=thread)
    end = await pair.ended()
    assert (end["state"], end["reason"]) == ("complete", "stopped")
    assert len(pair.shown(channel, thread)) == 1


@pytest.mark.parametrize("channel", [GENERAL, "@bot"])
async def test_a_deleted_question_takes_its_half_answer_with_it(pair: Pair, channel: str) -> None:
    thread = await pair.begin(channel)
    pair.sandbox.people.delete(team=ACME, channel=channel, user=ADA, ts=thread)
    end = await pair.ended()
    assert (end["outcome"], end["state"]) == ("dropped", "dropped")
    assert pair.shown(channel, thread) == []


async def test_an_uninstall_ends_the_answer_and_its_event(pair: Pair) -> None:
    thread = await pair.begin()
    pair.sandbox.uninstall(ACME)
    end = await pair.ended()
    assert (end["outcome"], end["state"]) == ("dropped", "dropped")
    async with asyncio.timeout(20):
        while list(pair.writer.services.worker._claims):
            await asyncio.sleep(0.02)
    calls = len(pair.sandbox.ledger.calls)
    await asyncio.sleep(0.1)
    assert len(pair.sandbox.ledger.calls) == calls
    assert len(pair.shown(GENERAL, thread)) == 1
