"""`chat.postMessage`, `chat.update`, `chat.delete`, `chat.postEphemeral`."""

from __future__ import annotations

from typing import Any

from enablebot.sandbox.manifest import APP_ID
from enablebot.sandbox.messages import Message
from enablebot.sandbox.refusal import Refused
from enablebot.sandbox.webapi.call import Call, Method
from enablebot.sandbox.webapi.content import (
    TEXT_CUT,
    UPDATE_TEXT,
    attachments_of,
    blocks_of,
    markdown_of,
    metadata_of,
)
from enablebot.sandbox.world import Channel


def posting_channel(call: Call) -> Channel:
    """Where a post goes: a channel the bot is in, or the DM with the person whose id was given."""
    wanted = call.args.required("channel")
    person = call.world.user_in(call.team, wanted)
    if person and not person.is_bot:
        if person.deleted:
            raise Refused("channel_not_found")
        return call.world.direct_channel(call.team, person.id)
    channel = call.channel()
    if channel.is_archived:
        raise Refused("is_archived")
    if not (channel.kind == "channel" and call.allowed("chat:write.public")):
        call.require_member(channel)
    return channel


def thread_of(call: Call, channel: Channel) -> str | None:
    """The root a post replies to; a reply's own ts is refused, as is one that does not exist."""
    thread_ts = call.args.text("thread_ts")
    if not thread_ts:
        return None
    root = call.log(channel).visible(thread_ts)
    if root is None:
        raise Refused("thread_not_found")
    if root.thread_ts and root.thread_ts != root.ts:
        raise Refused("cannot_reply_to_message")
    return root.ts


def draft(call: Call, channel: Channel, *, text: str) -> Message:
    """A message of the app, not yet in its channel."""
    username = call.args.text("username")
    if username or call.args.text("icon_emoji") or call.args.text("icon_url"):
        call.need("chat:write.customize")
    return Message(
        ts=call.log(channel).next_ts(call.sandbox.clock.now()),
        channel=channel.id,
        team=call.team,
        user=call.install.bot_user,
        text=text,
        thread_ts=thread_of(call, channel),
        bot_id=call.install.bot_id,
        app_id=APP_ID,
        username=username,
    )


async def post(call: Call) -> dict[str, Any]:
    channel = posting_channel(call)
    call.limit_posts(channel)
    message = _filled(call, channel)
    message.metadata = metadata_of(call)
    if message.thread_ts and call.args.truthy("reply_broadcast"):
        message.subtype = "thread_broadcast"
    call.sandbox.sessions.replied(channel=channel.id, thread_ts=message.thread_ts)
    call.sandbox.add_message(message)
    return {"channel": channel.id, "ts": message.ts, "message": call.sandbox.announcer.picture(message)}


async def post_ephemeral(call: Call) -> dict[str, Any]:
    channel = posting_channel(call)
    user = call.args.required("user")
    if call.world.user_in(call.team, user) is None or user not in channel.members:
        raise Refused("user_not_in_channel")
    message = _filled(call, channel)
    message.ephemeral_to = user
    call.sandbox.add_message(message)
    return {"message_ts": message.ts}


async def update(call: Call) -> dict[str, Any]:
    channel = call.channel()
    message = call.own_message(channel, foreign="cant_update_message")
    if call.sandbox.streams.is_running(message):
        raise Refused("streaming_state_conflict")
    text = call.args.text("text") or ""
    markdown, blocks, attachments = markdown_of(call), blocks_of(call), attachments_of(call)
    if not (text or markdown or blocks or attachments):
        raise Refused("no_text")
    if len(text) > UPDATE_TEXT:
        raise Refused("msg_too_long")
    metadata = metadata_of(call)
    previous = call.sandbox.announcer.picture(message)
    message.text = markdown or text
    message.markdown = markdown is not None
    message.blocks, message.attachments = blocks or None, attachments
    message.tasks, message.plan = [], None
    message.metadata = metadata or message.metadata
    message.edited = {"user": message.user, "ts": call.log(channel).next_ts(call.sandbox.clock.now())}
    call.sandbox.announcer.changed(message, previous=previous)
    call.sandbox.show(message, "changed")
    picture = call.sandbox.announcer.picture(message)
    return {"channel": channel.id, "ts": message.ts, "text": message.text, "message": picture}


async def delete(call: Call) -> dict[str, Any]:
    channel = call.channel()
    message = call.own_message(channel, foreign="cant_delete_message")
    ts = message.ts
    call.sandbox.remove_message(message)
    return {"channel": channel.id, "ts": ts}


def _filled(call: Call, channel: Channel) -> Message:
    text = call.args.text("text") or ""
    markdown, blocks, attachments = markdown_of(call), blocks_of(call), attachments_of(call)
    if not (text.strip() or markdown or blocks or attachments):
        raise Refused("no_text")
    if len(text) > TEXT_CUT:
        text = text[:TEXT_CUT]
        call.warnings.append("message_truncated")
    message = draft(call, channel, text=markdown or text)
    message.markdown = markdown is not None
    message.blocks, message.attachments = blocks, attachments
    return message


METHODS = (
    Method("chat.postMessage", post, scope="chat:write"),
    Method("chat.postEphemeral", post_ephemeral, scope="chat:write", tier=4),
    Method("chat.update", update, scope="chat:write", tier=3),
    Method("chat.delete", delete, scope="chat:write", tier=3),
)
