"""What Slack answers, before anything is stored: whole organisations, missing bots, tokens of somebody else."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from enablebot.sandbox.app import Sandbox
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import SlackTokenDead
from enablebot.shared.models.installation import REQUIRED_SCOPES
from enablebot.shared.sensitive import Sensitive
from enablebot.shared.slack.client import SlackClients
from enablebot.tests.web.conftest import Admin
from enablebot.tests.web.reading import Page
from enablebot.tests.web.visiting import HTTPS_URL, Visitor, callback, opened, settings_for, state_in
from enablebot.web.main import create_app

pytestmark = pytest.mark.anyio

TOKEN = "xoxb-1-played-token"
ACCESS: Mapping[str, Any] = {
    "ok": True,
    "access_token": TOKEN,
    "token_type": "bot",
    "scope": "chat:write,im:history",
    "bot_user_id": "U0BOT",
    "app_id": "A0APP",
    "team": {"id": "T9", "name": "Nine"},
    "enterprise": None,
    "is_enterprise_install": False,
    "authed_user": {"id": "U9"},
}
IDENTITY: Mapping[str, Any] = {"ok": True, "user_id": "U0BOT", "bot_id": "B0BOT", "team_id": "T9"}
ORGANISATION = {
    "team": None,
    "enterprise": {"id": "E9", "name": "Nine Group"},
    "is_enterprise_install": True,
}


class PlayedSlack:
    """Answers as it is told, and remembers the token it was asked about."""

    def __init__(self, access: Mapping[str, Any], identity: Mapping[str, Any] | Exception) -> None:
        self.access, self.identity = access, identity
        self.asked_with: list[tuple[str, str | None]] = []

    async def exchange_code(self, **_: object) -> dict[str, Any]:
        return dict(self.access)

    def for_workspace(self, *, token: Sensitive[str], team_id: str | None) -> "PlayedSlack":
        self.asked_with.append((token.reveal(), team_id))
        return self

    async def auth_test(self) -> dict[str, Any]:
        if isinstance(self.identity, Exception):
            raise self.identity
        return dict(self.identity)


async def installed(
    database: Database,
    sandbox: Sandbox,
    access: Mapping[str, Any],
    identity: Mapping[str, Any] | Exception = IDENTITY,
) -> tuple[int, str, str]:
    """Status and page of the callback, then the dashboard."""
    slack = cast("SlackClients", PlayedSlack(access, identity))
    async with opened(create_app(settings_for(sandbox.base_url), database=database, slack=slack)) as app:
        visitor = Visitor(app, sandbox, HTTPS_URL)
        response = await visitor.get(callback(code="1.2.3", state=state_in(await visitor.begin())))
        return response.status_code, response.text, (await visitor.get("/dashboard")).text


async def test_an_organisation_is_sent_on_to_choose_its_workspaces(
    web_database: Database, sandbox: Sandbox, admin: Admin
) -> None:
    granted = {**ACCESS, **ORGANISATION, "scope": ",".join(REQUIRED_SCOPES)}
    identity = {"ok": True, "user_id": "U0BOT", "bot_id": "B0BOT", "enterprise_id": "E9"}
    status, _, dashboard = await installed(web_database, sandbox, granted, identity)
    assert status == 303
    assert "Nine Group" in dashboard
    assert "https://app.slack.com/manage/E9/integrations/profile/A0APP/workspaces/add" in dashboard
    row = await admin.fetchrow("select kind, team_id, enterprise_id from enablebot.tenants")
    assert row is not None
    assert tuple(row) == ("organisation", None, "E9")


@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": None, "bot_user_id": None},
        {"access_token": ""},
        {"bot_user_id": ""},
        {"authed_user": None},
        {"app_id": 7},
        {"team": {"name": "without an id"}},
        {"team": "T9"},
    ],
    ids=str,
)
async def test_a_grant_without_a_usable_bot_installs_nothing(
    web_database: Database, sandbox: Sandbox, admin: Admin, changes: Mapping[str, Any]
) -> None:
    status, page, _ = await installed(web_database, sandbox, {**ACCESS, **changes})
    assert status == 502
    assert "Slack gave no access for the bot" in page
    assert TOKEN not in page
    assert await admin.fetchval("select count(*) from enablebot.tenants") == 0


@pytest.mark.parametrize(
    ("access", "identity"),
    [
        ({}, {"user_id": "U0SOMEBODY", "team_id": "T9"}),
        ({}, {"user_id": "U0BOT", "team_id": "T8"}),
        ({}, {"user_id": "U0BOT", "team_id": None}),
        ({}, {}),
        ({"team": None}, dict(IDENTITY)),
        ({"is_enterprise_install": True}, dict(IDENTITY)),
        ({**ORGANISATION}, {"user_id": "U0BOT", "enterprise_id": "E8"}),
    ],
    ids=str,
)
async def test_a_token_of_somebody_else_installs_nothing(
    web_database: Database, sandbox: Sandbox, admin: Admin, access: Mapping[str, Any], identity: Mapping[str, Any]
) -> None:
    status, page, _ = await installed(web_database, sandbox, {**ACCESS, **access}, identity)
    assert status == 502
    assert "Slack refused the installation" in page
    assert await admin.fetchval("select count(*) from enablebot.tenants") == 0


async def test_a_token_that_is_dead_on_arrival_installs_nothing(
    web_database: Database, sandbox: Sandbox, admin: Admin
) -> None:
    dead = SlackTokenDead("gone", method="auth.test", slack_code="account_inactive")
    status, page, _ = await installed(web_database, sandbox, ACCESS, dead)
    assert status == 502
    assert "Slack refused the installation" in page
    assert await admin.fetchval("select count(*) from enablebot.tenants") == 0


async def test_the_new_token_is_asked_who_it_is_in_its_own_workspace(web_database: Database, sandbox: Sandbox) -> None:
    played = PlayedSlack(ACCESS, IDENTITY)
    slack = cast("SlackClients", played)
    async with opened(create_app(settings_for(sandbox.base_url), database=web_database, slack=slack)) as app:
        visitor = Visitor(app, sandbox, HTTPS_URL)
        await visitor.get(callback(code="1.2.3", state=state_in(await visitor.begin())))
    assert played.asked_with == [(TOKEN, "T9")]


async def test_a_token_that_expires_is_kept_with_its_refresh_token_and_its_end(
    web_database: Database, sandbox: Sandbox, admin: Admin
) -> None:
    rotating = {**ACCESS, "access_token": "xoxe.xoxb-1-a", "refresh_token": "xoxe-1-b", "expires_in": 43_200}
    assert (await installed(web_database, sandbox, rotating))[0] == 303
    row = await admin.fetchrow(
        "select refresh_token, round(extract(epoch from token_expires_at - installed_at)) as seconds "
        "from enablebot.installations"
    )
    assert row is not None
    assert row["refresh_token"] is not None
    assert b"xoxe-1-b" not in row["refresh_token"]
    assert abs(int(row["seconds"]) - 43_200) <= 5


HOSTILE_NAMES = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example></sCrIpT>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "'><script>alert(1)</script>",
    '" autofocus onfocus="alert(1)',
    "' autofocus onfocus='alert(1)",
    "</title><script>alert(1)</script>",
    "</h1><iframe src=javascript:alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href='java\tscript:alert(1)'>x</a>",
    "<form action=https://evil.example><button>x",
    "<base href=https://evil.example>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<link rel=stylesheet href=https://evil.example>",
    "<style>@import 'https://evil.example'</style>",
    "<object data=https://evil.example>",
    "<embed src=https://evil.example>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)>",
    "<body onload=alert(1)>",
    "<input onfocus=alert(1) autofocus>",
    "<!--><script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "{{ 7 * 7 }}{% raw %}<script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;<script>alert(1)</script>",
]


async def test_names_from_slack_are_shown_as_text(web_database: Database, sandbox: Sandbox) -> None:
    assert len(HOSTILE_NAMES) == 30
    tame = Page((await installed(web_database, sandbox, ACCESS))[2])
    for number, name in enumerate(HOSTILE_NAMES):
        team = f"T{number:03}"
        access = {**ACCESS, "team": {"id": team, "name": name}, "authed_user": {"id": name}}
        status, _, dashboard = await installed(web_database, sandbox, access, {**IDENTITY, "team_id": team})
        assert status == 303
        page = Page(dashboard)
        assert page.elements == tame.elements
        assert page.text_of("h1") == name
