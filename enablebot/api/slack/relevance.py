"""Is this for us? A pure function of what Slack sent; what it does not name is dropped unread."""

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

RelevantKind = Literal["mention", "message", "lifecycle", "stop", "delete", "own_message", "interaction"]

RETRY_ACTION = "enablebot_retry"

# What people write arrives under these; every other subtype is a notice about something else.
_PEOPLES_SUBTYPES = frozenset({"file_share", "thread_broadcast", "me_message"})
_SLACKBOT = "USLACKBOT"

# Keys and lanes are made of these, so an odd one is refused here and never reaches an index.
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_TS = re.compile(r"[0-9]{1,12}\.[0-9]{1,9}", re.ASCII)
_TRIGGER = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)


class Relevant(NamedTuple):
    """What the inbox has to know of an event that is for us, and nothing anybody wrote.

    `thread_ts` is the root of the conversation and `ts` the message itself, where the event is about one.
    `event_time` is in Unix seconds, 0 where Slack named none.
    """

    kind: RelevantKind
    event_key: str
    message_key: str | None
    lane: str | None
    joins: bool
    enterprise_id: str | None
    team_id: str | None
    is_org_wide: bool
    event_time: int = 0
    channel: str | None = None
    thread_ts: str | None = None
    ts: str | None = None


class _Audience(NamedTuple):
    enterprise_id: str | None
    team_id: str | None
    is_org_wide: bool
    bot_user_id: str | None


def relevance(envelope: Mapping[str, Any]) -> Relevant | None:
    """What an event of the Events API is to us; None for everything that is not for us or makes no sense."""
    event = envelope.get("event")
    event_key = _matching(_ID, envelope.get("event_id"))
    audience = _audience(envelope)
    if not isinstance(event, dict) or event_key is None or audience is None:
        return None
    match event.get("type"):
        case "app_mention" | "message":
            return _message(envelope, event, event_key, audience)
        case "app_uninstalled" | "tokens_revoked":
            return _relevant("lifecycle", event_key, envelope, audience)
        case "agent_session_stopped":
            return _relevant("stop", event_key, envelope, audience)
        case _:
            return None


def retry_pressed(payload: Mapping[str, Any]) -> Relevant | None:
    """What a press on one of our Retry buttons is to us; None for every other interaction."""
    actions = payload.get("actions")
    if payload.get("type") != "block_actions" or not isinstance(actions, list) or len(actions) != 1:
        return None
    action, container = actions[0], _mapping(payload.get("container"))
    if not isinstance(action, dict) or action.get("action_id") != RETRY_ACTION:
        return None
    message = _mapping(payload.get("message"))
    trigger = _matching(_TRIGGER, payload.get("trigger_id"))
    channel = _matching(_ID, _mapping(payload.get("channel")).get("id") or container.get("channel_id"))
    ts = _matching(_TS, container.get("message_ts") or message.get("ts"))
    root = container.get("thread_ts") or message.get("thread_ts") or ts
    thread_ts = _matching(_TS, root)
    team_id = _matching(_ID, _mapping(payload.get("team")).get("id") or _mapping(payload.get("user")).get("team_id"))
    enterprise_id = _matching(_ID, _mapping(payload.get("enterprise")).get("id"))
    is_org_wide = payload.get("is_enterprise_install") is True
    if trigger is None or channel is None or ts is None or thread_ts is None or team_id is None:
        return None
    # A second press on the same message is the same wish, until the message has changed.
    edited = _matching(_TS, _mapping(message.get("edited")).get("ts")) or ""
    return Relevant(
        kind="interaction",
        event_key=f"trigger:{trigger}",
        message_key=f"retry:{channel}:{ts}:{edited}",
        lane=f"{channel}:{thread_ts}",
        joins=True,
        enterprise_id=enterprise_id,
        team_id=team_id,
        is_org_wide=is_org_wide,
        channel=channel,
        thread_ts=thread_ts,
        ts=ts,
    )


