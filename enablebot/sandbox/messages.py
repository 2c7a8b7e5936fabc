"""Messages of one conversation: their order, their threads, and how Slack shows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Block = dict[str, Any]


@dataclass(slots=True)
class Message:
    """One message as it is kept; `ts` is its identity within its channel."""

    ts: str
    channel: str
    team: str
    user: str
    text: str
    thread_ts: str | None = None
    subtype: str | None = None
    blocks: list[Block] | None = None
    attachments: list[dict[str, Any]] | None = None
    bot_id: str | None = None
    app_id: str | None = None
    username: str | None = None
    metadata: dict[str, Any] | None = None
    edited: dict[str, str] | None = None
    client_msg_id: str | None = None
    reactions: dict[str, list[str]] = field(default_factory=dict)
    streaming_state: str | None = None
    tasks: list[dict[str, Any]] = field(default_factory=list)
    plan: str | None = None
    markdown: bool = False
    ephemeral_to: str | None = None
    files: list[str] = field(default_factory=list)


@dataclass(slots=True)
class MessageLog:
    """The messages of one channel, oldest first, with an index of threads."""

    by_ts: dict[str, Message] = field(default_factory=dict)
    threads: dict[str, list[str]] = field(default_factory=dict)
    last_micros: int = 0

    def next_ts(self, now: float) -> str:
        """A new `ts`, strictly later than every other one in this channel."""
        self.last_micros = max(self.last_micros + 1, round(now * 1_000_000))
        seconds, micros = divmod(self.last_micros, 1_000_000)
        return f"{seconds}.{micros:06d}"

    def add(self, message: Message) -> None:
        self.by_ts[message.ts] = message
        seconds, micros = message.ts.split(".")
        self.last_micros = max(self.last_micros, int(seconds) * 1_000_000 + int(micros))
        if message.thread_ts and message.thread_ts != message.ts and message.ephemeral_to is None:
            self.threads.setdefault(message.thread_ts, []).append(message.ts)

    def remove(self, message: Message) -> None:
        """Takes a message out; a root with replies stays as Slack's tombstone."""
        if self.replies(message.ts):
            message.subtype = "tombstone"
            message.text = "This message was deleted."
            message.user = "USLACKBOT"
            message.bot_id = message.app_id = message.metadata = message.blocks = None
            message.files = []
            message.streaming_state = None
            return
        del self.by_ts[message.ts]
        if message.thread_ts and message.ts in self.threads.get(message.thread_ts, []):
            self.threads[message.thread_ts].remove(message.ts)

    def visible(self, ts: str) -> Message | None:
        """The message of that `ts`, unless only one person could see it."""
        message = self.by_ts.get(ts)
        return message if message and message.ephemeral_to is None else None

    def replies(self, root_ts: str) -> list[Message]:
        return [self.by_ts[ts] for ts in self.threads.get(root_ts, []) if ts in self.by_ts]

    def timeline(self) -> list[Message]:
        """What the channel itself shows: roots, and replies that were also sent to the channel."""
        return [
            message
            for message in self.by_ts.values()
            if message.ephemeral_to is None and (not message.thread_ts or message.subtype == "thread_broadcast")
        ]


def bot_profile(message: Message, *, name: str) -> dict[str, Any]:
    """The `bot_profile` Slack attaches to a bot's message."""
    return {
        "id": message.bot_id,
        "deleted": False,
        "name": name,
        "updated": 1_700_000_000,
        "app_id": message.app_id,
        "icons": {f"image_{size}": f"https://a.slack-edge.com/sandbox/bot_{size}.png" for size in (36, 48, 72)},
        "team_id": message.team,
    }


def shown(
    message: Message,
    log: MessageLog,
    *,
    bot_name: str,
    files: Callable[[str], dict[str, Any]],
    with_metadata: bool = False,
) -> dict[str, Any]:
    """A message as `conversations.*`, posting answers and events carry it; `files` gives a file's object by its id."""
    picture: dict[str, Any] = {
        "type": "message",
        "user": message.user,
        "text": message.text,
        "ts": message.ts,
        "team": message.team,
    }
    for name in ("subtype", "client_msg_id", "blocks", "attachments", "edited", "username", "streaming_state"):
        value = getattr(message, name)
        if value:
            picture[name] = value
    if message.files:
        picture |= {"files": [files(file_id) for file_id in message.files], "upload": False, "display_as_bot": False}
    if message.bot_id:
        picture["bot_id"] = message.bot_id
        picture["app_id"] = message.app_id
        picture["bot_profile"] = bot_profile(message, name=bot_name)
    if message.tasks or message.plan:
        cards = [{"type": "task_card", **card} for card in message.tasks]
        planned = [{"type": "plan", "title": message.plan, "tasks": cards}] if message.plan else cards
        picture["blocks"] = [*planned, *(message.blocks or [])]
    if with_metadata and message.metadata:
        picture["metadata"] = message.metadata
    if message.reactions:
        picture["reactions"] = [
            {"name": name, "users": list(users), "count": len(users)} for name, users in message.reactions.items()
        ]
    picture |= _thread_fields(message, log)
    return picture


def _thread_fields(message: Message, log: MessageLog) -> dict[str, Any]:
    if message.thread_ts and message.thread_ts != message.ts:
        root = log.by_ts.get(message.thread_ts)
        return {"thread_ts": message.thread_ts} | ({"parent_user_id": root.user} if root else {})
    replies = log.replies(message.ts)
    if not replies:
        return {}
    people = list(dict.fromkeys(reply.user for reply in replies))
    return {
        "thread_ts": message.ts,
        "reply_count": len(replies),
        "reply_users_count": len(people),
        "latest_reply": replies[-1].ts,
        "reply_users": people[:5],
        "is_locked": False,
    }
