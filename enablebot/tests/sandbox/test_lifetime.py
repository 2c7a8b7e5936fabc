from __future__ import annotations

import asyncio
import signal
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from enablebot.sandbox.__main__ import configured
from enablebot.sandbox.app import Installed, Sandbox, SandboxConfig
from enablebot.sandbox.persistence import WorldFile
from enablebot.sandbox.server import running
from enablebot.sandbox.world import founding
from enablebot.tests.sandbox.conftest import ACME, GLOBEX
from enablebot.tests.sandbox.played_app import PlayedApp
from enablebot.tests.sandbox.test_posting import refusal

pytestmark = pytest.mark.anyio


def client(sandbox: Sandbox, token: str) -> AsyncWebClient:
    return AsyncWebClient(token, base_url=f"{sandbox.base_url}/api/", retry_handlers=[])


async def test_a_second_start_knows_installs_messages_and_running_streams(
    config: SandboxConfig, tmp_path: Path
) -> None:
    kept = replace(config, data_dir=tmp_path / "sandbox")
    async with running(kept) as sandbox:
        token = sandbox.install(ACME).token
        root = await sandbox.post(team=ACME, channel="@bot", user="U0ADA", text="hi")
        ts = (await client(sandbox, token).chat_startStream(channel="D0ADA", thread_ts=root, markdown_text="a"))["ts"]
    async with running(kept) as sandbox:
        slack = client(sandbox, token)
        assert (await slack.auth_test())["team_id"] == ACME
        await slack.chat_appendStream(channel="D0ADA", ts=ts, markdown_text="b")
        later = (await slack.chat_postMessage(channel="D0ADA", text="c", thread_ts=root))["ts"]
        assert later > ts > root
        assert [message["text"] for message in sandbox.messages(ACME, "D0ADA", root)] == ["hi", "ab", "c"]
        assert sandbox.install(ACME).token == token
    file = tmp_path / "sandbox" / "world.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["world.json"]


async def test_an_install_is_on_disk_before_it_is_answered(config: SandboxConfig, tmp_path: Path) -> None:
    async with running(replace(config, data_dir=tmp_path)) as sandbox:
        token = sandbox.install(ACME).token
        assert token.encode() in (tmp_path / "world.json").read_bytes()


def test_a_file_that_is_no_world_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "world.json").write_text("{}")
    with pytest.raises(SystemExit, match="Delete it"):
        WorldFile(tmp_path).read()


def test_a_write_that_fails_leaves_the_old_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, world = WorldFile(tmp_path), founding()
    file.write(world)
    before = (tmp_path / "world.json").read_bytes()

    def full(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    world.teams.clear()
    with pytest.raises(OSError, match="disk full"):
        file.write(world)
    assert (tmp_path / "world.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["world.json"]


async def test_an_uninstall_kills_the_token_and_sends_both_events(
    sandbox: Sandbox, acme: Installed, slack: AsyncWebClient, played_app: PlayedApp
) -> None:
    assert sandbox.uninstall(ACME)
    assert not sandbox.uninstall(ACME)
    await sandbox.settled()
    assert {event["type"] for event in played_app.events()} == {"app_uninstalled", "tokens_revoked"}
    assert played_app.events("tokens_revoked")[0]["tokens"] == {"oauth": [], "bot": [acme.bot_user]}
    assert await refusal(slack.auth_test()) == "account_inactive"
    assert acme.bot_user not in sandbox.world.channels["C0GENERAL"].members
    played_app.heard.clear()
    await sandbox.post(team=ACME, channel="C0GENERAL", user="U0ADA", text="@EnableBot still there?")
    await sandbox.settled()
    assert played_app.heard == []


async def test_a_new_install_is_the_same_bot_with_another_token(
    sandbox: Sandbox, acme: Installed, slack: AsyncWebClient, client_of: Callable[[str], AsyncWebClient]
) -> None:
    sandbox.uninstall(ACME)
    again = sandbox.install(ACME)
    assert again.bot_user == acme.bot_user
    assert again.token != acme.token
    assert (await client_of(again.token).auth_test())["ok"]
    assert await refusal(slack.auth_test()) == "account_inactive"


async def test_an_app_can_revoke_and_uninstall_itself(
    sandbox: Sandbox, slack: AsyncWebClient, client_of: Callable[[str], AsyncWebClient]
) -> None:
    assert not (await slack.auth_revoke(test=True))["revoked"]
    assert (await slack.auth_revoke())["revoked"]
    assert await refusal(slack.auth_test()) == "token_revoked"
    globex = client_of(sandbox.install(GLOBEX).token)
    credentials = {"client_id": sandbox.config.client_id, "client_secret": sandbox.config.client_secret}
    await globex.api_call("apps.uninstall", data=credentials)
    assert GLOBEX not in sandbox.world.installs
    assert not sandbox.ledger.violations


async def test_the_sdk_s_own_uninstall_leaks_the_secret_into_the_address(
    sandbox: Sandbox, slack: AsyncWebClient
) -> None:
    config = sandbox.config
    call = slack.apps_uninstall(client_id=config.client_id, client_secret=config.client_secret)
    assert await refusal(call) == "bad_client_secret"
    assert [entry.kind for entry in sandbox.ledger.violations] == ["secret_in_query"]


def test_flags_and_environment_make_the_settings() -> None:
    config, port = configured(
        ["--port", "9000", "--data-dir", "d", "--time-scale", "0.01", "--without-openai", "--signing-secret", "s3"],
        {"SANDBOX_CLIENT_ID": "c1", "SANDBOX_CLIENT_SECRET": "s2", "SANDBOX_SIGNING_SECRET": "not this"},
    )
    assert (port, config.data_dir, config.time_scale) == (9000, Path("d"), 0.01)
    assert (config.client_id, config.client_secret, config.signing_secret) == ("c1", "s2", "s3")
    assert (config.with_slack, config.with_openai) == (True, False)


async def test_sigterm_ends_it_with_an_open_live_page(tmp_path: Path) -> None:
    async with running(SandboxConfig()) as other:
        port = int(other.base_url.rsplit(":", 1)[1])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "enablebot.sandbox", "--port", str(port), "--data-dir", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    try:
        await process.stdout.readline()
        async with aiohttp.ClientSession() as http:
            page = await open_page(http, f"http://localhost:{port}/sandbox/api/updates")
            assert await page.content.readline() == b"event: hello\n"
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await process.wait() == 0
            page.close()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (tmp_path / "world.json").exists()


async def open_page(http: aiohttp.ClientSession, url: str) -> aiohttp.ClientResponse:
    """The page, as soon as the server listens."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await http.get(url)
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
