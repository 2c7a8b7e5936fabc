"""docs/how-to/test-with-slack.md as a person follows it, with the sandbox in the place of Slack."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from enablebot.local.ports import free_port
from enablebot.sandbox.app import Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.shared.models.installation import REQUIRED_SCOPES

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ACME = "T0SANDBOX1"
APP_TOKEN = "xapp-1-A0ENABLEBOT-of-the-how-to"
PATIENCE_SECONDS = 60


async def enablebot(*argv: str, cwd: Path, environ: Mapping[str, str], typed: str = "") -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "enablebot", *argv, cwd=cwd, env=environ, stdin=PIPE, stdout=PIPE, stderr=STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(typed.encode()), PATIENCE_SECONDS)
    return process.returncode, output.decode()


async def answered(sandbox: Sandbox, ts: str) -> list[dict[str, Any]]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = [message for message in sandbox.messages(ACME, "C0GENERAL", ts) if message.get("bot_id")]
            if found and "stand-in" in found[0]["text"]:
                return found
            await asyncio.sleep(0.05)


async def test_two_tokens_lead_from_nothing_to_the_first_answer(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    environ = kept | {
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "API_PORT": str(free_port()),
        "WEB_PORT": str(free_port()),
    }
    async with running(SandboxConfig(app_token=APP_TOKEN, with_openai=False)) as slack:
        (tmp_path / ".env").write_text(f"SLACK_APP_TOKEN={APP_TOKEN}\nSLACK_BASE_URL={slack.base_url}\n")
        code, manifest = await enablebot("manifest", "--socket-mode", cwd=tmp_path, environ=environ)
        assert (code, '"socket_mode_enabled": true' in manifest) == (0, True)
        up = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "enablebot", "up", "--sandbox-port", str(free_port()),
            cwd=tmp_path, env=environ, stdout=PIPE, stderr=STDOUT,
        )  # fmt: skip
        lines: list[str] = []

        async def read() -> None:
            assert up.stdout
            while line := (await up.stdout.readline()).decode():
                lines.append(line)

        reading = asyncio.create_task(read())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not any("EnableBot is ready." in line for line in lines):
                    assert up.returncode is None, "".join(lines)
                    await asyncio.sleep(0.05)
            token = slack.install(ACME, scopes=REQUIRED_SCOPES).token
            code, said = await enablebot(
                "tenants", "add", "--bot-token", "-", cwd=tmp_path, environ=environ, typed=f"{token}\n"
            )
            assert code == 0, said
            ts = await slack.post(team=ACME, channel="C0GENERAL", user="U0ADA", text="@EnableBot what can you do?")
            assert len(await answered(slack, ts)) == 1
            code, said = await enablebot("doctor", cwd=tmp_path, environ=environ)
            assert (code, "0 broken" in said) == (0, True), said
        finally:
            up.send_signal(signal.SIGINT)
            await asyncio.wait_for(up.wait(), PATIENCE_SECONDS)
            await reading
        assert up.returncode == 0
        assert "tenants add" in "".join(lines)
        assert not slack.ledger.violations
        assert token not in "".join(lines)
        assert APP_TOKEN not in "".join(lines)
