from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from enablebot.sandbox.app import Installed, Sandbox
from enablebot.tests.sandbox.conftest import ACME, Page
from enablebot.tests.sandbox.played_app import PlayedApp, says
from enablebot.tests.sandbox.test_posting import refusal

pytestmark = pytest.mark.anyio
ADA = {"team": ACME, "channel": "C0GENERAL", "user": "U0ADA"}


RETRY = [
    {
        "type": "actions",
        "block_id": "b",
        "elements": [
            {
                "type": "button",
                "action_id": "retry",
                "value": "q-1",
                "text": {"type": "plain_text", "text": "Retry"},
            }
        ],
    }
]


async def test_a_click_is_a_signed_form_with_the_whole_story(
    page: Page, sandbox: Sandbox, acme: Installed, slack: AsyncWebClient, played_app: PlayedApp
) -> None:
    ts = (await slack.chat_postMessage(channel="C0GENERAL", text="failed", blocks=RETRY))["ts"]
    await sandbox.settled()
    answer = await page.post("click", **ADA, ts=ts, action_id="retry")
    assert answer["acknowledged"]
    heard = next(heard for heard in played_app.heard if heard.path == "/slack/interactions")
    assert heard.signed
    payload = heard.payload
    assert payload["type"] == "block_actions"
    assert payload["actions"][0]["value"] == "q-1"
    assert payload["actions"][0]["block_id"] == "b"
    assert (payload["team"]["id"], payload["user"]["id"], payload["channel"]["id"]) == (ACME, "U0ADA", "C0GENERAL")
    assert payload["message"]["text"] == "failed"
    assert payload["container"]["message_ts"] == ts
    assert payload["response_url"].startswith(f"{sandbox.base_url}/actions/{ACME}/")
    assert (await page.post("click", **ADA, ts=ts, action_id="other"))["error"] == "action_not_found"


async def test_a_refused_click_is_not_repeated(
    page: Page, sandbox: Sandbox, slack: AsyncWebClient, played_app: PlayedApp
) -> None:
    ts = (await slack.chat_postMessage(channel="C0GENERAL", text="failed", blocks=RETRY))["ts"]
    await sandbox.settled()
    played_app.heard.clear()
    played_app.script = [says(500)]
    answer = await page.post("click", **ADA, ts=ts, action_id="retry")
    assert (answer["acknowledged"], answer["status"], len(played_app.heard)) == (False, 500, 1)


@pytest.fixture
async def click(page: Page, sandbox: Sandbox, slack: AsyncWebClient, played_app: PlayedApp) -> Callable[[], Any]:
    ts = (await slack.chat_postMessage(channel="C0GENERAL", text="failed", blocks=RETRY))["ts"]

    async def press() -> dict[str, Any]:
        await page.post("click", **ADA, ts=ts, action_id="retry")
        return played_app.heard[-1].payload

    await sandbox.settled()
    return press


async def test_a_response_url_works_five_times_in_half_an_hour(sandbox: Sandbox, click: Callable[[], Any]) -> None:
    webhook = AsyncWebhookClient((await click())["response_url"])
    answers = [await webhook.send(text=f"{n}", response_type="in_channel") for n in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [404]
    assert answers[5].body == "used_url"
    late = AsyncWebhookClient((await click())["response_url"])
    sandbox.clock.advance(1801)
    assert (await late.send(text="late")).body == "expired_url"


async def test_a_response_url_replaces_and_deletes_its_message(sandbox: Sandbox, click: Callable[[], Any]) -> None:
    webhook = AsyncWebhookClient((await click())["response_url"])
    await webhook.send(text="fixed", replace_original=True)
    assert sandbox.messages(ACME, "C0GENERAL")[0]["text"] == "fixed"
    await webhook.send(text="only for Ada")
    assert sandbox.messages(ACME, "C0GENERAL")[1]["ephemeral_to"] == "U0ADA"
    assert (await webhook.send(text="")).body == "no_text"
    await webhook.send(delete_original=True)
    assert len(sandbox.messages(ACME, "C0GENERAL")) == 1


MODAL = {
    "type": "modal",
    "title": {"type": "plain_text", "text": "Source"},
    "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "cited"}}],
}


async def test_a_trigger_opens_one_modal_within_three_seconds(
    sandbox: Sandbox, slack: AsyncWebClient, click: Callable[[], Any]
) -> None:
    trigger = (await click())["trigger_id"]
    opened = await slack.views_open(trigger_id=trigger, view=MODAL)
    assert opened["view"]["team_id"] == ACME
    assert await refusal(slack.views_open(trigger_id=trigger, view=MODAL)) == "exchanged_trigger_id"
    assert await refusal(slack.views_open(trigger_id="1.2.3", view=MODAL)) == "invalid_trigger_id"
    late = (await click())["trigger_id"]
    sandbox.clock.advance(3.1)
    assert await refusal(slack.views_open(trigger_id=late, view=MODAL)) == "expired_trigger_id"


async def test_a_home_view_is_published_with_a_hash_against_races(slack: AsyncWebClient) -> None:
    home = {"type": "home", "blocks": MODAL["blocks"]}
    first = (await slack.views_publish(user_id="U0ADA", view=home))["view"]["hash"]
    await slack.views_publish(user_id="U0ADA", view=home, hash=first)
    assert await refusal(slack.views_publish(user_id="U0ADA", view=home, hash=first)) == "hash_conflict"
    assert await refusal(slack.views_publish(user_id="U0ADA", view=MODAL)) == "invalid_arguments"
