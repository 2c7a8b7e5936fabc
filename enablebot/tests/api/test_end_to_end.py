"""From a person's message in the played Slack to the answer there: the whole api behind a port, nothing replaced."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
import asyncpg
import pytest

from enablebot.api.main import Api, create_app
from enablebot.sandbox.app import Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.shared.database.operations import Database
from enablebot.shared.installations import NotInstalled
from enablebot.shared.sensitive import Sensitive
from enablebot.tests.api.serving import served, settings_for
from enablebot.tests.api.slack_side import Door, direct, grant

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

pytestmark = pytest.mark.anyio

ACME, GLOBEX = "T0SANDBOX1", "T0SANDBOX2"
GENERAL = "C0GENERAL"


@dataclass
class Town:
    """A served api, the Slack it listens to, and the database behind it."""

    sandbox: Sandbox
    api: Api
    url: str
    admin: Admin

    async def install(self, team: str) -> None:
        installed = self.sandbox.install(team)
        token, bot = Sensitive(installed.token), installed.bot_user
        await self.api.services.installations.save(
            grant(team, bot_token=token, bot_user_id=bot, bot_id=installed.bot_id), audit_actor=installed.installer
        )

    def answers(self, team: str, channel: str, thread: str) -> list[dict[str, Any]]:
        """Finished messages of the bot in a thread."""
        found = self.sandbox.messages(team, channel, thread)
        return [m for m in found if m.get("bot_id") and m.get("streaming_state") in {None, "completed"}]

    async def asked(self, team: str, channel: str, user: str, text: str, thread: str | None = None) -> str:
        """Ask as a person, wait until the inbox is empty again, and return the thread."""
        ts = await self.sandbox.post(team=team, channel=channel, user=user, text=text, thread_ts=thread)
        await self.quiet()
        return thread or ts

    async def quiet(self) -> None:
        """Wait until everything was delivered, handled and settled."""
        async with asyncio.timeout(20):
            while True:
                await self.sandbox.settled()
                states = await self.admin.fetch(
                    "select 1 from enablebot.inbox where state in ('ready', 'queued', 'claimed') limit 1"
                )
                if not states:
                    break
                await asyncio.sleep(0.02)
        await self.sandbox.settled()

    async def outcomes(self) -> list[tuple[str, str]]:
        rows = await self.admin.fetch("select kind, outcome from enablebot.inbox order by id")
        return [(row["kind"], row["outcome"]) for row in rows]


@asynccontextmanager
async def town(sandbox: Sandbox, database: Database, admin: Admin) -> AsyncIterator[Town]:
    settings = settings_for(sandbox, secrets=(sandbox.config.signing_secret,))
    api = create_app(settings, database=database)
    async with served(api) as url:
        sandbox.config_urls(events_url=f"{url}/slack/events", interactions_url=f"{url}/slack/interactions")
        yield Town(sandbox, api, url, admin)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(SandboxConfig(time_scale=0.02, model_delay_ms=0, rate_limits=False)) as sandbox:
        yield sandbox


@pytest.fixture
async def acme(sandbox: Sandbox, api_database: Database, admin: Admin) -> AsyncIterator[Town]:
    """The town with the app in Acme."""
    async with town(sandbox, api_database, admin) as found:
        await found.install(ACME)
        yield found


async def test_slack_verifies_the_address(acme: Town) -> None:
    assert await acme.sandbox.delivery.challenge()


async def test_a_mention_is_answered_once_in_its_thread(acme: Town) -> None:
    thread = await acme.asked(ACME, GENERAL, "U0ADA", "@EnableBot why is the sky blue?")
    (answer,) = acme.answers(ACME, GENERAL, thread)
    assert answer["thread_ts"] == thread
    assert "sky" in answer["text"]
    # `app_mention` and `message` both came; one of them is the question.
    assert (await acme.outcomes()) == [("mention", "done")]
    assert not acme.sandbox.ledger.violations


async def test_the_thread_goes_on_without_a_mention_and_another_thread_does_not_begin(acme: Town) -> None:
    thread = await acme.asked(ACME, GENERAL, "U0ADA", "@EnableBot why is the sky blue?")
    await acme.asked(ACME, GENERAL, "U0BEN", "and the sea?", thread)
    assert len(acme.answers(ACME, GENERAL, thread)) == 2
    other = await acme.asked(ACME, GENERAL, "U0BEN", "lunch, anyone?")
    await acme.asked(ACME, GENERAL, "U0ADA", "yes", other)
    assert acme.answers(ACME, GENERAL, other) == []


async def test_a_direct_message_is_answered_by_a_stream(acme: Town) -> None:
    thread = await acme.asked(ACME, "@bot", "U0ADA", "hello there")
    (answer,) = acme.answers(ACME, "@bot/U0ADA", thread)
    assert answer["thread_ts"] == thread
    assert "chat.startStream" in [call.method for call in acme.sandbox.ledger.calls]


async def test_two_workspaces_are_answered_each_with_its_own_token(acme: Town) -> None:
    await acme.install(GLOBEX)
    await asyncio.gather(
        acme.sandbox.post(team=ACME, channel=GENERAL, user="U0ADA", text="@EnableBot one?"),
        acme.sandbox.post(team=GLOBEX, channel="C1GENERAL", user="U1EVA", text="@EnableBot two?"),
    )
    await acme.quiet()
    assert sum(1 for m in acme.sandbox.messages(ACME, GENERAL) if m.get("bot_id")) == 1
    assert sum(1 for m in acme.sandbox.messages(GLOBEX, "C1GENERAL") if m.get("bot_id")) == 1
    assert {call.team for call in acme.sandbox.ledger.calls} == {ACME, GLOBEX}
    assert all(call.ok for call in acme.sandbox.ledger.calls)


async def test_after_an_uninstall_no_call_is_made_and_a_new_install_is_answered_again(acme: Town) -> None:
    await acme.asked(ACME, "@bot", "U0ADA", "hello")
    # Slack's times are whole seconds: past the second of the installation no call is needed to tell the order.
    await acme.admin.execute("update enablebot.installations set installed_at = installed_at - interval '5 s'")
    await acme.admin.execute("update enablebot.tenants set installed_at = installed_at - interval '5 s'")
    calls = len(acme.sandbox.ledger.calls)
    acme.sandbox.uninstall(ACME)
    await acme.quiet()
    assert await acme.admin.fetchval("select count(*) from enablebot.installations where bot_token is not null") == 0
    assert len(acme.sandbox.ledger.calls) == calls
    await acme.install(ACME)
    thread = await acme.asked(ACME, "@bot", "U0ADA", "hello again")
    assert len(acme.answers(ACME, "@bot/U0ADA", thread)) == 1


async def test_a_token_that_died_silently_pauses_the_workspace_and_loses_no_question(acme: Town) -> None:
    tenant = await acme.admin.fetchval("select id from enablebot.tenants where team_id = $1", ACME)
    for method in ("chat.startStream", "chat.postMessage", "agents.sessions.setStatus"):
        acme.sandbox.faults.add(method, "error", error="token_revoked", times=100)
    threads = [await acme.asked(ACME, "@bot", "U0ADA", "hello")]
    with pytest.raises(NotInstalled):
        await acme.api.services.installations.bot(tenant)
    calls = len(acme.sandbox.ledger.calls)
    threads.append(await acme.asked(ACME, "@bot", "U0ADA", "hello?"))
    assert len(acme.sandbox.ledger.calls) == calls
    assert {row["state"] for row in await acme.admin.fetch("select state from enablebot.inbox")} == {"held"}

    acme.sandbox.faults.replace([])
    await acme.install(ACME)
    await acme.quiet()
    assert [outcome for _, outcome in await acme.outcomes()] == ["done", "done"]
    for thread in threads:
        assert len(acme.answers(ACME, "@bot/U0ADA", thread)) == 1


@pytest.mark.parametrize(
    ("kind", "details"), [("ratelimit", {"retry_after": 0}), ("status", {"status": 503}), ("reset", {})]
)
async def test_slack_stumbling_once_costs_nobody_the_answer(acme: Town, kind: Any, details: dict[str, Any]) -> None:
    acme.sandbox.faults.add("chat.postMessage", kind, **details)
    thread = await acme.asked(ACME, GENERAL, "U0ADA", "@EnableBot why is the sky blue?")
    (answer,) = acme.answers(ACME, GENERAL, thread)
    assert "sky" in answer["text"]


async def test_a_channel_that_is_gone_ends_the_event_at_once(acme: Town) -> None:
    acme.sandbox.faults.add("chat.postMessage", "error", error="channel_not_found", times=10)
    await acme.asked(ACME, GENERAL, "U0ADA", "@EnableBot why?")
    row = await acme.admin.fetchrow("select outcome, attempts from enablebot.inbox")
    assert row is not None
    assert (row["outcome"], row["attempts"]) == ("failed", 1)


async def test_what_one_process_accepted_and_left_another_answers(
    sandbox: Sandbox, api_database: Database, admin: Admin
) -> None:
    async with town(sandbox, api_database, admin) as first:
        await first.install(ACME)
        # It takes nothing more from the inbox, as after SIGTERM, and still accepts.
        await first.api.services.worker.drain(0)
        thread = await sandbox.post(team=ACME, channel=GENERAL, user="U0ADA", text="@EnableBot why is the sky blue?")
        await sandbox.settled()
    async with town(sandbox, api_database, admin) as second:
        await second.quiet()
        assert len(second.answers(ACME, GENERAL, thread)) == 1


async def test_a_body_that_drips_over_a_real_socket_is_cut_off_and_another_is_served_meanwhile(acme: Town) -> None:
    host, port = acme.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    async with aiohttp.ClientSession() as session, session.get(f"{acme.url}/health") as health:
        assert health.status == 200
    assert b"408" in await reader.readline()
    writer.close()


async def test_ten_megabytes_over_a_real_socket_are_refused(acme: Town) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b"x" * 65536

    async with aiohttp.ClientSession() as session:
        try:
            async with session.post(f"{acme.url}/slack/events", data=pieces()) as response:
                assert response.status == 413
        except aiohttp.ClientError:
            # The connection was closed while we were still sending: refused all the same.
            return


async def test_the_door_stays_open_for_the_rest_while_a_workspace_floods(acme: Town) -> None:
    door = Door(acme.api, secret=acme.sandbox.config.signing_secret)
    told = await asyncio.gather(*(door.send(direct(channel="D0NOWHERE"), team=ACME) for _ in range(100)))
    assert {response.status for response in told} == {200}
    await acme.install(GLOBEX)
    thread = await acme.sandbox.post(team=GLOBEX, channel="@bot", user="U1EVA", text="am I heard?")
    await acme.sandbox.wait_for(lambda: acme.answers(GLOBEX, "@bot/U1EVA", thread), timeout=20)
