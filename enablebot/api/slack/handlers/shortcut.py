""" "Add to knowledge" in the menu of a message: its text and its files become documents, where a manager wants it."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from enablebot.api.handling import BodyUnreadable
from enablebot.api.slack.handlers import file_words as words
from enablebot.api.slack.handlers.file_steps import Notice, TakeStep, Words
from enablebot.api.slack.handlers.files import Files, shared_files
from enablebot.api.slack.handlers.opened import OpenedEvent
from enablebot.api.slack.interactions import interaction_for_us
from enablebot.api.slack.markup import plain_text
from enablebot.shared.errors import SlackRefused
from enablebot.shared.installations import BotCredentials
from enablebot.shared.models.question import Outcome

log = logging.getLogger(__name__)

_TITLE = 80
_ELSEWHERE = {"directmessage": "a direct message", "privategroup": "a private channel"}


async def add_by_shortcut(event: OpenedEvent, credentials: BotCredentials, files: Files) -> Outcome:
    """Say at once that the message is being added, or why not; the rest are the steps of every other file."""
    chosen = interaction_for_us(event.envelope)
    if chosen is None or chosen.channel is None or chosen.ts is None:
        raise BodyUnreadable("a stored interaction is not our shortcut")
    payload, message = event.envelope, _mapping(event.envelope.get("message"))
    user = _mapping(payload.get("user"))
    person, team_id = str(user.get("id")), user.get("team_id")
    team = team_id if isinstance(team_id, str) else None
    if not await files.managers.may_manage(person, team_id=team, credentials=credentials):
        await _respond(event, files, words.ONLY_MANAGERS)
        return Outcome("done", "not a manager")
    text = plain_text(_text(message, "text"), bot_user_id=credentials.bot_user_id)
    shared = shared_files(message)
    if not text and not shared:
        await _respond(event, files, words.NOTHING_TO_ADD)
        return Outcome("done", "nothing to add")
    url = payload.get("response_url")
    step = TakeStep(
        notice=Notice(response_url=url if isinstance(url, str) else ""),
        user=person,
        lane=None,
        channels=(chosen.channel,) if _is_private_channel(payload) else (),
        files=tuple(given for _, given in shared),
        words=_as_document(text, payload, ts=chosen.ts) if text else None,
    )
    await files.steps.queue(
        event.route,
        key=f"take:{event.row.event_key}",
        lane=f"files:{event.row.event_key}",
        body=step.model_dump_json().encode("utf-8", "replace"),
    )
    count = len(shared) + (1 if text else 0)
    await _respond(event, files, "Reading this message …" if count == 1 else "Reading this message and its files …")
    return Outcome("done")


def _as_document(text: str, payload: Mapping[str, Any], *, ts: str) -> Words:
    """The message under a name that only it has, so that adding it again, edited, replaces it."""
    channel = _text(_mapping(payload.get("channel")), "name")
    place = _ELSEWHERE.get(channel, f"#{channel}" if channel else "Slack")
    written = datetime.fromtimestamp(int(ts.partition(".")[0]), UTC)
    head = " ".join(text.split())
    title = head if len(head) <= _TITLE else f"{head[: _TITLE - 1].rstrip()}…"
    name = f"{words.MESSAGE}{place} of {written:%Y-%m-%d %H.%M.%S} UTC ({ts.partition('.')[2]}).txt"
    return Words(name=name, title=title, text=f"{text}\n")


def _is_private_channel(payload: Mapping[str, Any]) -> bool:
    return _text(_mapping(payload.get("channel")), "name") == "privategroup"


async def _respond(event: OpenedEvent, files: Files, text: str) -> None:
    url = event.envelope.get("response_url")
    if not isinstance(url, str):
        return
    try:
        await files.slack.respond(url, text=text)
    except SlackRefused as error:
        log.info("A shortcut could not be answered: %s", error.message)


def _text(mapping: Mapping[str, Any], name: str) -> str:
    value = mapping.get(name)
    return value if isinstance(value, str) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
