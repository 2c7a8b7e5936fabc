from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from enablebot.sandbox.app import Installed, Sandbox
from enablebot.sandbox.messages import MessageLog
from enablebot.tests.sandbox.conftest import ACME
from enablebot.tests.sandbox.played_app import PlayedApp

pytestmark = pytest.mark.anyio


async def refusal(call: Awaitable[Any]) -> str:
    with pytest.raises(SlackApiError) as caught:
        await call
    return str(caught.value.response["error"])


@pytest.fixture
async def question(sandbox: Sandbox, acme: Installed) -> str:
    return await sandbox.post(team=ACME, channel="C0GENERAL", user="U0ADA", text="who approves travel?")


async def test_a_post_answers_in_its_thread(slack: AsyncWebClient, question: str, acme: Installed) -> None:
    answer = await slack.chat_postMessage(channel="C0GENERAL", text="Ben", thread_ts=question)
    message = answer["message"]
    assert (answer["channel"], message["ts"], message["thread_ts"]) == ("C0GENERAL", answer["ts"], question)
    assert (message["user"], message["bot_id"], message["text"]) == (acme.bot_user, acme.bot_id, "Ben")
    assert "warning" not in answer.data
    assert answer.headers["x-oauth-scopes"].split(",") == list(acme.scopes)


async def test_a_person_s_id_means_the_dm_with_them(slack: AsyncWebClient) -> None:
    assert (await slack.chat_postMessage(channel="U0BEN", text="hello"))["channel"] == "D0BEN"
    assert (await slack.conversations_open(users="U0BEN"))["channel"]["id"] == "D0BEN"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"text": "x", "channel": "C0NOWHERE"}, "channel_not_found"),
        ({"text": "x", "channel": "C1GENERAL"}, "channel_not_found"),
        ({"text": "x", "channel": "U1EVA"}, "channel_not_found"),
        ({"text": "x", "channel": "C0RANDOM"}, "not_in_channel"),
        ({"text": ""}, "no_text"),
        ({"text": " "}, "no_text"),
        ({"text": "x", "thread_ts": "1.000000"}, "thread_not_found"),
        ({"text": "x", "markdown_text": "y"}, "markdown_text_conflict"),
        ({"markdown_text": "y" * 12_001}, "msg_too_long"),
        ({"text": "x", "blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ({"text": "x", "blocks": {"type": "divider"}}, "invalid_blocks_format"),
        ({"text": "x", "blocks": [{"type": "hologram"}]}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "section"}]}, "invalid_blocks"),
        (
            {"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "y" * 3001}}]},
            "invalid_blocks",
        ),
        ({"text": "x", "blocks": [{"type": "divider", "block_id": "a"}] * 2}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "markdown", "text": "y" * 7000}] * 2}, "msg_blocks_too_long"),
        ({"text": "x", "metadata": {"event_type": "answer"}}, "invalid_metadata_format"),
        (
            {"text": "x", "metadata": {"event_type": "a", "event_payload": {"a": "b" * 17_000}}},
            "metadata_too_large",
        ),
        ({"text": "x", "username": "Santa"}, "missing_scope"),
    ],
)
async def test_a_post_slack_would_refuse_is_refused(
    slack: AsyncWebClient, sandbox: Sandbox, arguments: dict[str, Any], error: str
) -> None:
    call = slack.api_call("chat.postMessage", json={"channel": "C0GENERAL"} | arguments)
    assert await refusal(call) == error
    assert sandbox.messages(ACME, "C0GENERAL") == []


async def test_what_is_wrong_with_a_block_is_said(slack: AsyncWebClient) -> None:
    with pytest.raises(SlackApiError) as caught:
        await slack.chat_postMessage(channel="C0GENERAL", text="x", blocks=[{"type": "header"}])
    assert caught.value.response["response_metadata"]["messages"] == [
        "[ERROR] must be a text object of type plain_text [json-pointer:/blocks/0/text]"
    ]


async def test_a_reply_s_own_ts_is_no_thread(slack: AsyncWebClient, question: str) -> None:
    reply = await slack.chat_postMessage(channel="C0GENERAL", text="Ben", thread_ts=question)
    call = slack.chat_postMessage(channel="C0GENERAL", text="x", thread_ts=reply["ts"])
    assert await refusal(call) == "cannot_reply_to_message"