def deleted_message(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The message that an event says was deleted, as it was before; None for every other event.

    Under a message with replies Slack leaves a tombstone: then it tells of a change and not of a deletion.
    https://docs.slack.dev/reference/events/message/message_deleted
    """
    previous = _mapping(event.get("previous_message"))
    match event.get("subtype"):
        case "message_deleted":
            return previous
        case "message_changed" if _mapping(event.get("message")).get("subtype") == "tombstone":
            # Of a tombstone that changes again we have heard before.
            return None if previous.get("subtype") == "tombstone" else previous
        case _:
            return None


def mentions(text: object, user_id: str | None) -> bool:
    """Whether Slack's markup in `text` mentions this user."""
    return isinstance(text, str) and user_id is not None and (f"<@{user_id}>" in text or f"<@{user_id}|" in text)


def _message(
    envelope: Mapping[str, Any], event: Mapping[str, Any], event_key: str, audience: _Audience
) -> Relevant | None:
    channel = _matching(_ID, event.get("channel"))
    deleted = deleted_message(event)
    if deleted is not None:
        return _deletion(envelope, deleted, event_key, audience, channel=channel)
    ts = _matching(_TS, event.get("ts"))
    thread_ts = _matching(_TS, event.get("thread_ts") or ts)
    user = _matching(_ID, event.get("user"))
    if channel is None or ts is None or thread_ts is None or user is None or event.get("hidden") is True:
        return None
    subtype = event.get("subtype")
    if subtype is not None and (not isinstance(subtype, str) or subtype not in _PEOPLES_SUBTYPES):
        return None
    in_thread = thread_ts != ts
    kind: RelevantKind
    if user == audience.bot_user_id:
        # Our own words come back as an event: never a question, but evidence that they arrived.
        kind, joins = "own_message", False
    elif _is_by_bot(event):
        # Two bots that answer each other would never stop.
        return None
    elif event.get("type") == "app_mention":
        kind, joins = "mention", True
    elif event.get("channel_type") == "im":
        kind, joins = "message", True
    elif mentions(event.get("text"), audience.bot_user_id):
        # The same message as its `app_mention`, whichever comes first: both carry the same message key.
        kind, joins = "mention", True
    elif in_thread:
        kind, joins = "message", False
    else:
        return None
    return _relevant(kind, event_key, envelope, audience, channel=channel, thread_ts=thread_ts, ts=ts, joins=joins)


def _deletion(
    envelope: Mapping[str, Any],
    deleted: Mapping[str, Any],
    event_key: str,
    audience: _Audience,
    *,
    channel: str | None,
) -> Relevant | None:
    """A person took a message back. It opens no conversation: where we were not asked, there is nothing to withdraw."""
    ts = _matching(_TS, deleted.get("ts"))
    thread_ts = _matching(_TS, deleted.get("thread_ts") or ts)
    user = _matching(_ID, deleted.get("user"))
    if channel is None or ts is None or thread_ts is None or user in {None, audience.bot_user_id}:
        return None
    if _is_by_bot(deleted):
        return None
    found = _relevant("delete", event_key, envelope, audience, channel=channel, thread_ts=thread_ts, ts=ts, joins=False)
    # The message itself has a key already; this is another event about it.
    return found._replace(message_key=f"deleted:{channel}:{ts}")


def _is_by_bot(message: Mapping[str, Any]) -> bool:
    return "bot_id" in message or "bot_profile" in message or message.get("user") == _SLACKBOT


def _relevant(
    kind: RelevantKind,
    event_key: str,
    envelope: Mapping[str, Any],
    audience: _Audience,
    *,
    channel: str | None = None,
    thread_ts: str | None = None,
    ts: str | None = None,
    joins: bool = True,
) -> Relevant:
    event_time = envelope.get("event_time")
    return Relevant(
        kind=kind,
        event_key=event_key,
        message_key=None if channel is None else f"{channel}:{ts}",
        lane=None if channel is None else f"{channel}:{thread_ts}",
        joins=joins,
        enterprise_id=audience.enterprise_id,
        team_id=audience.team_id,
        is_org_wide=audience.is_org_wide,
        event_time=event_time if isinstance(event_time, int) and 0 < event_time < 1 << 33 else 0,
        channel=channel,
        thread_ts=thread_ts,
        ts=ts,
    )


def _audience(envelope: Mapping[str, Any]) -> _Audience | None:
    """The installation that receives this event, which in a shared channel need not be the workspace it happened in."""
    authorizations = envelope.get("authorizations")
    first = _mapping(authorizations[0]) if isinstance(authorizations, list) and authorizations else {}
    is_org_wide = first.get("is_enterprise_install") is True
    team_id = _matching(_ID, first.get("team_id") or envelope.get("context_team_id") or envelope.get("team_id"))
    enterprise_id = _matching(_ID, first.get("enterprise_id") if first else envelope.get("enterprise_id"))
    if team_id is None and not (is_org_wide and enterprise_id is not None):
        return None
    return _Audience(enterprise_id, team_id, is_org_wide, _matching(_ID, first.get("user_id")))


def _matching(pattern: re.Pattern[str], value: object) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
