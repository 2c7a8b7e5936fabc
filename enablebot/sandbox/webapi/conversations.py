"""`conversations.info`, `.open`, `.history`, `.replies`, and `users.conversations`."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from enablebot.sandbox.manifest import APP_NAME
from enablebot.sandbox.messages import Message, shown
from enablebot.sandbox.refusal import Refused
from enablebot.sandbox.webapi.call import Call, Method
from enablebot.sandbox.world import READ_SCOPES, Channel, ChannelKind

_CAP = 15
_KIND_OF_TYPE: dict[str, ChannelKind] = {
    "public_channel": "channel",
    "private_channel": "group",
    "mpim": "mpim",
    "im": "im",
}


async def info(call: Call) -> dict[str, Any]:
    channel = call.channel()
    call.need_read(channel)
    return {"channel": _described(call, channel)}


async def open_direct(call: Call) -> dict[str, Any]:
    if call.args.text("channel"):
        return {"channel": {"id": call.channel().id}, "no_op": True, "already_open": True}
    users = [user for user in (call.args.text("users") or "").split(",") if user]
    if not users:
        raise Refused("users_list_not_supplied")
    if len(users) > 1:
        raise Refused("not_enough_users", detail="this Slack plays direct messages with one person")
    person = call.world.user_in(call.team, users[0])
    if person is None:
        raise Refused("user_not_found")
    if person.deleted:
        raise Refused("user_disabled")
    if person.is_bot:
        raise Refused("cannot_dm_bot")
    known = "D" + person.id[1:] in call.world.channels
    channel = call.world.direct_channel(call.team, person.id)
    call.sandbox.save_soon()
    shown_channel = _described(call, channel) if call.args.truthy("return_im") else {"id": channel.id}
    return {"channel": shown_channel} | ({"no_op": True, "already_open": True} if known else {})


async def of_bot(call: Call) -> dict[str, Any]:
    """The conversations the bot is in, of the kinds asked for, in the order of their ids."""
    wanted = [kind for kind in (call.args.text("types") or "public_channel").replace(" ", "").split(",") if kind]
    if not wanted or not all(kind in _KIND_OF_TYPE for kind in wanted):
        raise Refused("invalid_types")
    kinds = {_KIND_OF_TYPE[kind] for kind in wanted}
    for kind in sorted(kinds):
        call.need(READ_SCOPES[kind])
    limit = call.args.integer("limit", default=100) or 100
    if not 1 <= limit <= 999:
        raise Refused("invalid_limit")
    mine = [
        channel
        for _, channel in sorted(call.world.channels.items())
        if channel.team == call.team
        and channel.kind in kinds
        and call.install.bot_user in channel.members
        and not (channel.is_archived and call.args.truthy("exclude_archived"))
    ]
    start = 0
    cursor = call.args.text("cursor")
    if cursor:
        ids = [base64.b64encode(f"next_id:{channel.id}".encode()).decode() for channel in mine]
        if cursor not in ids:
            raise Refused("invalid_cursor")
        start = ids.index(cursor)
    following = mine[start + limit :]
    next_cursor = base64.b64encode(f"next_id:{following[0].id}".encode()).decode() if following else ""
    return {
        "channels": [_described(call, channel) for channel in mine[start : start + limit]],
        "response_metadata": {"next_cursor": next_cursor},
    }


async def history(call: Call) -> dict[str, Any]:
    channel = call.channel(reading=True)
    call.sandbox.streams.age()
    limit = _limit(call, default=100, most=999)
    newest_first = list(reversed(_within(call, call.log(channel).timeline())))
    page, cursor = _page(call, newest_first, limit)
    return _pictures(call, channel, page) | {
        "has_more": bool(cursor),
        "pin_count": 0,
        "response_metadata": {"next_cursor": cursor},
    }


async def replies(call: Call) -> dict[str, Any]:
    channel = call.channel(reading=True)
    call.sandbox.streams.age()
    limit = _limit(call, default=1000, most=1000)
    log = call.log(channel)
    root = log.visible(call.args.required("ts"))
    if root is None:
        raise Refused("thread_not_found")
    # The root comes first whatever `oldest` says; a reply's own ts shows that message alone.
    thread = [root] if root.thread_ts else [root, *_within(call, log.replies(root.ts))]
    page, cursor = _page(call, thread, limit)
    return _pictures(call, channel, page) | {
        "has_more": bool(cursor),
        "response_metadata": {"next_cursor": cursor},
    }


def _limit(call: Call, *, default: int, most: int) -> int:
    if call.sandbox.config.history_cap:
        default = most = _CAP
        return min(max(call.args.integer("limit", default=default), 1), most)
    limit = call.args.integer("limit", default=default) or default
    if not 1 <= limit <= most:
        raise Refused("invalid_limit")
    return limit


def _within(call: Call, messages: list[Message]) -> list[Message]:
    """Those between `oldest` and `latest`; the ends belong to it only with `inclusive`."""
    oldest, latest = _moment(call, "oldest"), _moment(call, "latest")
    if call.args.truthy("inclusive"):
        return [m for m in messages if (oldest or 0) <= float(m.ts) <= (latest or float("inf"))]
    return [m for m in messages if (oldest or 0) < float(m.ts) < (latest or float("inf"))]


def _moment(call: Call, name: str) -> float | None:
    value = call.args.text(name)
    try:
        return float(value) if value else None
    except ValueError as error:
        raise Refused(f"invalid_ts_{name}") from error


def _page(call: Call, messages: list[Message], limit: int) -> tuple[list[Message], str]:
    """One page and the cursor of the next, empty at the end."""
    start = 0
    cursor = call.args.text("cursor")
    if cursor:
        try:
            wanted = base64.b64decode(cursor, validate=True).decode().removeprefix("next_ts:")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Refused("invalid_cursor") from error
        start = next((place for place, message in enumerate(messages) if message.ts == wanted), -1)
        if start < 0:
            raise Refused("invalid_cursor")
    rest = messages[start + limit :]
    following = base64.b64encode(f"next_ts:{rest[0].ts}".encode()).decode() if rest else ""
    return messages[start : start + limit], following


def _pictures(call: Call, channel: Channel, page: list[Message]) -> dict[str, Any]:
    log, with_metadata = call.log(channel), call.args.truthy("include_all_metadata")
    return {
        "messages": [
            shown(
                message,
                log,
                bot_name=message.username or APP_NAME,
                files=call.sandbox.files.shared,
                with_metadata=with_metadata,
            )
            for message in page
        ]
    }


def _described(call: Call, channel: Channel) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": channel.id,
        "created": channel.created,
        "is_channel": channel.kind == "channel",
        "is_group": channel.kind == "group",
        "is_im": channel.kind == "im",
        "is_mpim": channel.kind == "mpim",
        "is_private": channel.kind != "channel",
        "is_archived": channel.is_archived,
        "is_shared": False,
        "is_ext_shared": False,
        "is_org_shared": False,
        "context_team_id": channel.team,
    }
    if channel.kind == "im":
        bot = call.install.bot_user
        return described | {"user": next(user for user in channel.members if user != bot)}
    described |= {
        "name": channel.name,
        "name_normalized": channel.name,
        "is_general": channel.name == "general",
        "is_member": call.install.bot_user in channel.members,
        "topic": {"value": "", "creator": "", "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
    }
    if call.args.truthy("include_num_members"):
        described["num_members"] = len(channel.members)
    return described


METHODS = (
    Method("conversations.info", info, tier=3),
    Method("conversations.open", open_direct, scope="im:write", tier=3),
    Method("conversations.history", history, tier=3),
    Method("conversations.replies", replies, tier=3),
    Method("users.conversations", of_bot, tier=3),
)
