"""Add to Slack: one use, one browser, ten minutes, and nothing sent to Slack in any other case."""

import asyncio
import logging
import re
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import pytest

from enablebot.sandbox.app import Sandbox
from enablebot.shared.database.operations import Database
from enablebot.shared.models.installation import REQUIRED_SCOPES
from enablebot.shared.slack.manifest import BOT_SCOPES
from enablebot.tests.web.conftest import Admin, NewVisitor
from enablebot.tests.web.visiting import (
    ADA,
    BEN,
    EVA,
    EXCHANGE,
    GLOBEX,
    HTTP_URL,
    HTTPS_URL,
    Visitor,
    callback,
    cookie_lines,
    exchanges,
    opened,
    settings_for,
    state_in,
)
from enablebot.web.main import create_app

pytestmark = pytest.mark.anyio

STRANGE_VALUES = {
    "empty": "",
    "short": "a" * 42,
    "long": "a" * 44,
    "never-given": "a" * 43,
    "nul": "\x00" * 43,
    "not-ascii": "ä" * 43,
    "path": "../" * 14 + "a",
    "line-break": "a" * 43 + "\n",
}


async def test_the_button_leads_to_slacks_consent_page_with_our_scopes_and_no_more(
    visitor: Visitor, sandbox: Sandbox
) -> None:
    address = urlsplit(await visitor.begin())
    asked = parse_qs(address.query)
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{sandbox.base_url}/oauth/v2/authorize"
    assert set(asked) == {"client_id", "scope", "redirect_uri", "state"}
    assert sorted(asked["scope"][0].split(",")) == sorted(REQUIRED_SCOPES) == sorted(BOT_SCOPES)
    assert asked["redirect_uri"] == [f"{HTTPS_URL}/slack/oauth_redirect"]


async def test_the_state_is_random_and_the_database_keeps_only_its_hash(visitor: Visitor, admin: Admin) -> None:
    states = [state_in(await visitor.begin()) for _ in range(3)]
    assert len(set(states)) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", state) for state in states)
    browser = visitor.cookie("enablebot_oauth")
    assert browser
    rows = await admin.fetch("select * from enablebot.oauth_states")
    assert {row["state_hash"] for row in rows} == {sha256(state.encode()).digest() for state in states}
    assert {row["browser_hash"] for row in rows} == {sha256(browser.encode()).digest()}
    assert {round((row["expires_at"] - row["created_at"]).total_seconds()) for row in rows} == {600}
    assert not any(secret in str(dict(row)) for row in rows for secret in (*states, browser))


async def test_the_cookie_is_bound_to_this_host_over_https(visitor: Visitor) -> None:
    (line,) = cookie_lines(await visitor.get("/slack/install"))
    name, _, flags = line.partition("=")
    assert name == "__Host-enablebot_oauth"
    assert flags.partition("; ")[2] == "HttpOnly; Max-Age=600; Path=/; SameSite=lax; Secure"


async def test_the_cookie_has_a_plain_name_over_http(web_database: Database, sandbox: Sandbox) -> None:
    app = create_app(settings_for(sandbox.base_url, public_url=HTTP_URL), database=web_database)
    async with opened(app) as served:
        visitor = Visitor(served, sandbox, HTTP_URL)
        (line,) = cookie_lines(await visitor.get("/slack/install"))
        assert line.startswith("enablebot_oauth=")
        assert line.partition("; ")[2] == "HttpOnly; Max-Age=600; Path=/; SameSite=lax"


async def test_an_installation_ends_on_the_dashboard_with_a_sealed_token(
    visitor: Visitor, sandbox: Sandbox, admin: Admin
) -> None:
    response = await visitor.install()
    assert (response.status_code, response.headers["location"]) == (303, "/dashboard")
    assert [call.method for call in sandbox.ledger.calls] == [EXCHANGE, "auth.test"]
    assert not sandbox.ledger.violations
    token = sandbox.world.installs["T0SANDBOX1"].token
    row = await admin.fetchrow("select * from enablebot.installations")
    assert row is not None
    assert (row["status"], row["team_id"], row["installed_by"]) == ("active", "T0SANDBOX1", ADA)
    assert row["bot_user_id"] == sandbox.world.installs["T0SANDBOX1"].bot_user
    assert row["bot_id"] == sandbox.world.installs["T0SANDBOX1"].bot_id
    assert sorted(row["scopes"]) == sorted(REQUIRED_SCOPES)
    assert row["bot_token"] is not None
    assert token.encode() not in row["bot_token"]
    page = await visitor.get("/dashboard")
    assert page.status_code == 200
    assert "Acme" in page.text
    assert token not in page.text


