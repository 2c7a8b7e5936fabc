"""`chat.startStream`, `chat.appendStream`, `chat.stopStream`."""

from __future__ import annotations

from typing import Any

from enablebot.sandbox.blocks import checked_blocks
from enablebot.sandbox.refusal import Refused, invalid_arguments
from enablebot.sandbox.sessions import STATUSES
from enablebot.sandbox.webapi.call import Call, Method
from enablebot.sandbox.webapi.chat import draft, posting_channel
from enablebot.sandbox.webapi.content import chunks_of, metadata_of

_DISPLAY_MODES = ("timeline", "plan")


async def start(call: Call) -> dict[str, Any]:
    channel = posting_channel(call)
    recipient = call.args.text("recipient_user_id")
    if channel.kind != "im":
        # Only this person sees the stream live, so that Slack has to know who.
        if not recipient:
            raise Refused("missing_recipient_user_id")
        if not call.args.text("recipient_team_id"):
            raise Refused("missing_recipient_team_id")
    if recipient and call.world.user_in(call.args.text("recipient_team_id") or call.team, recipient) is None:
        raise Refused("user_not_found")
    if (call.args.text("task_display_mode") or "timeline") not in _DISPLAY_MODES:
        raise invalid_arguments("must be a valid enum value [json-pointer:/task_display_mode]")
    chunks = chunks_of(call, required=False)
    message = draft(call, channel, text="")
    call.log(channel).add(message)
    call.sandbox.streams.start(message, chunks, recipient=recipient)
    call.sandbox.announcer.posted(message)
    call.sandbox.show(message, "message")
    return {"channel": channel.id, "ts": message.ts}


async def append(call: Call) -> dict[str, Any]:
    channel = call.channel()
    message = call.own_message(channel, foreign="message_not_owned_by_app")
    call.sandbox.streams.writable(message)
    call.sandbox.streams.append(message, chunks_of(call, required=True))
    call.sandbox.save_soon()
    return {"channel": channel.id, "ts": message.ts}


async def stop(call: Call) -> dict[str, Any]:
    channel = call.channel()
    message = call.own_message(channel, foreign="message_not_owned_by_app")
    call.sandbox.streams.writable(message)
    status = call.args.text("session_status") or "active"
    if status not in STATUSES:
        raise Refused("invalid_status")
    blocks = call.args.structure("blocks", error="invalid_blocks_format")
    checked = checked_blocks(blocks, most=50) if blocks is not None else None
    chunks, metadata = chunks_of(call, required=False), metadata_of(call)
    call.sandbox.streams.stop(message, chunks, blocks=checked, metadata=metadata, session_status=status)
    call.sandbox.save_soon()
    return {"channel": channel.id, "ts": message.ts, "message": call.sandbox.announcer.picture(message)}


METHODS = (
    Method("chat.startStream", start, scope="chat:write", tier=2),
    Method("chat.appendStream", append, scope="chat:write", tier=4),
    Method("chat.stopStream", stop, scope="chat:write", tier=2),
)
