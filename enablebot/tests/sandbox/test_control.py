from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from enablebot.sandbox.app import Installed, Sandbox
from enablebot.tests.sandbox.conftest import ACME, GLOBEX, Page
from enablebot.tests.sandbox.played_app import PlayedApp
from enablebot.tests.sandbox.test_posting import refusal

pytestmark = pytest.mark.anyio
ADA = {"team": ACME, "channel": "C0GENERAL", "user": "U0ADA"}


async def test_the_state_names_the_two_workspaces_and_their_installs(page: Page, acme: Installed) -> None:
    state = await page.get("state")
    assert [(team["id"], team["name"]) for team in state["workspaces"]] == [(ACME, "Acme"), (GLOBEX, "Globex")]
    assert [(entry["team"], entry["installed"], entry["bot_user_id"]) for entry in state["installs"]] == [
        (ACME, True, acme.bot_user),
        (GLOBEX, False, None),
    ]
    assert {channel["id"] for channel in state["channels"]} == {"C0GENERAL", "C0RANDOM", "C1GENERAL", "C1RANDOM"}
    assert {user["id"] for user in state["users"] if user["is_restricted"]} == {"U0GUEST"}
    assert acme.token not in json.dumps(state)


async def test_a_person_s_text_is_stored_as_slack_stores_it(page: Page, acme: Installed) -> None:
    text = "@EnableBot @Ben a<b & https://x.test/?a=1&b=2, mail@enablebot <@U0GUEST>"
    posted = await page.post("messages", **ADA, text=text)
    stored = (await page.get("messages", team=ACME, channel="C0GENERAL"))["messages"][0]
    assert stored["ts"] == posted["ts"]
    assert stored["text"] == (
        f"<@{acme.bot_user}> <@U0BEN> a&lt;b &amp; <https://x.test/?a=1&amp;b=2>, mail@enablebot <@U0GUEST>"
    )


async def test_bot_as_channel_is_the_person_s_dm(page: Page, acme: Installed) -> None:
    posted = await page.post("messages", team=ACME, channel="@bot", user="U0BEN", text="hi")
    assert posted["channel"] == "D0BEN"
    shown = await page.get("messages", team=ACME, channel="@bot", user="U0BEN", thread_ts=posted["ts"])
    assert [message["text"] for message in shown["messages"]] == ["hi"]
    assert [im["user"] for im in (await page.get("state"))["ims"]] == ["U0BEN"]


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"channel": "C0NOWHERE"}, 404, "channel_not_found"),
        ({"channel": "C1GENERAL"}, 404, "channel_not_found"),
        ({"user": "U1EVA"}, 404, "user_not_found"),
        ({"team": "T0NOWHERE"}, 404, "team_not_found"),
        ({"thread_ts": "1.000000"}, 404, "thread_not_found"),
        ({"text": ""}, 400, "no_text"),
        ({"channel": "@bot"}, 400, "messages_tab_disabled"),
    ],
)
async def test_what_a_person_cannot_do_is_refused(page: Page, changed: dict[str, str], status: int, error: str) -> None:
    answer = await page.post("messages", **(ADA | {"text": "x"} | changed))
    assert (answer["http"], answer["error"]) == (status, error)


async def test_a_missing_field_is_named(page: Page) -> None:
    answer = await page.post("messages", team=ACME)
    assert (answer["http"], answer["error"]) == (400, "missing field: channel")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:8000"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_other_hosts_and_other_sites_are_kept_out(page: Page, headers: dict[str, str]) -> None:
    async with page.http.get(f"{page.url}/state", headers=headers) as response:
        assert response.status == 403
    async with page.http.post(f"{page.url}/reset", json={}, headers=headers) as response:
        assert response.status == 403


async def test_a_form_is_not_json(page: Page) -> None:
    async with page.http.post(f"{page.url}/reset", data={"a": "b"}) as response:
        assert response.status == 415
    async with page.http.get(f"{page.url}/reset") as response:
        assert response.status == 404


