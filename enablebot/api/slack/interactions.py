"""Which interactions are for us: our buttons, and our entry in the menu of a message. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from enablebot.api.slack.relevance import Relevant, retry_pressed
from enablebot.shared.slack.manifest import ADD_SHORTCUT

UNDO_ACTION, REDO_ACTION = "enablebot_undo_add", "enablebot_redo_add"

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_TS = re.compile(r"[0-9]{1,12}\.[0-9]{1,9}", re.ASCII)
_TRIGGER = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)


def interaction_for_us(payload: Mapping[str, Any]) -> Relevant | None:
    """What an interaction is to us; None for every one that is not for us or makes no sense."""
    return retry_pressed(payload) or _file_button(payload) or _shortcut(payload)


def action_of(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one action of a press; empty where there is none, or more than one."""
    actions = payload.get("actions")
    return _mapping(actions[0]) if isinstance(actions, list) and len(actions) == 1 else {}


def _file_button(payload: Mapping[str, Any]) -> Relevant | None:
    """Undo and Put back: every press is a wish of its own, since doing either twice is harmless."""
    if payload.get("type") != "block_actions" or action_of(payload).get("action_id") not in {UNDO_ACTION, REDO_ACTION}:
        return None
    container = _mapping(payload.get("container"))
    message = _mapping(payload.get("message"))
    return _relevant(payload, channel=container.get("channel_id"), ts=container.get("message_ts") or message.get("ts"))


def _shortcut(payload: Mapping[str, Any]) -> Relevant | None:
    if payload.get("type") != "message_action" or payload.get("callback_id") != ADD_SHORTCUT:
        return None
    if not isinstance(payload.get("message"), dict):
        return None
    return _relevant(payload, channel=None, ts=payload.get("message_ts"))


def _relevant(payload: Mapping[str, Any], *, channel: object, ts: object) -> Relevant | None:
    trigger = _matching(_TRIGGER, payload.get("trigger_id"))
    channel_id = _matching(_ID, channel or _mapping(payload.get("channel")).get("id"))
    message_ts = _matching(_TS, ts)
    user = _mapping(payload.get("user"))
    team_id = _matching(_ID, _mapping(payload.get("team")).get("id") or user.get("team_id"))
    if trigger is None or channel_id is None or message_ts is None or team_id is None:
        return None
    if _matching(_ID, user.get("id")) is None:
        return None
    return Relevant(
        kind="interaction",
        event_key=f"trigger:{trigger}",
        message_key=None,
        # No lane of a conversation: whoever uses a shortcut in a thread has not called the bot into it.
        lane=f"files:{channel_id}:{message_ts}",
        joins=True,
        enterprise_id=_matching(_ID, _mapping(payload.get("enterprise")).get("id")),
        team_id=team_id,
        is_org_wide=payload.get("is_enterprise_install") is True,
        channel=channel_id,
        ts=message_ts,
    )


def _matching(pattern: re.Pattern[str], value: object) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
