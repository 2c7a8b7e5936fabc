from __future__ import annotations

import pytest
from aiohttp import web

from enablebot.sandbox.app import Installed, Sandbox
from enablebot.sandbox.traffic import EVENTS_AN_HOUR, Traffic
from enablebot.tests.sandbox.conftest import ACME
from enablebot.tests.sandbox.played_app import PlayedApp

pytestmark = pytest.mark.anyio


async def ask(sandbox: Sandbox) -> None:
    await sandbox.post(team=ACME, channel="@bot", user="U0ADA", text="hi")
    await sandbox.settled()


async def test_a_workspace_above_its_hourly_events_is_announced_once_a_minute(
    sandbox: Sandbox, acme: Installed, played_app: PlayedApp
) -> None:
    for _ in range(EVENTS_AN_HOUR):
        sandbox.delivery.traffic.admit(ACME, now=sandbox.clock.now())
    await ask(sandbox)
    await ask(sandbox)
    notices = [heard.json for heard in played_app.heard]
    assert 1 <= len(notices) <= 2, "two only when a minute turned between the questions"
    assert set(notices[0]) == {"token", "type", "team_id", "minute_rate_limited", "api_app_id"}
    assert (notices[0]["type"], notices[0]["team_id"]) == ("app_rate_limited", ACME)
    assert notices[0]["minute_rate_limited"] % 60 == 0
    assert played_app.heard[0].signed
    sandbox.clock.advance(3601)
    await ask(sandbox)
    assert played_app.heard[-1].event["type"] == "message"
    assert played_app.heard[-1].signed


async def test_an_app_that_keeps_failing_gets_nothing_until_its_url_is_verified_again(
    sandbox: Sandbox, acme: Installed, played_app: PlayedApp
) -> None:
    for _ in range(999):
        sandbox.delivery.traffic.attempted(failed=True, now=sandbox.clock.now())

    async def fail(_: web.Request) -> web.StreamResponse:
        return web.Response(status=500, headers={"X-Slack-No-Retry": "1"})

    async def echo(request: web.Request) -> web.StreamResponse:
        return web.json_response({"challenge": (await request.json())["challenge"]})

    played_app.script = [fail]
    await ask(sandbox)
    assert [entry.kind for entry in sandbox.ledger.violations] == ["events_disabled"]
    await ask(sandbox)
    assert len(played_app.heard) == 1
    played_app.script = [echo]
    assert await sandbox.delivery.challenge()
    await ask(sandbox)
    assert len(played_app.heard) == 3


@pytest.mark.parametrize(
    ("attempts", "failures", "disabled"),
    [(999, 999, False), (1000, 950, False), (1000, 951, True), (2000, 1900, False)],
)
def test_only_more_than_95_percent_of_a_thousand_count(attempts: int, failures: int, disabled: bool) -> None:
    traffic = Traffic(enforced=True)
    for number in range(attempts):
        traffic.attempted(failed=number >= attempts - failures, now=0.0)
    assert traffic.disabled is disabled


def test_failures_older_than_an_hour_are_forgiven() -> None:
    traffic = Traffic(enforced=True)
    for _ in range(999):
        traffic.attempted(failed=True, now=0.0)
    assert not traffic.attempted(failed=True, now=3601.0)
    assert not traffic.disabled
