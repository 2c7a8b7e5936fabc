"""The command line as a person runs it: against a real database and the played Slack."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import pytest
from pydantic import SecretStr

from enablebot.api.main import create_app as create_api
from enablebot.cli import main
from enablebot.config.settings import DatabaseSettings, Settings, load_settings
from enablebot.sandbox.app import Installed, Sandbox, SandboxConfig
from enablebot.sandbox.manifest import SCOPES
from enablebot.sandbox.server import running
from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.keyring import Keyring
from enablebot.shared.errors import SettingsError
from enablebot.shared.installations import Installations
from enablebot.shared.models.installation import REQUIRED_SCOPES
from enablebot.tests.database import PostgresServer
from enablebot.tests.postgrest import data_api
from enablebot.tests.shared.workspaces import add_workspace
from enablebot.web.main import create_app as create_web

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

pytestmark = pytest.mark.anyio

ACME, GLOBEX = "T0SANDBOX1", "T0SANDBOX2"
APP_TOKEN = "xapp-1-A0ENABLEBOT-of-the-tests"
MASTER_KEY = "k20261122:3q2+796tvu/erb7v3q2+796tvu/erb7v3q2+796tvu8="

Run = Callable[..., Any]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(SandboxConfig(app_token=APP_TOKEN, with_openai=False, time_scale=0.001)) as sandbox:
        yield sandbox


@pytest.fixture
def environ(sandbox: Sandbox, web_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> dict[str, str]:
    """What the environment of the command line holds; no other setting of this machine reaches it."""
    environ = {
        "ENVIRONMENT": "test",
        "DATABASE_URL": web_url,
        "ENCRYPTION_KEYS": MASTER_KEY,
        "SESSION_SECRET": "an-honest-secret-of-forty-characters-0123",
        "SLACK_BASE_URL": sandbox.base_url,
    }
    real = load_settings
    monkeypatch.setattr(
        "enablebot.commands.terminal.load_settings",
        lambda **_: real(environ=environ, env_file=None, service="cli"),
    )
    monkeypatch.delenv("SLACK_BOT_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    return environ


@pytest.fixture
def run(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command beside this test's own event loop; returns its exit code, output and complaints."""

    async def command(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(main, argv)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def acme(sandbox: Sandbox) -> Installed:
    return sandbox.install(ACME, scopes=tuple(scope for scope in REQUIRED_SCOPES if scope in SCOPES))


async def test_a_workspace_added_by_its_bot_token_is_sealed_audited_and_listed(
    run: Run, acme: Installed, monkeypatch: pytest.MonkeyPatch, database: Database, admin: Admin
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", acme.token)
    code, said, complaints = await run("tenants", "add")
    assert (code, complaints) == (0, "")
    assert "Acme (T0SANDBOX1) is added" in said
    row = await admin.fetchrow("select * from enablebot.installations")
    assert row is not None
    assert acme.token.encode() not in row["bot_token"]
    assert (row["app_id"], row["bot_user_id"], tuple(row["scopes"])) == ("A0ENABLEBOT", acme.bot_user, acme.scopes)
    installations = Installations(database, Keyring.parse(MASTER_KEY))
    bot = await installations.bot(row["tenant_id"])
    assert (bot.token.reveal(), bot.bot_id) == (acme.token, acme.bot_id)
    audit = await admin.fetchrow("select actor, action from enablebot.audit order by seq desc limit 1")
    assert audit is not None
    assert tuple(audit) == ("cli", "installation.save")
    assert acme.token not in said

    code, said, _ = await run("tenants", "list")
    header, line = said.splitlines()
    assert header.split()[:3] == ["TEAM", "NAME", "STATUS"]
    assert line.split()[:3] == [ACME, "Acme", "active"]
    assert line.endswith("none")
    code, said, _ = await run("tenants", "list", "--json")
    (shown,) = json.loads(said)
    assert (shown["team_id"], shown["missing_scopes"]) == (ACME, [])


async def test_adding_a_workspace_again_replaces_its_installation(
    run: Run, acme: Installed, monkeypatch: pytest.MonkeyPatch, admin: Admin
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", acme.token)
    for _ in range(2):
        assert (await run("tenants", "add"))[0] == 0
    states = await admin.fetch("select status, bot_token is null as gone from enablebot.installations order by 1")
    assert [tuple(row) for row in states] == [("active", False), ("replaced", True)]
    assert await admin.fetchval("select count(*) from enablebot.tenants") == 1


@pytest.mark.parametrize("way", ["pipe", "option"])
async def test_the_token_may_come_by_a_pipe_and_by_the_option_with_a_warning(
    run: Run, acme: Installed, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{acme.token}\n"))
    code, _, complaints = await run("tenants", "add", "--bot-token", "-" if way == "pipe" else acme.token)
    assert code == 0
    assert ("history" in complaints) == (way == "option")


async def test_scopes_that_are_missing_are_told_and_listed(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", sandbox.install(ACME, scopes=("chat:write", "im:history")).token)
    code, _, complaints = await run("tenants", "add")
    assert code == 0
    assert "lacks app_mentions:read" in complaints
    _, said, _ = await run("tenants", "list")
    assert "app_mentions:read, assistant:write" in said


@pytest.mark.parametrize(
    ("token", "word"),
    [
        ("", "no bot token"),
        ("xoxp-1-user", "Bot User OAuth Token"),
        ("xoxe.xoxb-1-rotating", "token rotation has to be off"),
        ("xoxb-1-unknown", "no longer accepts"),
    ],
)
async def test_what_is_no_bot_token_is_refused_with_the_way_to_the_right_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, admin: Admin, token: str, word: str
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", token)
    code, _, complaints = await run("tenants", "add")
    assert code == 1
    assert word in complaints
    assert not token or token not in complaints
    assert await admin.fetchval("select count(*) from enablebot.tenants") == 0


async def test_tokens_of_two_apps_are_not_mixed(
    run: Run, acme: Installed, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", acme.token)
    environ["SLACK_APP_TOKEN"] = "xapp-1-A0OTHER-of-the-tests"
    code, _, complaints = await run("tenants", "add")
    assert code == 1
    assert "A0ENABLEBOT" in complaints
    assert "A0OTHER" in complaints


async def test_production_adds_no_workspace_by_token_and_says_why(
    run: Run, acme: Installed, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", acme.token)
    environ["ENVIRONMENT"] = "production"
    del environ["SLACK_BASE_URL"]
    code, _, complaints = await run("tenants", "add")
    assert code == 1
    assert "Add to Slack" in complaints
    assert sandbox.ledger.calls_of("auth.test") == []


async def test_one_workspace_is_shown_and_another_one_is_not(
    run: Run, acme: Installed, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", acme.token)
    await run("tenants", "add")
    code, said, _ = await run("tenants", "show", "--team", ACME)
    assert code == 0
    shown = dict(line.split(maxsplit=1) for line in said.splitlines())
    assert (shown["name"], shown["team"], shown["status"], shown["bot"]) == ("Acme", ACME, "active", acme.bot_user)
    code, said, complaints = await run("tenants", "show", "--team", GLOBEX)
    assert (code, said) == (1, "")
    assert "No workspace T0SANDBOX2" in complaints


async def test_without_workspaces_the_list_says_how_to_get_one(run: Run) -> None:
    code, said, _ = await run("tenants", "list")
    assert code == 0
    assert "Add to Slack" in said


async def test_a_name_that_moves_the_cursor_is_shown_harmlessly(run: Run, admin: Admin, database: Database) -> None:
    workspace = await add_workspace(database)
    await admin.execute(
        "update enablebot.tenants set name = $1 where id = $2", "Ac\x1b[2Jme\u202e", workspace.tenant_id
    )
    _, said, _ = await run("tenants", "list")
    assert "Ac�[2Jme�" in said


async def test_the_manifest_for_sockets_needs_no_address(run: Run) -> None:
    _, said, _ = await run("manifest", "--socket-mode")
    manifest = json.loads(said)
    assert manifest["settings"]["socket_mode_enabled"] is True
    assert "http://localhost" not in said
    _, said, _ = await run("manifest")
    assert json.loads(said)["settings"]["socket_mode_enabled"] is False


async def test_the_audit_trail_of_an_added_workspace_holds(
    run: Run, acme: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", acme.token)
    await run("tenants", "add")
    code, said, _ = await run("audit", "verify", "--team", ACME)
    assert code == 0
    assert "holds" in said


@pytest.mark.parametrize("command", [["tenants"], ["tenants", "show"], ["keys"], ["fly"], []])
def test_an_incomplete_command_line_says_what_there_is(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(command)
    assert left.value.code == 2
    assert "usage:" in capsys.readouterr().err


# Start-up


@asynccontextmanager
async def _life(app: Any) -> AsyncIterator[None]:
    web = getattr(app, "web", app)
    async with web.router.lifespan_context(web):
        yield


def _settings(environ: dict[str, str], url: str) -> Settings:
    settings = load_settings(environ=environ, env_file=None, service="cli")
    return settings.model_copy(update={"database": DatabaseSettings(url=SecretStr(url), pool_size=2)})


@pytest.mark.parametrize("service", ["api", "web"])
async def test_a_service_does_not_start_without_a_master_key_in_use(
    service: str, environ: dict[str, str], api_url: str, web_url: str, database: Database
) -> None:
    create, url = (create_api, api_url) if service == "api" else (create_web, web_url)
    async with _life(create(_settings(environ, url))):
        pass
    # Registered under the key “k1”.
    await add_workspace(database)
    with pytest.raises(SettingsError) as refused:
        async with _life(create(_settings(environ, url))):
            pass
    assert "“k1”" in refused.value.message
    assert MASTER_KEY.partition(":")[2] not in refused.value.message
    both = environ | {"ENCRYPTION_KEYS": f"{MASTER_KEY},k1:{'AQ' * 21}A="}
    async with _life(create(_settings(both, url))):
        pass


@pytest.mark.postgrest
async def test_migrate_over_the_data_api_alone_ends_well_only_when_there_is_nothing_to_do(
    run: Run, environ: dict[str, str], postgres_server: PostgresServer, database_name: str
) -> None:
    del environ["DATABASE_URL"]
    with data_api(postgres_server, database_name) as api:
        environ |= {"SUPABASE_URL": api.url, "SUPABASE_SERVICE_KEY": api.key()}
        assert await run("migrate") == (0, "The schema is up to date.\n", "")
    with postgres_server.empty() as empty, data_api(postgres_server, empty) as api:
        environ |= {"SUPABASE_URL": api.url, "SUPABASE_SERVICE_KEY": api.key()}
        code, _, complaints = await run("migrate")
    assert code == 1
    assert "migrate --bundle" in complaints
