"""Messages and mentions: what somebody wrote becomes a question, and the question gets its answer."""

from collections.abc import Mapping
from typing import Any, Protocol, cast, get_args
from uuid import UUID

from enablebot.api.handling import BodyUnreadable
from enablebot.api.slack.handlers.opened import OpenedEvent
from enablebot.api.slack.markup import plain_text
from enablebot.shared.installations import BotCredentials, Route
from enablebot.shared.models.event import RunningSignal
from enablebot.shared.models.question import ChannelType, Outcome, Question


class Answering(Protocol):
    """The answering room, as far as Slack's surfaces need it."""

    async def answer(self, question: Question) -> Outcome:
        """Answer, or say plainly why not."""

    async def give_up(self, question: Question, reason: str) -> Outcome:
        """Say that no answer will come."""

    def stop(self, tenant_id: UUID, *, channel: str, thread_ts: str) -> bool:
        """Stop the answer being written there; False where this process writes none."""

    def withdraw(self, tenant_id: UUID, *, channel: str, question_ts: str) -> bool:
        """End the answer to a question that was deleted; False where this process writes none."""

    def signal(self, tenant_id: UUID, event_id: int, signal: RunningSignal) -> bool:
        """The same two, for an event of this process by what another one heard; False while nothing is written."""


async def answer_message(event: OpenedEvent, credentials: BotCredentials, answering: Answering) -> Outcome:
    """Answer what somebody wrote to the bot."""
    return await answering.answer(read_question(event, credentials))


async def give_up_message(
    event: OpenedEvent, credentials: BotCredentials, answering: Answering, reason: str
) -> Outcome:
    """Tell who asked that no answer will come."""
    return await answering.give_up(read_question(event, credentials), reason)


def read_question(event: OpenedEvent, credentials: BotCredentials) -> Question:
    """The question in a claimed message or mention; BodyUnreadable where it lacks what relevance had seen in it."""
    message, row = event.inner, event.row
    channel, ts, asker = _text(message, "channel"), _text(message, "ts"), _text(message, "user")
    if not channel or not ts or not asker:
        raise BodyUnreadable("a stored message names no channel, time or author")
    thread_ts = _text(message, "thread_ts") or ts
    team = _team_of_asker(message)
    files = message.get("files")
    return Question(
        tenant_id=row.tenant_id,
        event_id=row.id,
        claim_token=row.claim_token,
        event_key=row.event_key,
        attempts=row.attempts,
        received_at=row.received_at,
        team_id=event.route.team_id or _text(event.envelope, "team_id"),
        channel=channel,
        channel_type=_channel_type(message, channel),
        ts=ts,
        thread_ts=thread_ts,
        lane=row.lane or f"{channel}:{thread_ts}",
        asker=asker,
        asker_team=team or None,
        text=plain_text(_text(message, "text"), bot_user_id=credentials.bot_user_id),
        file_names=tuple(_file_names(files)),
        in_thread=thread_ts != ts,
        bot_user_id=credentials.bot_user_id,
        is_external=_is_external(message, event.route),
        waited_seconds=row.waited_seconds,
    )


def _team_of_asker(message: Mapping[str, Any]) -> str:
    return _text(message, "user_team") or _text(message, "source_team") or _text(message, "team")


def _is_external(message: Mapping[str, Any], route: Route) -> bool:
    """Whether the author belongs to another workspace. Slack then names their team, or their organisation."""
    own = {route.team_id, route.enterprise_id, ""}
    return any(_text(message, field) not in own for field in ("user_team", "source_team", "team"))


def _channel_type(message: Mapping[str, Any], channel: str) -> ChannelType:
    named = message.get("channel_type")
    if named in get_args(ChannelType):
        return cast("ChannelType", named)
    # `app_mention` names no type. Direct messages are told by their id, and are never announced as mentions anyway.
    return "im" if channel.startswith("D") else "channel"


def _file_names(files: object) -> list[str]:
    listed = files if isinstance(files, list) else []
    names = (_text(file, "name") or _text(file, "title") for file in listed if isinstance(file, dict))
    return [name for name in names if name]


def _text(mapping: Mapping[str, Any], field: str) -> str:
    value = mapping.get(field)
    return value if isinstance(value, str) else ""
