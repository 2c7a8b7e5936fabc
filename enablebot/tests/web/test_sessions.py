"""Sessions live on the server: new at each sign-in, dead at sign-out, and of one workspace only."""

import re
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

import httpx2
import pytest

from enablebot.sandbox.app import Sandbox
from enablebot.shared.database.operations import Database
from enablebot.tests.web.conftest import Admin, NewVisitor
from enablebot.tests.web.visiting import (
    ACME,
    ADA,
    BEN,
    EVA,
    GLOBEX,
    HTTP_URL,
    HTTPS_URL,
    PAGE,
    Visitor,
    cookie_lines,
    form_token,
    opened,
    settings_for,
)
from enablebot.web.main import create_app

pytestmark = pytest.mark.anyio

SESSION = "__Host-enablebot_session"


async def dashboard_with(new_visitor: NewVisitor, session: str | None) -> httpx2.Response:
    """What somebody sees who has nothing but this cookie."""
    headers = {"Cookie": f"{SESSION}={session}"} if session is not None else {}
    return await new_visitor().get("/dashboard", headers=headers)


async def signed_in(visitor: Visitor, *, team: str = ACME, user: str = ADA) -> str:
    await visitor.install(team=team, user=user)
    session = visitor.cookie("enablebot_session")
    assert session
    return session


async def test_without_a_session_of_ours_there_is_no_dashboard(new_visitor: NewVisitor) -> None:
    await signed_in(new_visitor())
    for session in (None, "", "a" * 43, "a" * 42, "a" * 44, "' or 1=1 --", "a" * 4000, "\x7f" * 43):
        response = await dashboard_with(new_visitor, session)
        assert response.status_code == 401, session
        assert "You are not signed in" in response.text
        assert "Acme" not in response.text


async def test_the_session_cookie_is_bound_to_this_host_over_https(visitor: Visitor) -> None:
    lines = cookie_lines(await visitor.install())
    given = next(line for line in lines if line.startswith(f"{SESSION}="))
    assert re.fullmatch(SESSION + r"=[A-Za-z0-9_-]{43}; HttpOnly; Max-Age=43200; Path=/; SameSite=lax; Secure", given)
    taken = next(line for line in lines if line.startswith("__Host-enablebot_oauth="))
    assert taken == '__Host-enablebot_oauth=""; HttpOnly; Max-Age=0; Path=/; SameSite=lax; Secure'


async def test_the_session_cookie_has_a_plain_name_over_http(web_database: Database, sandbox: Sandbox) -> None:
    sandbox.config_urls(redirect_url=f"{HTTP_URL}/slack/oauth_redirect")
    app = create_app(settings_for(sandbox.base_url, public_url=HTTP_URL), database=web_database)
    async with opened(app) as served:
        visitor = Visitor(served, sandbox, HTTP_URL)
        lines = cookie_lines(await visitor.install())
        assert any(re.match(r"enablebot_session=[A-Za-z0-9_-]{43}; HttpOnly; Max-Age=43200; Path=/", x) for x in lines)
        assert not any("Secure" in line for line in lines)
        assert (await visitor.get("/dashboard")).status_code == 200


async def test_the_database_keeps_only_the_hash_of_a_session(visitor: Visitor, admin: Admin) -> None:
    session = await signed_in(visitor)
    rows = await admin.fetch("select * from enablebot.sessions")
    assert [row["id_hash"] for row in rows] == [sha256(session.encode()).digest()]
    assert [(row["user_id"], row["role"], row["idle_seconds"]) for row in rows] == [(ADA, "installer", 1800)]
    assert round((rows[0]["expires_at"] - rows[0]["created_at"]).total_seconds()) == 12 * 3600
    assert session not in str([dict(row) for row in rows])


@pytest.mark.parametrize("kept", ["id_hash", "browser"])
async def test_what_the_database_keeps_is_no_session(new_visitor: NewVisitor, admin: Admin, kept: str) -> None:
    session = await signed_in(new_visitor())
    stolen = {"id_hash": sha256(session.encode()).hexdigest(), "browser": session[:-1]}[kept]
    assert (await dashboard_with(new_visitor, stolen)).status_code == 401


