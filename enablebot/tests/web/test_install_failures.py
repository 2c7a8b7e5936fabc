"""An installation that fails: a page with a way on, nothing stored, nobody signed in."""

import asyncio

import pytest

from enablebot.sandbox.app import Sandbox
from enablebot.shared.database.operations import Database
from enablebot.tests.web.conftest import Admin
from enablebot.tests.web.visiting import (
    EXCHANGE,
    GUS,
    HTTPS_URL,
    Visitor,
    callback,
    exchanges,
    opened,
    settings_for,
    state_in,
)
from enablebot.web.main import create_app

pytestmark = pytest.mark.anyio


async def test_cancelling_is_no_fault_and_uses_the_state_up(visitor: Visitor, sandbox: Sandbox) -> None:
    begun = await visitor.begin()
    response = await visitor.get(visitor.consent(begun, allow=False))
    assert response.status_code == 403
    assert "EnableBot was not added" in response.text
    assert (await visitor.get(callback(code="1.2.3", state=state_in(begun)))).status_code == 400
    assert exchanges(sandbox) == 0


async def test_a_guest_is_told_to_ask_an_admin(visitor: Visitor, sandbox: Sandbox) -> None:
    response = await visitor.get(visitor.consent(await visitor.begin(), user=GUS))
    assert response.status_code == 403
    assert "ask an admin" in response.text
    assert exchanges(sandbox) == 0


async def test_an_error_with_a_code_beside_it_reaches_nobody(visitor: Visitor, sandbox: Sandbox) -> None:
    state = state_in(await visitor.begin())
    response = await visitor.get(callback(error="access_denied", code="1.2.3", state=state))
    assert response.status_code == 403
    assert exchanges(sandbox) == 0


async def test_a_code_that_slack_never_gave_is_answered_with_a_way_to_start_again(
    visitor: Visitor, sandbox: Sandbox, admin: Admin
) -> None:
    response = await visitor.get(callback(code="1.2.3", state=state_in(await visitor.begin())))
    assert response.status_code == 400
    assert "Slack did not accept this attempt" in response.text
    assert exchanges(sandbox) == 1
    assert await admin.fetchval("select count(*) from enablebot.installations") == 0
    assert visitor.cookie("enablebot_session") is None


async def test_a_wrong_client_secret_is_named_as_our_own_fault(
    web_database: Database, sandbox: Sandbox, admin: Admin
) -> None:
    settings = settings_for(sandbox.base_url, client_secret="not-the-secret-of-this-app")
    async with opened(create_app(settings, database=web_database)) as served:
        visitor = Visitor(served, sandbox, HTTPS_URL)
        response = await visitor.install()
    assert response.status_code == 500
    assert "SLACK_CLIENT_SECRET" in response.text
    assert "not-the-secret-of-this-app" not in response.text
    assert await admin.fetchval("select count(*) from enablebot.tenants") == 0


async def test_without_credentials_the_button_says_what_is_missing(web_database: Database, sandbox: Sandbox) -> None:
    settings = settings_for(sandbox.base_url)
    bare = settings.slack.model_copy(update={"client_id": None, "client_secret": None})
    app = create_app(settings.model_copy(update={"slack": bare}), database=web_database)
    async with opened(app) as served:
        visitor = Visitor(served, sandbox, HTTPS_URL)
        for address in ("/slack/install", callback(code="1", state="a" * 43)):
            response = await visitor.get(address)
            assert response.status_code == 503
            assert "SLACK_CLIENT_ID" in response.text
    assert exchanges(sandbox) == 0


TROUBLE: tuple[tuple[dict[str, object], int], ...] = (
    ({"kind": "status", "status": 500}, 502),
    ({"kind": "lost_answer"}, 502),
    ({"kind": "reset"}, 502),
    ({"kind": "error", "error": "internal_error"}, 502),
    ({"kind": "error", "error": "a_code_of_next_year"}, 502),
    ({"kind": "error", "error": "account_inactive"}, 502),
    ({"kind": "error", "error": "cannot_install_an_org_installed_app"}, 409),
    # The last one: what Slack limits is left alone for so long, whoever installs next.
    ({"kind": "ratelimit", "retry_after": 1}, 503),
)


@pytest.mark.parametrize("method", [EXCHANGE, "auth.test"])
async def test_slack_in_trouble_is_a_page_and_installs_nothing(
    visitor: Visitor, sandbox: Sandbox, admin: Admin, method: str
) -> None:
    for number, (fault, status) in enumerate(TROUBLE, start=1):
        address = visitor.consent(await visitor.begin())
        sandbox.faults.add(method, **fault)  # type: ignore[arg-type]
        response = await visitor.get(address)
        assert response.status_code == status, fault
        assert "What you can do" in response.text
        assert await admin.fetchval("select count(*) from enablebot.installations") == 0
        assert visitor.cookie("enablebot_session") is None
        assert exchanges(sandbox) == number
    await asyncio.sleep(1)
    assert (await visitor.install()).status_code == 303


async def test_slack_out_of_reach_is_a_page(web_database: Database, sandbox: Sandbox) -> None:
    async with opened(create_app(settings_for("http://127.0.0.1:9"), database=web_database)) as served:
        visitor = Visitor(served, sandbox, HTTPS_URL)
        response = await visitor.get(callback(code="1.2.3", state=state_in(await visitor.begin())))
    assert response.status_code == 502
    assert "Slack did not answer" in response.text
    assert response.headers["retry-after"] == "60"


async def test_what_slack_says_in_the_address_is_never_repeated(visitor: Visitor) -> None:
    for payload in ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "ALARM call +1 555 0100"):
        response = await visitor.get(callback(error=payload, error_description=payload, state="a" * 43))
        assert response.status_code == 502
        assert payload not in response.text
        assert "alert(1)" not in response.text
        assert "555" not in response.text