async def test_the_whole_database_after_an_installation_holds_no_secret_in_the_clear(
    visitor: Visitor, sandbox: Sandbox, admin: Admin
) -> None:
    address = await visitor.begin()
    browser = visitor.cookie("enablebot_oauth")
    await visitor.get(visitor.consent(address))
    session = visitor.cookie("enablebot_session")
    assert browser
    assert session
    secrets = (sandbox.world.installs["T0SANDBOX1"].token, state_in(address), browser, session)
    tables = await admin.fetch("select tablename from pg_tables where schemaname = 'enablebot'")
    assert len(tables) > 5
    for table in tables:
        for row in await admin.fetch(f"select t::text as line from enablebot.{table['tablename']} t"):
            for secret in secrets:
                assert secret not in row["line"]
                assert secret.encode().hex() not in row["line"]


async def test_installation_and_session_are_audited(visitor: Visitor, admin: Admin) -> None:
    await visitor.install()
    rows = await admin.fetch("select actor, action, outcome from enablebot.audit order by seq")
    assert [(row["actor"], row["outcome"]) for row in rows] == [(ADA, "installed"), (ADA, "ok")]
    assert [row["action"] for row in rows][1:] == ["session.start"]


async def test_a_state_we_never_gave_away_reaches_nobody(visitor: Visitor, sandbox: Sandbox) -> None:
    await visitor.begin()
    for kind, state in STRANGE_VALUES.items():
        response = await visitor.get(callback(code="1.2.3", state=state))
        assert response.status_code == 400, kind
        assert "Start" in response.text, kind
    assert exchanges(sandbox) == 0


async def test_a_callback_without_code_or_state_says_where_to_start(visitor: Visitor, sandbox: Sandbox) -> None:
    await visitor.begin()
    for query in ({}, {"code": "1.2.3"}, {"state": "a" * 43}, {"unrelated": "1"}):
        response = await visitor.get(callback(**query))
        assert response.status_code == 400
        assert "Start from Add to Slack" in response.text
    assert exchanges(sandbox) == 0


async def test_a_value_longer_than_any_of_slacks_is_refused_unread(visitor: Visitor, sandbox: Sandbox) -> None:
    for name in ("code", "state", "error"):
        response = await visitor.get(callback(**({"code": "1", "state": "2"} | {name: "a" * 2000})))
        assert response.status_code == 422, name
        assert "a" * 100 not in response.text
    assert exchanges(sandbox) == 0


async def test_a_state_works_once(visitor: Visitor, sandbox: Sandbox) -> None:
    address = visitor.consent(await visitor.begin())
    oauth = visitor.cookie("enablebot_oauth")
    assert oauth
    assert (await visitor.get(address)).status_code == 303
    visitor.http.cookies.set("__Host-enablebot_oauth", oauth, domain="bot.example.com", path="/")
    again = await visitor.get(address)
    assert again.status_code == 400
    assert "cannot be used any more" in again.text
    assert exchanges(sandbox) == 1


async def test_a_state_of_another_browser_is_refused_and_stays_usable_in_its_own(
    new_visitor: NewVisitor, sandbox: Sandbox
) -> None:
    victim, attacker = new_visitor(), new_visitor()
    await victim.begin()
    address = attacker.consent(await attacker.begin())
    for stranger in (victim, new_visitor()):
        response = await stranger.get(address)
        assert response.status_code == 400
        assert stranger.cookie("enablebot_session") is None
    assert exchanges(sandbox) == 0
    assert (await attacker.get(address)).status_code == 303


async def test_a_state_dies_after_ten_minutes(visitor: Visitor, sandbox: Sandbox, admin: Admin) -> None:
    address = visitor.consent(await visitor.begin())
    await admin.execute("update enablebot.oauth_states set expires_at = expires_at - interval '600 seconds'")
    assert (await visitor.get(address)).status_code == 400
    assert exchanges(sandbox) == 0


async def test_a_state_lives_until_its_tenth_minute(visitor: Visitor, admin: Admin) -> None:
    address = visitor.consent(await visitor.begin())
    await admin.execute("update enablebot.oauth_states set expires_at = expires_at - interval '540 seconds'")
    assert (await visitor.get(address)).status_code == 303


async def test_a_state_made_for_another_purpose_installs_nothing(
    visitor: Visitor, sandbox: Sandbox, admin: Admin
) -> None:
    address = visitor.consent(await visitor.begin())
    await admin.execute("update enablebot.oauth_states set purpose = 'login'")
    assert (await visitor.get(address)).status_code == 400
    assert exchanges(sandbox) == 0


