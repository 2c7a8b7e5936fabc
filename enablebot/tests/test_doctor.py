"""The doctor: every fault it looks for is made once, to see that it is found with its remedy."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import pytest
from aiohttp import web
from pydantic import SecretStr

from enablebot.api.main import create_app
from enablebot.cli import main
from enablebot.config.settings import DatabaseSettings, ModelSettings, Settings, load_settings
from enablebot.doctor.clock import compare_clocks
from enablebot.doctor.examination import examine
from enablebot.doctor.findings import Finding, report
from enablebot.sandbox.app import Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.keyring import Keyring
from enablebot.shared.errors import SettingsError
from enablebot.shared.installations import Installations
from enablebot.shared.models.installation import REQUIRED_SCOPES
from enablebot.shared.sensitive import Sensitive
from enablebot.tests.api.serving import served
from enablebot.tests.api.slack_side import grant
from enablebot.tests.database import PostgresServer
from enablebot.tests.postgrest import data_api
from enablebot.tests.shared.queued_documents import add_waiting
from enablebot.tests.shared.shelf import begin, publish, stage
from enablebot.tests.shared.workspaces import Event, accept, add_installed, add_workspace, claim_one, settle

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

pytestmark = pytest.mark.anyio

ACME = "T0SANDBOX1"
APP_TOKEN = "xapp-1-A0ENABLEBOT-of-the-tests"
MASTER_KEY = "k20261122:3q2+796tvu/erb7v3q2+796tvu/erb7v3q2+796tvu8="
NOBODY = "http://127.0.0.1:9"

Look = Callable[..., Any]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(SandboxConfig(app_token=APP_TOKEN, rate_limits=False, time_scale=0.001)) as sandbox:
        yield sandbox


@pytest.fixture
def environ(sandbox: Sandbox, web_url: str) -> dict[str, str]:
    """A complete deployment whose events come through a socket."""
    return {
        "ENVIRONMENT": "test",
        "DATABASE_URL": web_url,
        "ENCRYPTION_KEYS": MASTER_KEY,
        "SESSION_SECRET": "an-honest-secret-of-forty-characters-0123",
        "SLACK_BASE_URL": sandbox.base_url,
        "SLACK_APP_TOKEN": APP_TOKEN,
        "OPENAI_API_KEY": "sk-sandbox-of-the-tests",
        "OPENAI_BASE_URL": sandbox.openai_url,
    }


@pytest.fixture
def look(environ: dict[str, str]) -> Look:
    """Examine the deployment; `changed` replace variables, None removes one."""

    async def examined(**changed: str | None) -> dict[str, list[Finding]]:
        names = {**environ, **changed}
        given = {name: value for name, value in names.items() if value is not None}
        found: dict[str, list[Finding]] = {}
        for finding in await examine(lambda: load_settings(environ=given, env_file=None, service="cli")):
            found.setdefault(finding.area, []).append(finding)
        return found

    return examined


def levels(findings: dict[str, list[Finding]]) -> dict[str, set[str]]:
    return {area: {finding.level for finding in listed} for area, listed in findings.items()}


def only(findings: list[Finding], level: str) -> Finding:
    (found,) = [finding for finding in findings if finding.level == level]
    assert found.remedy, f"{found.what}: no remedy"
    return found


async def install(sandbox: Sandbox, database: Database, **changed: Any) -> str:
    installed = sandbox.install(ACME, scopes=REQUIRED_SCOPES)
    given = {"bot_token": Sensitive(installed.token), "bot_user_id": installed.bot_user, **changed}
    await Installations(database, Keyring.parse(MASTER_KEY)).save(grant(ACME, **given), audit_actor="U0ADA")
    return installed.token


async def test_a_healthy_deployment_has_nothing_to_look_at(look: Look, sandbox: Sandbox, database: Database) -> None:
    await install(sandbox, database)
    found = await look()
    assert {level for area in levels(found).values() for level in area} == {"fine"}
    assert set(found) == {
        "settings", "database", "schema", "wall", "inbox", "keys", "slack", "events", "tokens", "scopes", "model",
        "documents", "reader", "clock",
    }  # fmt: skip
    assert found["tokens"][0].what == f"Slack accepts the token of {ACME}"
    assert "the database" in found["clock"][0].what
    assert "Slack" in found["clock"][0].what
    assert sandbox.sockets.connected == 0


async def test_wrong_settings_are_told_one_by_one_and_nothing_else_is_looked_at(look: Look, sandbox: Sandbox) -> None:
    found = await look(LOG_LEVEL="LOUD", ENCRYPTION_KEYS="k1:AAAA")
    assert set(found) == {"settings"}
    assert len(found["settings"]) == 2
    assert all(finding.level == "broken" and finding.remedy for finding in found["settings"])
    assert not sandbox.ledger.calls


async def test_a_database_that_does_not_answer_is_told_and_the_rest_is_still_looked_at(look: Look) -> None:
    found = await look(DATABASE_URL="postgresql://nobody:nothing-of-note@127.0.0.1:9/none")
    broken = only(found["database"], "broken")
    assert "nothing-of-note" not in broken.what
    assert levels(found)["slack"] == levels(found)["model"] == {"fine"}


async def test_an_empty_database_is_told_to_be_migrated(look: Look, postgres_server: PostgresServer) -> None:
    with postgres_server.empty() as name:
        found = await look(DATABASE_URL=postgres_server.url(name))
    broken = [finding for listed in found.values() for finding in listed if finding.level == "broken"]
    assert broken
    assert all("migrate" in finding.remedy for finding in broken)


async def test_a_missing_and_a_changed_function_are_told(look: Look, admin: Admin) -> None:
    await admin.execute("update enablebot.schema_functions set checksum = 'other' where name like '%inbox%'")
    assert "differ" in only((await look())["schema"], "warning").what
    await admin.execute("drop function enablebot.get_inbox_depth")
    assert "get_inbox_depth" in only((await look())["schema"], "broken").what


async def test_an_older_schema_is_told(look: Look, admin: Admin) -> None:
    await admin.execute("delete from enablebot.schema_migrations where version > 1")
    assert "at migration 1 of" in only((await look())["schema"], "broken").what


@pytest.mark.postgrest
async def test_over_the_data_api_alone_the_remedy_is_what_to_paste(
    look: Look, admin: Admin, postgres_server: PostgresServer, database_name: str
) -> None:
    await admin.execute("update enablebot.schema_functions set checksum = 'other' where name like '%inbox%'")
    with data_api(postgres_server, database_name) as api:
        found = await look(DATABASE_URL=None, SUPABASE_URL=api.url, SUPABASE_SERVICE_KEY=api.key())
    assert "migrate --bundle" in only(found["schema"], "warning").remedy


async def test_a_hole_in_the_wall_is_told(look: Look, admin: Admin) -> None:
    await admin.execute("grant select on enablebot.messages to enablebot_api")
    found = await look()
    assert "messages is granted to enablebot_api" in only(found["database"], "broken").what


async def test_a_strong_login_is_fine_for_development_and_a_warning_in_production(
    look: Look, admin_url: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "may do more than they need" in (await look(DATABASE_URL=admin_url))["wall"][0].what
    settings = load_settings(environ=environ, env_file=None, service="cli").model_copy(
        update={"environment": "production", "database": DatabaseSettings(url=SecretStr(admin_url))}
    )
    findings = await examine(lambda: settings)
    assert [finding.level for finding in findings if finding.area == "wall"] == ["warning"]
    escrow = next(finding for finding in findings if finding.area == "keys")
    assert (escrow.level, "copy" in escrow.remedy) == ("warning", True)


async def test_a_database_that_forgets_what_it_confirmed_is_told_and_the_rest_is_still_looked_at(
    look: Look, admin: Admin, database_name: str
) -> None:
    await admin.execute(f"alter database {database_name} set synchronous_commit = off")
    found = await look()
    broken = only(found["database"], "broken")
    assert "synchronous_commit = on" in broken.what
    assert "refuse to start" in broken.remedy
    assert levels(found)["slack"] == levels(found)["model"] == {"fine"}


async def test_events_that_were_set_aside_are_told_with_the_command_that_shows_them(
    look: Look, database: Database
) -> None:
    acme = await add_installed(database, team_id=ACME)
    assert levels(await look())["inbox"] == {"fine"}
    for _ in range(2):
        await settle(database, await claim_one(database, acme, body=b"what was said"), outcome="set_aside", reason="x")
    told = only((await look())["inbox"], "warning")
    assert told.what.startswith(f"2 events are set aside, the first of {ACME} at 20")
    assert "events failed" in told.remedy
    assert "what was said" not in report([told])


@pytest.mark.parametrize(("minutes", "level"), [(1, "fine"), (3, "warning"), (16, "broken")])
async def test_an_event_that_waits_too_long_is_told(
    look: Look, database: Database, admin: Admin, minutes: int, level: str
) -> None:
    await accept(database, (await add_installed(database, team_id=ACME), Event()))
    await admin.execute(f"update enablebot.inbox set received_at = received_at - interval '{minutes} minutes'")
    found = (await look())["inbox"]
    assert [finding.level for finding in found] == [level]
    assert level == "fine" or f"waited for {minutes} minutes; 1 are" in only(found, level).what


@pytest.mark.parametrize(("minutes", "level"), [(9, "fine"), (11, "warning")])
async def test_a_document_that_waits_too_long_is_told_and_is_no_question(
    look: Look, database: Database, admin: Admin, minutes: int, level: str
) -> None:
    await add_waiting(admin, await add_installed(database, team_id=ACME), 3)
    await admin.execute(f"update enablebot.inbox set received_at = received_at - interval '{minutes} minutes'")
    found = await look()
    assert levels(found)["inbox"] == {"fine"}
    assert [finding.level for finding in found["documents"]] == [level]
    assert level == "fine" or f"waited for {minutes} minutes; 3 are" in only(found["documents"], level).what


async def test_passages_that_the_embedding_model_has_not_seen_are_told(
    look: Look, database: Database, admin: Admin
) -> None:
    acme = await add_installed(database, team_id=ACME)
    reading = await begin(admin, acme.tenant_id)
    await stage(database, reading, ["one", "two"])
    await publish(admin, reading)
    assert levels(await look())["documents"] == {"fine"}
    found = await look(OPENAI_EMBEDDING_MODEL="text-embedding-3-small")
    told = only([one for one in found["documents"] if "vector" in one.what], "warning")
    assert told.what == "2 passages of 1 workspaces have no vector of text-embedding-3-small yet"


async def test_paused_workspaces_are_told_by_name_and_the_others_are_still_looked_at(
    look: Look, sandbox: Sandbox, database: Database
) -> None:
    for number in range(12):
        tenant_id = await Installations(database, Keyring.parse(MASTER_KEY)).save(
            grant(f"T0PAUSED{number:02}"), audit_actor="U0ADA"
        )
        await database.pause_installation(
            tenant_id=tenant_id, installed_at=datetime.now(UTC), reason="token_revoked", actor="slack"
        )
    paused = only((await look())["tokens"], "warning")
    assert "T0PAUSED00, T0PAUSED01" in paused.what
    assert "T0PAUSED09 and 2 more" in paused.what
    assert "Add to Slack" in paused.remedy
    await install(sandbox, database)
    found = (await look())["tokens"]
    assert [finding.level for finding in found] == ["warning", "fine"]
    assert found[1].what == f"Slack accepts the token of {ACME}"


async def test_a_database_whose_clock_is_off_is_told(look: Look, admin: Admin) -> None:
    text = await admin.fetchval("select pg_get_functiondef('enablebot.schema_version'::regproc)")
    await admin.execute(text.replace("clock_timestamp()", "clock_timestamp() - interval '61 s'"))
    off = only((await look())["clock"], "warning")
    assert off.what == "ours is 61 s ahead of that of the database"


async def test_a_master_key_in_use_that_is_not_configured_is_named_without_its_bytes(
    look: Look, database: Database
) -> None:
    await add_workspace(database)
    broken = only((await look())["keys"], "broken")
    assert broken.what.endswith(": k1")
    assert "ENCRYPTION_KEYS" in broken.remedy


async def test_no_keys_at_all_are_told(look: Look) -> None:
    assert "keys generate" in only((await look(ENCRYPTION_KEYS=None))["keys"], "broken").remedy


async def test_a_token_that_slack_refuses_is_told(look: Look, sandbox: Sandbox, database: Database) -> None:
    token = await install(sandbox, database)
    sandbox.world.tokens[token].dead = "token_revoked"
    broken = only((await look())["tokens"], "broken")
    assert "token_revoked" in broken.what
    assert token not in report([broken])


async def test_scopes_that_slack_took_away_are_told(look: Look, sandbox: Sandbox, database: Database) -> None:
    token = await install(sandbox, database)
    sandbox.world.tokens[token].scopes.remove("im:history")
    assert "im:history" in only((await look())["tokens"], "warning").what


async def test_scopes_that_were_never_granted_are_told_by_workspace(
    look: Look, sandbox: Sandbox, database: Database
) -> None:
    await install(sandbox, database, scopes=("chat:write",))
    assert f"{ACME}: app_mentions:read" in only((await look())["scopes"], "warning").what


async def test_an_api_s_login_is_told_to_leave_tokens_to_web_s(
    look: Look, sandbox: Sandbox, database: Database, api_url: str
) -> None:
    await install(sandbox, database)
    found = await look(DATABASE_URL=api_url)
    assert "web" in only(found["tokens"], "warning").remedy
    assert levels(found)["keys"] == {"fine"}


async def test_a_slack_that_does_not_answer_is_told(look: Look) -> None:
    found = await look(SLACK_BASE_URL=NOBODY)
    assert "not reachable" in only(found["slack"], "broken").what


async def test_somebody_else_in_slack_s_place_is_told(look: Look, sandbox: Sandbox) -> None:
    found = await look(SLACK_BASE_URL=f"{sandbox.base_url}".replace("localhost", "127.0.0.1"))
    assert levels(found)["slack"] == {"fine"}
    async with elsewhere(status=404) as url:
        assert "unexpected" in only((await look(SLACK_BASE_URL=url))["slack"], "warning").what


async def test_an_app_token_that_opens_no_socket_is_told(look: Look) -> None:
    broken = only((await look(SLACK_APP_TOKEN="xapp-1-A0OTHER-elsewhere"))["events"], "broken")
    assert "invalid_auth" in broken.what
    assert "connections:write" in broken.remedy
    assert "A0OTHER" not in broken.what


async def test_the_address_of_the_events_has_to_be_the_api_s(look: Look, environ: dict[str, str], api_url: str) -> None:
    by_http: dict[str, str | None] = {"SLACK_APP_TOKEN": None, "SLACK_SIGNING_SECRET": "signing-of-the-tests-0123"}
    nobody = only((await look(**by_http, API_PUBLIC_URL=NOBODY))["events"], "warning")
    assert "nobody answers" in nobody.what
    async with elsewhere(status=200) as url:
        assert "is not the api" in only((await look(**by_http, API_PUBLIC_URL=url))["events"], "warning").what
    names = {name: value for name, value in {**environ, **by_http, "DATABASE_URL": api_url}.items() if value}
    async with served(create_app(load_settings(environ=names, env_file=None, service="api"))) as url:
        found = await look(**by_http, API_PUBLIC_URL=url)
    assert levels(found)["events"] == {"fine"}


async def test_where_up_plays_slack_the_real_one_is_not_asked(look: Look, sandbox: Sandbox, database: Database) -> None:
    await install(sandbox, database)
    found = await look(SLACK_APP_TOKEN=None, SLACK_BASE_URL=None)
    assert "`up` plays Slack itself" in only(found["slack"], "warning").what
    assert levels(found)["slack"] == {"warning"}
    assert "tokens" not in found


async def test_without_credentials_it_says_where_they_come_from(look: Look) -> None:
    found = await look(SLACK_APP_TOKEN=None, OPENAI_API_KEY=None)
    assert "manifest" in only(found["slack"], "warning").remedy
    assert "OPENAI_API_KEY" in only(found["model"], "warning").remedy


@pytest.mark.parametrize(
    ("changed", "level", "word"),
    [
        ({"OPENAI_MODEL": "gpt-of-tomorrow"}, "broken", "not among"),
        ({"OPENAI_EMBEDDING_MODEL": "embedding-of-tomorrow"}, "broken", "not among"),
        ({"OPENAI_API_KEY": "sk-bad-of-the-tests"}, "broken", "refuses"),
        ({"OPENAI_BASE_URL": NOBODY}, "broken", "not reachable"),
    ],
)
async def test_a_model_that_cannot_answer_is_told(look: Look, changed: Any, level: str, word: str) -> None:
    found = only((await look(**changed))["model"], level)
    assert word in found.what
    assert "sk-" not in found.what


async def test_the_day_a_model_ends_is_told(look: Look) -> None:
    rows = {"data": [{"id": ModelSettings().name, "shutdown_date": "2027-03-01"}]}
    async with elsewhere(body=rows) as url:
        assert "2027-03-01" in only((await look(OPENAI_BASE_URL=url))["model"], "warning").what


@pytest.mark.parametrize(("seconds", "level"), [(-400, "broken"), (400, "broken"), (60, "warning"), (5, "fine")])
async def test_a_clock_that_is_off_is_told(look: Look, seconds: int, level: str) -> None:
    async with elsewhere(body={"data": []}, ahead=seconds) as url:
        found = (await look(OPENAI_BASE_URL=url))["clock"]
    if level == "fine":
        assert [finding.level for finding in found] == ["fine"]
        return
    off = only(found, level)
    assert ("behind" if seconds > 0 else "ahead of") in off.what
    assert off.what.endswith("the model's server")
    assert [finding.level for finding in found].count("fine") == 1


def test_clocks_nobody_told_are_not_compared() -> None:
    assert compare_clocks({}) == []


def test_the_report_counts_and_shows_remedies_of_what_is_not_fine() -> None:
    text = report([Finding("a", "fine", "well", "unneeded"), Finding("b", "broken", "ill", "rest")])
    assert text.splitlines()[0].startswith("ok    a")
    assert "→ rest" in text
    assert "unneeded" not in text
    assert text.endswith("1 broken, 0 to look at, 1 fine.")


def test_the_command_prints_json_and_its_exit_code_says_whether_anything_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong() -> Settings:
        raise SettingsError(["LOG_LEVEL is not one of five."])

    monkeypatch.setattr("enablebot.commands.checkup.settings_of_cli", wrong)
    assert main(["doctor", "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert set(found) == {"area", "level", "what", "remedy"}
    assert found["level"] == "broken"
    assert main(["doctor"]) == 1
    assert "FAIL  settings" in capsys.readouterr().out


@asynccontextmanager
async def elsewhere(*, status: int = 200, body: Any = None, ahead: int = 0) -> AsyncIterator[str]:
    """A server that gives one answer to everything, and whose clock may be off."""

    async def answer(_: web.Request) -> web.Response:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
        return web.json_response({} if body is None else body, status=status, headers={"Date": date})

    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