async def test_a_long_post_is_cut_with_a_warning(slack: AsyncWebClient) -> None:
    answer = await slack.chat_postMessage(channel="C0GENERAL", text="x" * 40_001)
    assert len(answer["message"]["text"]) == 40_000
    assert answer["warning"] == "message_truncated"
    assert answer["response_metadata"]["warnings"] == ["message_truncated"]


async def test_an_update_replaces_the_whole_message_and_marks_it(
    slack: AsyncWebClient, sandbox: Sandbox, played_app: PlayedApp
) -> None:
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "one"}}]
    metadata = {"event_type": "answer", "event_payload": {"id": "1"}}
    ts = (await slack.chat_postMessage(channel="C0GENERAL", text="one", blocks=blocks, metadata=metadata))["ts"]
    answer = await slack.chat_update(channel="C0GENERAL", ts=ts, text="two")
    assert (answer["ts"], answer["text"]) == (ts, "two")
    await sandbox.settled()
    message = sandbox.messages(ACME, "C0GENERAL")[0]
    assert (message["text"], message["edited"]["user"]) == ("two", "U0BOT1")
    assert "blocks" not in message
    assert message["metadata"] == metadata
    changed = played_app.events("message/message_changed")[0]
    assert (changed["previous_message"]["text"], changed["message"]["text"]) == ("one", "two")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"text": "x" * 4001}, "msg_too_long"),
        ({"text": ""}, "no_text"),
        ({"text": "x", "ts": "1.000000"}, "message_not_found"),
        ({"text": "x", "channel": "U0ADA"}, "channel_not_found"),
    ],
)
async def test_an_update_slack_would_refuse_is_refused(
    slack: AsyncWebClient, arguments: dict[str, Any], error: str
) -> None:
    ts = (await slack.chat_postMessage(channel="C0GENERAL", text="one"))["ts"]
    assert await refusal(slack.api_call("chat.update", json={"channel": "C0GENERAL", "ts": ts} | arguments)) == error


async def test_only_own_messages_are_changed(slack: AsyncWebClient, question: str) -> None:
    update = slack.chat_update(channel="C0GENERAL", ts=question, text="x")
    assert await refusal(update) == "cant_update_message"
    assert await refusal(slack.chat_delete(channel="C0GENERAL", ts=question)) == "cant_delete_message"


async def test_a_deleted_message_is_gone_and_a_deleted_root_leaves_a_tombstone(
    slack: AsyncWebClient, sandbox: Sandbox
) -> None:
    root = (await slack.chat_postMessage(channel="C0GENERAL", text="root"))["ts"]
    reply = (await slack.chat_postMessage(channel="C0GENERAL", text="reply", thread_ts=root))["ts"]
    await slack.chat_delete(channel="C0GENERAL", ts=root)
    assert [m.get("subtype") for m in sandbox.messages(ACME, "C0GENERAL")] == ["tombstone", None]
    assert await refusal(slack.chat_update(channel="C0GENERAL", ts=root, text="x")) == "message_not_found"
    await slack.chat_delete(channel="C0GENERAL", ts=reply)
    assert [m["ts"] for m in sandbox.messages(ACME, "C0GENERAL")] == [root]


async def test_an_ephemeral_post_is_for_one_person_and_not_part_of_the_conversation(
    slack: AsyncWebClient, sandbox: Sandbox, played_app: PlayedApp
) -> None:
    answer = await slack.chat_postEphemeral(channel="C0GENERAL", user="U0ADA", text="psst")
    await sandbox.settled()
    shown = sandbox.messages(ACME, "C0GENERAL")[0]
    assert (shown["ts"], shown["ephemeral_to"]) == (answer["message_ts"], "U0ADA")
    assert (await slack.conversations_history(channel="C0GENERAL"))["messages"] == []
    assert played_app.heard == []
    call = slack.chat_postEphemeral(channel="C0GENERAL", user="U1EVA", text="psst")
    assert await refusal(call) == "user_not_in_channel"


@given(st.lists(st.floats(min_value=0, max_value=4e9, allow_nan=False), max_size=30))
def test_ts_only_ever_grow_whatever_the_clock_does(moments: list[float]) -> None:
    log = MessageLog()
    stamps = [log.next_ts(moment) for moment in moments]
    assert [float(ts) for ts in stamps] == sorted(float(ts) for ts in stamps)
    assert len(set(stamps)) == len(stamps)
    assert all(len(ts.split(".")[1]) == 6 for ts in stamps)