@pytest.mark.parametrize(
    ("column", "age", "status"),
    [
        ("idle_expires_at", "29 minutes 50 seconds", 200),
        ("idle_expires_at", "30 minutes", 401),
        ("expires_at", "11 hours 59 minutes 50 seconds", 200),
        ("expires_at", "12 hours", 401),
    ],
)
async def test_a_session_ends_when_unused_and_in_any_case_after_half_a_day(
    visitor: Visitor, admin: Admin, column: str, age: str, status: int
) -> None:
    await signed_in(visitor)
    await admin.execute(f"update enablebot.sessions set {column} = {column} - interval '{age}'")
    assert (await visitor.get("/dashboard")).status_code == status


async def test_using_a_session_puts_off_its_idle_end_but_not_its_last(visitor: Visitor, admin: Admin) -> None:
    await signed_in(visitor)
    await admin.execute(
        "update enablebot.sessions set last_seen_at = last_seen_at - interval '20 minutes', "
        "idle_expires_at = idle_expires_at - interval '20 minutes'"
    )
    before = await admin.fetchrow("select idle_expires_at, expires_at from enablebot.sessions")
    assert (await visitor.get("/dashboard")).status_code == 200
    after = await admin.fetchrow("select idle_expires_at, expires_at from enablebot.sessions")
    assert before is not None
    assert after is not None
    assert after["idle_expires_at"] > before["idle_expires_at"]
    assert after["expires_at"] == before["expires_at"]


async def test_signing_in_again_gives_a_new_session_and_ends_the_old_one(new_visitor: NewVisitor) -> None:
    visitor = new_visitor()
    first = await signed_in(visitor)
    second = await signed_in(visitor, user=BEN)
    assert first != second
    assert (await dashboard_with(new_visitor, first)).status_code == 401
    assert (await dashboard_with(new_visitor, second)).status_code == 200


async def test_a_cookie_planted_before_signing_in_is_never_taken_over(new_visitor: NewVisitor) -> None:
    visitor, planted = new_visitor(), "p" * 43
    visitor.http.cookies.set(SESSION, planted, domain="bot.example.com", path="/")
    assert await signed_in(visitor) != planted
    assert (await dashboard_with(new_visitor, planted)).status_code == 401


async def test_signing_out_ends_the_session_on_the_server(new_visitor: NewVisitor, admin: Admin) -> None:
    visitor = new_visitor()
    session = await signed_in(visitor)
    response = await visitor.sign_out()
    assert (response.status_code, response.headers["location"]) == (303, "/?signed-out")
    assert cookie_lines(response) == [f'{SESSION}=""; HttpOnly; Max-Age=0; Path=/; SameSite=lax; Secure']
    assert await admin.fetchval("select count(*) from enablebot.sessions") == 0
    assert (await dashboard_with(new_visitor, session)).status_code == 401
    landing = await visitor.get("/?signed-out")
    assert "You are signed out" in landing.text
    assert "Open dashboard" not in landing.text


async def test_signing_out_leaves_other_peoples_sessions_alone(new_visitor: NewVisitor) -> None:
    ada, ben = new_visitor(), new_visitor()
    await signed_in(ada)
    await signed_in(ben, user=BEN)
    await ada.sign_out()
    assert (await ben.get("/dashboard")).status_code == 200


async def test_removing_the_app_ends_its_sessions(new_visitor: NewVisitor, database: Database, admin: Admin) -> None:
    ada, eva = new_visitor(), new_visitor()
    await signed_in(ada)
    await signed_in(eva, team=GLOBEX, user=EVA)
    tenant: UUID = await admin.fetchval("select id from enablebot.tenants where team_id = $1", ACME)
    await database.end_installation(
        tenant_id=tenant, event_time=datetime.now(UTC), reason="app_uninstalled", actor="slack"
    )
    assert (await ada.get("/dashboard")).status_code == 401
    assert (await eva.get("/dashboard")).status_code == 200


async def test_a_cookie_that_is_worth_nothing_any_more_is_taken_back(new_visitor: NewVisitor) -> None:
    response = await dashboard_with(new_visitor, "a" * 43)
    assert cookie_lines(response) == [f'{SESSION}=""; HttpOnly; Max-Age=0; Path=/; SameSite=lax; Secure']


