from __future__ import annotations

from dataclasses import replace

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from enablebot.sandbox.app import Installed, Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.sandbox.signing import signature_headers
from enablebot.tests.sandbox.conftest import ACME, GLOBEX
from enablebot.tests.sandbox.played_app import PlayedApp, drops_the_connection, says, stays_silent

pytestmark = pytest.mark.anyio


async def ask(sandbox: Sandbox, text: str = "good morning", channel: str = "C0GENERAL") -> str:
    return await sandbox.post(team=ACME, channel=channel, user="U0ADA", text=text)


def test_the_signature_is_the_one_slack_documents() -> None:
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = signature_headers(secret="8f742231b10e8888abcd99yyyzzz85a5", body=body, now=1531420618)
    assert headers["X-Slack-Signature"] == "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


async def test_a_mention_is_two_events_with_one_ts_and_two_ids(
    sandbox: Sandbox, acme: Installed, played_app: PlayedApp
) -> None:
    ts = await ask(sandbox, "@EnableBot who approves travel?")
    await sandbox.settled()
    assert {event["type"] for event in played_app.events()} == {"message", "app_mention"}
    assert {event["ts"] for event in played_app.events()} == {ts}
    assert len({heard.json["event_id"] for heard in played_app.heard}) == 2
    mention, plain = played_app.events("app_mention")[0], played_app.events("message")[0]
    assert mention["text"] == f"<@{acme.bot_user}> who approves travel?"
    assert "channel_type" not in mention
    assert plain["channel_type"] == "channel"
    assert all(heard.signed for heard in played_app.heard)
    envelope = played_app.heard[0].json
    assert envelope["authorizations"][0]["user_id"] == acme.bot_user
    assert envelope["api_app_id"] == "A0ENABLEBOT"


async def test_a_direct_message_is_one_message_im_even_when_it_names_the_bot(
    sandbox: Sandbox, acme: Installed, played_app: PlayedApp
) -> None:
    await ask(sandbox, "@EnableBot hello", channel="@bot")
    await sandbox.settled()
    assert [(e["type"], e["channel_type"], e["channel"]) for e in played_app.events()] == [("message", "im", "D0ADA")]


async def test_nothing_is_sent_about_a_channel_without_the_bot_until_it_is_invited(
    sandbox: Sandbox, acme: Installed, played_app: PlayedApp
) -> None:
    await ask(sandbox, "@EnableBot hello", channel="C0RANDOM")
    await sandbox.settled()
    assert played_app.heard == []
    sandbox.invite(ACME, "C0RANDOM")
    await ask(sandbox, "@EnableBot hello", channel="C0RANDOM")
    await sandbox.settled()
    assert {event["type"] for event in played_app.events()} == {"message", "app_mention"}


async def test_a_workspace_without_the_app_sends_nothing(
    sandbox: Sandbox, acme: Installed, played_app: PlayedApp
) -> None:
    await sandbox.post(team=GLOBEX, channel="C1GENERAL", user="U1EVA", text="@EnableBot hello")
    await sandbox.settled()
    assert played_app.heard == []


async def test_an_event_whose_scope_was_not_granted_is_not_sent(sandbox: Sandbox, played_app: PlayedApp) -> None:
    sandbox.install(ACME, scopes=("app_mentions:read", "chat:write"))
    await ask(sandbox, "@EnableBot hello")
    await sandbox.settled()
    assert [event["type"] for event in played_app.events()] == ["app_mention"]


async def test_an_event_is_repeated_three_times_with_number_and_reason(
    sandbox: Sandbox, acme: Installed, played_app: PlayedApp
) -> None:
    played_app.script = [says(500), drops_the_connection(), says(302, Location="/again"), says(503), says(200)]
    await ask(sandbox)
    await sandbox.settled()
    assert [heard.retry for heard in played_app.heard] == [
        (None, None),
        ("1", "http_error"),
        ("2", "connection_failed"),
        ("2", "connection_failed"),
        ("3", "http_error"),
    ]
    assert len({heard.body for heard in played_app.heard}) == 1
    assert all(heard.signed for heard in played_app.heard)
    entry = sandbox.ledger.deliveries[0]
    assert entry.acknowledged
    assert [(attempt.status, attempt.reason) for attempt in entry.attempts] == [
        (500, "http_error"),
        (None, "connection_failed"),
        (503, "http_error"),
        (200, ""),
    ]


async def test_slack_gives_up_after_the_third_repetition(
    sandbox: Sandbox, acme: Installed, played_app: PlayedApp
) -> None:
    played_app.script = [says(500)] * 9
    await ask(sandbox)
    await sandbox.settled()
    assert len(played_app.heard) == 4
    assert not sandbox.ledger.deliveries[0].acknowledged


async def test_an_app_can_decline_repetitions(sandbox: Sandbox, acme: Installed, played_app: PlayedApp) -> None:
    played_app.script = [says(500, X_Slack_No_Retry="1")]
    await ask(sandbox)
    await sandbox.settled()
    assert len(played_app.heard) == 1