async def test_live_pages_hear_of_their_own_workspace(
    page: Page, sandbox: Sandbox, acme: Installed, slack: AsyncWebClient
) -> None:
    async with page.http.get(f"{page.url}/updates", params={"team": ACME}) as live:
        assert await live.content.readline() == b"event: hello\n"
        await live.content.readuntil(b"\n\n")
        await sandbox.post(team=GLOBEX, channel="C1GENERAL", user="U1EVA", text="not for Acme")
        ts = await sandbox.post(team=ACME, channel="@bot", user="U0ADA", text="hi")
        await slack.chat_startStream(channel="D0ADA", thread_ts=ts, markdown_text="a")
        heard: list[dict[str, Any]] = []
        while len(heard) < 3:
            kind, data = (await live.content.readuntil(b"\n\n")).decode().strip().split("\n")
            assert kind == "event: change"
            heard.append(json.loads(data.removeprefix("data: ")))
    assert [(note["what"], note["channel"]) for note in heard] == [
        ("message", "D0ADA"),
        ("status", "D0ADA"),
        ("message", "D0ADA"),
    ]
    assert heard[0]["ts"] == ts == heard[2]["thread_ts"]


async def test_any_event_can_be_sent_and_sent_again(page: Page, sandbox: Sandbox, played_app: PlayedApp) -> None:
    sent = await page.post(
        "events", team="T0NOBODY", event={"type": "moon_landing"}, event_id="Ev1", envelope={"api_app_id": "A0OTHER"}
    )
    assert sent["event_id"] == "Ev1"
    assert (await page.post("redeliver", event_id="Ev1"))["ok"]
    await sandbox.settled()
    assert [heard.json["team_id"] for heard in played_app.heard] == ["T0NOBODY", "T0NOBODY"]
    assert played_app.heard[0].json["api_app_id"] == "A0OTHER"
    assert (await page.post("redeliver", event_id="Ev2"))["error"] == "event_not_found"


async def test_the_consent_page_can_be_answered_without_a_browser(page: Page, sandbox: Sandbox) -> None:
    query = urlencode({"client_id": sandbox.config.client_id, "scope": "chat:write", "state": "s"})
    url = f"{sandbox.base_url}/oauth/v2/authorize?{query}"
    answer = await page.post("authorize", url=url, team=ACME, user="U0ADA")
    assert answer["location"].startswith("http://localhost:8000/slack/oauth_redirect?code=")
    answer = await page.post("authorize", url=url, team=ACME, user="U0ADA", allow=False)
    assert "error=access_denied" in answer["location"]


async def test_faults_are_ordered_and_listed(page: Page) -> None:
    await page.post("faults", faults=[{"method": "chat.postMessage", "kind": "status", "times": 2}])
    assert (await page.get("faults"))["faults"][0]["times"] == 2
    assert (await page.post("faults", faults=[{"kind": "meteor"}]))["http"] == 400


async def test_opening_the_app_is_told_each_time(
    page: Page, sandbox: Sandbox, acme: Installed, played_app: PlayedApp
) -> None:
    for _ in range(2):
        await page.post("open", team=ACME, user="U0ADA")
    await sandbox.settled()
    assert [(e["tab"], e["channel"]) for e in played_app.events("app_home_opened")] == [("messages", "D0ADA")] * 2


async def test_a_reset_forgets_everything_but_the_founding(
    page: Page, sandbox: Sandbox, acme: Installed, slack: AsyncWebClient
) -> None:
    await page.post("messages", **ADA, text="hi")
    await sandbox.settled()
    await page.post("reset")
    assert sandbox.world.installs == {}
    assert sandbox.messages(ACME, "C0GENERAL") == []
    assert (await page.get("ledger"))["deliveries"] == []
    assert await refusal(slack.auth_test()) == "invalid_auth"
