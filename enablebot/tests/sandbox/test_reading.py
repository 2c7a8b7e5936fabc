from __future__ import annotations

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from enablebot.sandbox.app import Installed, Sandbox
from enablebot.tests.sandbox.conftest import ACME
from enablebot.tests.sandbox.test_posting import refusal

pytestmark = pytest.mark.anyio
META = {"event_type": "answer", "event_payload": {"intent": "i-1"}}


async def say(sandbox: Sandbox, text: str, thread_ts: str | None = None, user: str = "U0ADA") -> str:
    return await sandbox.post(team=ACME, channel="C0GENERAL", user=user, text=text, thread_ts=thread_ts)


async def test_a_thread_is_its_root_then_its_replies_in_order(
    slack: AsyncWebClient, sandbox: Sandbox, acme: Installed
) -> None:
    root = await say(sandbox, "root")
    answer = (await slack.chat_postMessage(channel="C0GENERAL", text="one", thread_ts=root, metadata=META))["ts"]
    last = await say(sandbox, "two", root, "U0BEN")
    await say(sandbox, "elsewhere")
    page = await slack.conversations_replies(channel="C0GENERAL", ts=root)
    first, second, third = page["messages"]
    assert [m["ts"] for m in page["messages"]] == [root, answer, last]
    assert (first["thread_ts"], first["reply_count"], first["latest_reply"]) == (root, 2, last)
    assert first["reply_users"] == [acme.bot_user, "U0BEN"]
    assert (second["thread_ts"], second["parent_user_id"], second["bot_id"]) == (root, "U0ADA", acme.bot_id)
    assert "parent_user_id" in third
    assert not page["has_more"]


async def test_metadata_is_shown_only_when_asked_for(slack: AsyncWebClient, sandbox: Sandbox) -> None:
    root = await say(sandbox, "root")
    await slack.chat_postMessage(channel="C0GENERAL", text="one", thread_ts=root, metadata=META)
    plain = await slack.conversations_replies(channel="C0GENERAL", ts=root)
    full = await slack.conversations_replies(channel="C0GENERAL", ts=root, include_all_metadata=True)
    assert "metadata" not in plain["messages"][1]
    assert full["messages"][1]["metadata"] == META


async def test_a_thread_comes_in_pages(slack: AsyncWebClient, sandbox: Sandbox) -> None:
    root = await say(sandbox, "root")
    replies = [await say(sandbox, f"{number}", root) for number in range(4)]
    pages = await slack.conversations_replies(channel="C0GENERAL", ts=root, limit=2)
    seen = [[message["ts"] for message in page["messages"]] async for page in pages]
    assert seen == [[root, replies[0]], replies[1:3], replies[3:]]
    call = slack.conversations_replies(channel="C0GENERAL", ts=root, cursor="bm9uc2Vuc2U=")
    assert await refusal(call) == "invalid_cursor"
    call = slack.conversations_replies(channel="C0GENERAL", ts=root, limit=1001)
    assert await refusal(call) == "invalid_limit"


async def test_a_thread_since_a_moment_still_shows_its_root(slack: AsyncWebClient, sandbox: Sandbox) -> None:
    root = await say(sandbox, "root")
    one, two, three = [await say(sandbox, text, root) for text in ("one", "two", "three")]
    page = await slack.conversations_replies(channel="C0GENERAL", ts=root, oldest=one)
    assert [m["ts"] for m in page["messages"]] == [root, two, three]
    page = await slack.conversations_replies(channel="C0GENERAL", ts=root, oldest=one, latest=two, inclusive=True)
    assert [m["ts"] for m in page["messages"]] == [root, one, two]


async def test_a_message_without_replies_is_a_thread_of_one(slack: AsyncWebClient, sandbox: Sandbox) -> None:
    root = await say(sandbox, "root")
    page = await slack.conversations_replies(channel="C0GENERAL", ts=root)
    assert [m["ts"] for m in page["messages"]] == [root]
    assert "thread_ts" not in page["messages"][0]
    assert await refusal(slack.conversations_replies(channel="C0GENERAL", ts="1.000000")) == "thread_not_found"


async def test_history_is_newest_first_without_replies(slack: AsyncWebClient, sandbox: Sandbox) -> None:
    first = await say(sandbox, "first")
    await say(sandbox, "reply", first)
    second = await say(sandbox, "second")
    page = await slack.conversations_history(channel="C0GENERAL")
    assert [m["ts"] for m in page["messages"]] == [second, first]
    page = await slack.conversations_history(channel="C0GENERAL", limit=1)
    rest = await slack.conversations_history(
        channel="C0GENERAL", limit=1, cursor=page["response_metadata"]["next_cursor"]
    )
    assert (page["has_more"], [m["ts"] for m in rest["messages"]], rest["has_more"]) == (True, [first], False)


async def test_only_members_read(slack: AsyncWebClient, sandbox: Sandbox) -> None:
    ts = await sandbox.post(team=ACME, channel="C0RANDOM", user="U0ADA", text="psst")
    assert await refusal(slack.conversations_history(channel="C0RANDOM")) == "not_in_channel"
    assert await refusal(slack.conversations_replies(channel="C0RANDOM", ts=ts)) == "not_in_channel"