async def test_of_parallel_callbacks_with_one_state_exactly_one_reaches_slack(
    new_visitor: NewVisitor, sandbox: Sandbox
) -> None:
    visitors = [new_visitor() for _ in range(20)]
    addresses = [visitor.consent(await visitor.begin()) for visitor in visitors]

    async def call(visitor: Visitor, address: str) -> int:
        cookies = {"Cookie": f"__Host-enablebot_oauth={visitor.cookie('enablebot_oauth')}"}
        fresh = new_visitor()
        return (await fresh.get(address, headers=cookies)).status_code

    calls = [call(visitor, address) for visitor, address in zip(visitors, addresses, strict=True) for _ in range(4)]
    statuses = await asyncio.gather(*calls)
    assert exchanges(sandbox) == 20
    assert (statuses.count(303), statuses.count(400)) == (20, 60)


async def test_two_tabs_of_one_browser_can_both_be_finished(visitor: Visitor) -> None:
    first, second = await visitor.begin(), await visitor.begin()
    oauth = visitor.cookie("enablebot_oauth")
    assert oauth
    assert (await visitor.get(visitor.consent(first))).status_code == 303
    visitor.http.cookies.set("__Host-enablebot_oauth", oauth, domain="bot.example.com", path="/")
    assert (await visitor.get(visitor.consent(second, team=GLOBEX, user=EVA))).status_code == 303


async def test_fewer_scopes_than_needed_are_kept_and_shown(visitor: Visitor, admin: Admin) -> None:
    response = await visitor.install(scopes="chat:write,app_mentions:read")
    assert response.headers["location"] == "/dashboard"
    assert set(await admin.fetchval("select scopes from enablebot.installations")) == {
        "chat:write",
        "app_mentions:read",
    }
    page = (await visitor.get("/dashboard")).text
    assert f"{len(REQUIRED_SCOPES) - 2} permissions are missing" in page
    assert "EnableBot does not receive direct messages." in page
    assert "Grant what is missing" in page


async def test_adding_it_again_keeps_one_tenant_and_one_living_token(new_visitor: NewVisitor, admin: Admin) -> None:
    for user in (ADA, BEN):
        assert (await new_visitor().install(user=user)).status_code == 303
    assert await admin.fetchval("select count(*) from enablebot.tenants") == 1
    rows = await admin.fetch("select status, bot_token is null as gone from enablebot.installations")
    assert sorted((row["status"], row["gone"]) for row in rows) == [("active", False), ("replaced", True)]


async def test_looking_with_head_uses_nothing_up(visitor: Visitor, sandbox: Sandbox, admin: Admin) -> None:
    assert (await visitor.http.head("/slack/install")).status_code == 204
    assert await admin.fetchval("select count(*) from enablebot.oauth_states") == 0
    address = visitor.consent(await visitor.begin())
    assert (await visitor.http.head(address)).status_code == 204
    assert exchanges(sandbox) == 0
    assert (await visitor.get(address)).status_code == 303


async def test_an_installation_leaves_no_secret_in_the_log_at_its_most_talkative(
    visitor: Visitor, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        address = await visitor.begin()
        browser = visitor.cookie("enablebot_oauth")
        back = visitor.consent(address)
        await visitor.get(back)
        await visitor.get(back)
        sandbox.faults.add(EXCHANGE, "error", error="a_code_of_next_year")
        await visitor.install()
    assert "scopes missing: none" in caplog.text
    ours = "\n".join(
        line.getMessage()
        for line in caplog.records
        if line.name.startswith("enablebot.") and "sandbox" not in line.name
    )
    code = parse_qs(urlsplit(back).query)["code"][0]
    session = visitor.cookie("enablebot_session")
    token = sandbox.world.installs["T0SANDBOX1"].token
    for secret in (code, state_in(address), browser, session, token, "sandbox-client-secret"):
        assert secret
        assert secret not in ours


async def test_how_installations_end_is_counted(visitor: Visitor) -> None:
    await visitor.install()
    await visitor.get(visitor.consent(await visitor.begin(), allow=False))
    figures = (await visitor.get("/metrics")).text
    assert 'enablebot_installs_total{outcome="installed"} 1.0' in figures
    assert 'enablebot_installs_total{outcome="access_denied"} 1.0' in figures
    assert 'enablebot_slack_calls_total{method="oauth.v2.access",outcome="ok"} 1.0' in figures