@pytest.mark.parametrize(
    "elsewhere", ["", "?tenant_id={other}", "?team={team}", "?workspace={team}", "/{other}", "/../{other}"]
)
async def test_a_session_of_one_workspace_never_shows_another(
    new_visitor: NewVisitor, admin: Admin, elsewhere: str
) -> None:
    ada, eva = new_visitor(), new_visitor()
    await signed_in(ada)
    await signed_in(eva, team=GLOBEX, user=EVA)
    other: UUID = await admin.fetchval("select id from enablebot.tenants where team_id = $1", GLOBEX)
    address = "/dashboard" + elsewhere.format(other=other, team=GLOBEX)
    headers = {"X-Tenant-Id": str(other), "X-Slack-Team": GLOBEX}
    for response in (await ada.get(address), await ada.get(address, headers=headers)):
        assert "Globex" not in response.text
        assert GLOBEX not in response.text
        assert str(other) not in response.text.replace(address, "")
    assert "Globex" in (await eva.get("/dashboard")).text


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": HTTPS_URL},
    {"Sec-Fetch-Site": "SAME-ORIGIN"},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    {"Sec-Fetch-Site": "none", "Origin": "https://evil.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "https://bot.example.com.evil.example"},
    {"Origin": "http://bot.example.com"},
    {"Origin": "https://bot.example.com:8443"},
    {"Origin": "null"},
    {},
]


async def test_a_form_sent_from_anywhere_else_changes_nothing(visitor: Visitor, admin: Admin) -> None:
    await signed_in(visitor)
    token = form_token((await visitor.get("/dashboard")).text)
    for headers in FOREIGN:
        response = await visitor.http.post("/logout", data={"csrf_token": token}, headers=headers)
        assert response.status_code == 403, headers
        assert "not sent from EnableBot" in response.text
    assert await admin.fetchval("select count(*) from enablebot.sessions") == 1


OWN = {"Sec-Fetch-Site": "same-origin", "Origin": HTTPS_URL}


WITHOUT_TOKEN = [
    "",
    "csrf_token=",
    "csrf_token=" + "0" * 64,
    "other={token}",
    "csrf_token={token}&csrf_token={token}",
    "csrf_token={token}0",
    "csrf_token=%ff%fe",
    "&".join(f"f{n}=1" for n in range(1000)),
    '{{"csrf_token": "{token}"}}',
    "csrf_token\x00={token}",
]


async def test_a_form_without_the_sessions_own_token_changes_nothing(visitor: Visitor, admin: Admin) -> None:
    await signed_in(visitor)
    token = form_token((await visitor.get("/dashboard")).text)
    headers = OWN | {"Content-Type": "application/x-www-form-urlencoded"}
    for body in WITHOUT_TOKEN:
        response = await visitor.http.post("/logout", content=body.format(token=token).encode(), headers=headers)
        assert response.status_code == 403, body[:80]
    assert await admin.fetchval("select count(*) from enablebot.sessions") == 1


async def test_a_token_of_another_session_is_no_token(new_visitor: NewVisitor, admin: Admin) -> None:
    ada, ben = new_visitor(), new_visitor()
    await signed_in(ada)
    await signed_in(ben, user=BEN)
    token = form_token((await ben.get("/dashboard")).text)
    assert (await ada.http.post("/logout", data={"csrf_token": token}, headers=OWN)).status_code == 403
    assert await admin.fetchval("select count(*) from enablebot.sessions") == 2


async def test_an_older_browser_without_fetch_metadata_can_sign_out(visitor: Visitor) -> None:
    await signed_in(visitor)
    token = form_token((await visitor.get("/dashboard")).text)
    response = await visitor.http.post("/logout", data={"csrf_token": token}, headers={"Origin": HTTPS_URL})
    assert response.status_code == 303


async def test_signing_out_takes_a_form_and_nothing_else(visitor: Visitor, admin: Admin) -> None:
    await signed_in(visitor)
    token = form_token((await visitor.get("/dashboard")).text)
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
        response = await visitor.http.request(method, "/logout", params={"csrf_token": token}, headers=OWN)
        assert response.status_code == 405, method
    assert await admin.fetchval("select count(*) from enablebot.sessions") == 1


async def test_a_body_larger_than_any_form_is_refused(visitor: Visitor, admin: Admin) -> None:
    await signed_in(visitor)
    headers = OWN | {"Content-Type": "application/x-www-form-urlencoded"} | PAGE
    response = await visitor.http.post("/logout", content=b"csrf_token=" + b"a" * 100_000, headers=headers)
    assert response.status_code == 413
    assert "too much at once" in response.text
    assert await admin.fetchval("select count(*) from enablebot.sessions") == 1