async def test_conversations_are_described_by_their_kind(slack: AsyncWebClient) -> None:
    general = (await slack.conversations_info(channel="C0GENERAL"))["channel"]
    assert (general["name"], general["is_channel"], general["is_private"], general["is_member"]) == (
        "general",
        True,
        False,
        True,
    )
    assert not (await slack.conversations_info(channel="C0RANDOM"))["channel"]["is_member"]
    direct = (await slack.conversations_open(users="U0ADA", return_im=True))["channel"]
    assert (direct["is_im"], direct["user"]) == (True, "U0ADA")
    assert await refusal(slack.conversations_open(users="U0NOBODY")) == "user_not_found"


async def test_people_and_workspaces_are_described(slack: AsyncWebClient, acme: Installed) -> None:
    ada = (await slack.users_info(user="U0ADA"))["user"]
    assert (ada["is_admin"], ada["is_owner"], ada["is_restricted"], ada["is_bot"]) == (True, True, False, False)
    assert "email" not in ada["profile"]
    assert (await slack.users_info(user="U0GUEST"))["user"]["is_restricted"]
    assert (await slack.users_info(user=acme.bot_user))["user"]["profile"]["bot_id"] == acme.bot_id
    assert (await slack.team_info())["team"]["name"] == "Acme"


async def test_reactions_are_counted_once(slack: AsyncWebClient, sandbox: Sandbox, acme: Installed) -> None:
    ts = await say(sandbox, "hi")
    await slack.reactions_add(channel="C0GENERAL", timestamp=ts, name="eyes")
    again = slack.reactions_add(channel="C0GENERAL", timestamp=ts, name="eyes")
    assert await refusal(again) == "already_reacted"
    shown = (await slack.conversations_history(channel="C0GENERAL"))["messages"][0]["reactions"]
    assert shown == [{"name": "eyes", "users": [acme.bot_user], "count": 1}]
    await slack.reactions_remove(channel="C0GENERAL", timestamp=ts, name="eyes")
    gone = slack.reactions_remove(channel="C0GENERAL", timestamp=ts, name="eyes")
    assert await refusal(gone) == "no_reaction"


async def test_a_session_has_a_status_a_title_and_an_end(slack: AsyncWebClient, sandbox: Sandbox) -> None:
    root = await say(sandbox, "root")
    here = {"channel_id": "C0GENERAL", "thread_ts": root}
    answer = await slack.agents_sessions_setStatus(**here, status="processing")
    assert (answer["status"], answer["agent_status"]) == ("processing", "processing")
    await slack.agents_sessions_rename(**here, title="Travel")
    session = sandbox.sessions.find("C0GENERAL", root)
    assert session
    assert session.title == "Travel"
    sandbox.clock.advance(3601)
    assert (sandbox.sessions.find("C0GENERAL", root) or session).status == "active"
    call = slack.api_call("agents.sessions.setStatus", json={**here, "status": "bored"})
    assert await refusal(call) == "invalid_status"
    call = slack.api_call("agents.sessions.setStatus", json={"channel_id": "C0GENERAL", "status": "active"})
    assert await refusal(call) == "thread_ts_required"


async def test_the_older_status_line_goes_with_the_answer_or_after_two_minutes(
    slack: AsyncWebClient, sandbox: Sandbox
) -> None:
    root = await say(sandbox, "root")
    await slack.assistant_threads_setStatus(channel_id="C0GENERAL", thread_ts=root, status="is thinking")
    session = sandbox.sessions.find("C0GENERAL", root)
    assert session
    assert (session.line, session.status) == ("is thinking", "processing")
    await slack.chat_postMessage(channel="C0GENERAL", thread_ts=root, text="answer")
    assert session.line == ""
    await slack.assistant_threads_setStatus(channel_id="C0GENERAL", thread_ts=root, status="is thinking")
    sandbox.clock.advance(121)
    assert (sandbox.sessions.find("C0GENERAL", root) or session).line == ""


async def test_at_most_four_prompts_are_suggested(slack: AsyncWebClient, sandbox: Sandbox) -> None:
    await slack.conversations_open(users="U0ADA")
    prompts = [{"title": f"{n}", "message": f"m{n}"} for n in range(5)]
    await slack.assistant_threads_setSuggestedPrompts(channel_id="D0ADA", prompts=prompts[:4], title="Try")
    assert sandbox.world.prompts["D0ADA"]["prompts"] == prompts[:4]
    call = slack.assistant_threads_setSuggestedPrompts(channel_id="D0ADA", prompts=prompts)
    assert await refusal(call) == "invalid_arguments"


async def test_the_bot_lists_the_conversations_it_is_in_page_by_page(sandbox: Sandbox, slack: AsyncWebClient) -> None:
    assert [one["id"] for one in (await slack.users_conversations())["channels"]] == ["C0GENERAL"]
    sandbox.invite(ACME, "C0RANDOM")
    sandbox.world.channels["C0RANDOM"].is_archived = True
    first = await slack.users_conversations(types="public_channel,private_channel", limit=1)
    assert ([one["name"] for one in first["channels"]], first["channels"][0]["is_member"]) == (["general"], True)
    second = await slack.users_conversations(limit=1, cursor=first["response_metadata"]["next_cursor"])
    assert [one["name"] for one in second["channels"]] == ["random"]
    assert second["response_metadata"]["next_cursor"] == ""
    living = await slack.users_conversations(exclude_archived=True)
    assert [one["name"] for one in living["channels"]] == ["general"]
    assert await refusal(slack.users_conversations(types="secret")) == "invalid_types"
    assert await refusal(slack.users_conversations(cursor="zzz")) == "invalid_cursor"