async def test_more_than_two_redirects_fail(sandbox: Sandbox, acme: Installed, played_app: PlayedApp) -> None:
    played_app.script = [says(301, Location="/a"), says(302, Location="/b"), says(302, Location="/c"), says(200)]
    await ask(sandbox)
    await sandbox.settled()
    assert [heard.path for heard in played_app.heard] == ["/slack/events", "/a", "/b", "/slack/events"]
    assert played_app.heard[-1].retry == ("1", "too_many_redirects")


async def test_an_answer_that_comes_too_late_is_repeated_and_held_against_the_app(
    config: SandboxConfig, played_app: PlayedApp
) -> None:
    async with running(replace(config, ack_seconds=0.1)) as sandbox:
        sandbox.install(ACME)
        played_app.script = [stays_silent()]
        await ask(sandbox)
        await sandbox.settled()
        assert [heard.retry for heard in played_app.heard] == [(None, None), ("1", "http_timeout")]
        assert [entry.kind for entry in sandbox.ledger.violations] == ["late_acknowledgement"]


def test_an_app_has_three_seconds_whatever_the_time_scale() -> None:
    assert SandboxConfig(time_scale=0.001).ack_seconds == 3.0


async def test_an_app_that_does_not_listen_is_tried_again(sandbox: Sandbox, acme: Installed) -> None:
    sandbox.config_urls(events_url="http://127.0.0.1:9/slack/events")
    await ask(sandbox)
    await sandbox.settled()
    assert {attempt.reason for attempt in sandbox.ledger.deliveries[0].attempts} == {"connection_failed"}
    assert sandbox.ledger.violations.maxlen
    assert not sandbox.ledger.violations


async def test_a_redelivery_has_the_same_body(sandbox: Sandbox, acme: Installed, played_app: PlayedApp) -> None:
    await ask(sandbox)
    await sandbox.settled()
    assert sandbox.delivery.redeliver(sandbox.ledger.deliveries[0].event_id)
    await sandbox.settled()
    assert played_app.heard[0].body == played_app.heard[1].body
    assert sandbox.delivery.redeliver("Ev0UNKNOWN") is None


async def test_the_bots_own_posts_come_back_without_a_subtype(
    sandbox: Sandbox, acme: Installed, played_app: PlayedApp, slack: AsyncWebClient
) -> None:
    await slack.chat_postMessage(channel="C0GENERAL", text=f"<@{acme.bot_user}> is me")
    await sandbox.settled()
    assert len(played_app.events()) == 1
    echo = played_app.events("message")[0]
    assert "subtype" not in echo
    assert (echo["user"], echo["bot_id"], echo["app_id"]) == (acme.bot_user, acme.bot_id, "A0ENABLEBOT")
    assert echo["bot_profile"]["app_id"] == "A0ENABLEBOT"


async def test_an_edit_that_adds_a_mention_is_told_twice(
    sandbox: Sandbox, acme: Installed, played_app: PlayedApp
) -> None:
    ts = await ask(sandbox, "who approves travel?")
    sandbox.people.edit(team=ACME, channel="C0GENERAL", user="U0ADA", ts=ts, text="@EnableBot who approves travel?")
    await sandbox.settled()
    changed = played_app.events("message/message_changed")[0]
    assert changed["hidden"]
    assert changed["previous_message"]["text"] == "who approves travel?"
    assert changed["message"]["ts"] == ts != changed["ts"]
    mention = played_app.events("app_mention")[0]
    assert mention["ts"] == ts
    assert mention["edited"]["user"] == "U0ADA"


async def test_a_reply_names_its_root_and_changes_it(sandbox: Sandbox, acme: Installed, played_app: PlayedApp) -> None:
    root = await ask(sandbox)
    await sandbox.settled()
    played_app.heard.clear()
    await sandbox.post(team=ACME, channel="C0GENERAL", user="U0BEN", text="morning", thread_ts=root)
    await sandbox.settled()
    reply = next(event for event in played_app.events() if "subtype" not in event)
    assert (reply["thread_ts"], reply["parent_user_id"]) == (root, "U0ADA")
    changed = played_app.events("message/message_changed")[0]
    assert (changed["message"]["ts"], changed["message"]["reply_count"]) == (root, 1)
    assert "reply_count" not in changed["previous_message"]
    assert changed["message"]["text"] == changed["previous_message"]["text"]


async def test_a_deleted_message_is_told(sandbox: Sandbox, acme: Installed, played_app: PlayedApp) -> None:
    ts = await ask(sandbox)
    sandbox.people.delete(team=ACME, channel="C0GENERAL", user="U0ADA", ts=ts)
    await sandbox.settled()
    assert played_app.events("message/message_deleted")[0]["deleted_ts"] == ts
    assert sandbox.messages(ACME, "C0GENERAL") == []


async def test_the_events_url_is_verified_by_its_echo(sandbox: Sandbox, played_app: PlayedApp) -> None:
    assert not await sandbox.delivery.challenge()
    assert played_app.heard[0].signed
    assert set(played_app.heard[0].json) == {"token", "challenge", "type"}
