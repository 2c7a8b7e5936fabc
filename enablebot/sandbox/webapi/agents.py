"""Agent sessions and the older assistant threads: status, title, suggested prompts."""

from __future__ import annotations

from typing import Any

from enablebot.sandbox.refusal import Refused, invalid_arguments
from enablebot.sandbox.sessions import STATUSES
from enablebot.sandbox.webapi.call import Call, Method
from enablebot.sandbox.world import Channel

_TITLE = 200
_PROMPTS = 4
_LOADING_MESSAGES = 10
_LOADING_CHARACTERS = 50


async def set_session_status(call: Call) -> dict[str, Any]:
    channel = _channel(call)
    status = call.args.required("status")
    if status not in STATUSES:
        raise Refused("invalid_status")
    thread_ts = call.args.text("thread_ts")
    if not thread_ts:
        raise Refused("thread_ts_required")
    title, initiator = call.args.text("title") or "", call.args.text("initiator_user_id") or ""
    if len(title) > _TITLE:
        raise invalid_arguments("must be no longer than 200 characters [json-pointer:/title]")
    if initiator and call.world.user_in(call.team, initiator) is None:
        raise Refused("user_not_found")
    _require_thread(call, channel, thread_ts, error="invalid_thread_ts")
    session = call.sandbox.sessions.set_status(
        channel=channel.id, thread_ts=thread_ts, status=status, title=title, initiator=initiator
    )
    call.sandbox.save_soon()
    return {"status": session.status, "agent_status": session.status, "title": session.title}


async def rename_session(call: Call) -> dict[str, Any]:
    channel = _channel(call)
    title = call.args.required("title")
    if len(title) > _TITLE:
        raise Refused("invalid_name")
    thread_ts = call.args.text("thread_ts")
    if not thread_ts or call.sandbox.sessions.find(channel.id, thread_ts) is None:
        raise Refused("session_not_found")
    call.sandbox.sessions.rename(channel=channel.id, thread_ts=thread_ts, title=title)
    call.sandbox.save_soon()
    return {"title": title}


async def set_thread_status(call: Call) -> dict[str, Any]:
    channel = _channel(call)
    thread_ts = call.args.required("thread_ts")
    if "status" not in call.args:
        raise invalid_arguments("missing required field: status")
    _require_thread(call, channel, thread_ts, error="invalid_thread_ts")
    loading = call.args.structure("loading_messages", error="invalid_arguments") or []
    if len(loading) > _LOADING_MESSAGES or not all(
        isinstance(text, str) and 1 <= len(text) <= _LOADING_CHARACTERS for text in loading
    ):
        raise invalid_arguments("at most 10 items of 1 to 50 characters [json-pointer:/loading_messages]")
    call.sandbox.sessions.set_line(
        channel=channel.id, thread_ts=thread_ts, line=call.args.text("status") or "", loading_messages=loading
    )
    call.sandbox.save_soon()
    return {}


async def set_thread_title(call: Call) -> dict[str, Any]:
    channel = _channel(call)
    thread_ts, title = call.args.required("thread_ts"), call.args.required("title")
    _require_thread(call, channel, thread_ts, error="invalid_thread_ts")
    call.sandbox.sessions.rename(channel=channel.id, thread_ts=thread_ts, title=title[:_TITLE])
    call.sandbox.save_soon()
    return {}


async def set_suggested_prompts(call: Call) -> dict[str, Any]:
    channel = _channel(call)
    prompts = call.args.structure("prompts", error="invalid_arguments")
    if not isinstance(prompts, list) or not 1 <= len(prompts) <= _PROMPTS:
        raise invalid_arguments("must be a list of 1 to 4 prompts [json-pointer:/prompts]")
    if not all(isinstance(p, dict) and p.get("title") and p.get("message") for p in prompts):
        raise invalid_arguments("each prompt needs title and message [json-pointer:/prompts]")
    thread_ts = call.args.text("thread_ts")
    if thread_ts:
        _require_thread(call, channel, thread_ts, error="invalid_thread_ts")
    call.world.prompts[channel.id] = {
        "title": call.args.text("title") or "",
        "prompts": [{"title": str(p["title"]), "message": str(p["message"])} for p in prompts],
    }
    call.sandbox.changes.publish("prompts", team=call.team, channel=channel.id)
    call.sandbox.save_soon()
    return {}


def _channel(call: Call) -> Channel:
    channel = call.channel("channel_id")
    call.require_member(channel)
    return channel


def _require_thread(call: Call, channel: Channel, thread_ts: str, *, error: str) -> None:
    root = call.log(channel).visible(thread_ts)
    if root is None or root.thread_ts:
        raise Refused(error)


METHODS = (
    Method("agents.sessions.setStatus", set_session_status, scope="chat:write", tier=3),
    Method("agents.sessions.rename", rename_session, scope="chat:write", tier=3),
    Method("assistant.threads.setStatus", set_thread_status, scope="chat:write"),
    Method("assistant.threads.setTitle", set_thread_title, scope="assistant:write", tier=4),
    Method("assistant.threads.setSuggestedPrompts", set_suggested_prompts, scope="assistant:write", tier=4),
)
