"""The Retry button under a reply of which nobody knows whether it arrived: the same question, answered once more."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from enablebot.api.handling import BodyUnreadable
from enablebot.api.slack.handlers.messages import Answering, read_question
from enablebot.api.slack.handlers.opened import OpenedEvent
from enablebot.api.slack.relevance import Relevant, retry_pressed
from enablebot.shared.errors import SlackError, SlackRefused, SlackTokenDead
from enablebot.shared.installations import BotCredentials
from enablebot.shared.models.question import Outcome, Question
from enablebot.shared.slack.client import SlackClient, SlackClients

log = logging.getLogger(__name__)

ANSWERING_AGAIN = "You asked me to answer again: my new answer is below."
QUESTION_GONE = "I cannot find the question any more, so I cannot answer it again. Please ask it anew."


async def answer_again(
    event: OpenedEvent, credentials: BotCredentials, slack: SlackClients, answering: Answering
) -> Outcome:
    """Find the question above the button and answer it as a new answer."""
    pressed = _pressed(event)
    client = slack.for_workspace(token=credentials.token, team_id=credentials.team_id)
    question = await _question(event, credentials, client, pressed)
    if question is None:
        await _say_privately(event, client, pressed)
        return Outcome("failed", "the question is gone")
    await _retire_button(client, pressed)
    return await answering.answer(question)


async def give_up_again(
    event: OpenedEvent, credentials: BotCredentials, slack: SlackClients, answering: Answering, reason: str
) -> Outcome:
    """Say under the question that no answer will come."""
    client = slack.for_workspace(token=credentials.token, team_id=credentials.team_id)
    question = await _question(event, credentials, client, _pressed(event))
    return Outcome("failed", reason) if question is None else await answering.give_up(question, reason)


def question_above(
    messages: Sequence[Mapping[str, Any]], *, button_ts: str, question_ts: str | None
) -> Mapping[str, Any] | None:
    """The question itself where the button names it, else the last message of a person above the button."""
    asked = [
        message
        for message in messages
        if isinstance(message.get("ts"), str)
        and message["ts"] < button_ts
        and isinstance(message.get("user"), str)
        and not message.get("bot_id")
        and message.get("subtype") in {None, "file_share", "thread_broadcast", "me_message"}
        and question_ts in {None, message["ts"]}
    ]
    return max(asked, key=lambda message: str(message["ts"]), default=None)


async def _question(
    event: OpenedEvent, credentials: BotCredentials, client: SlackClient, pressed: Relevant
) -> Question | None:
    assert pressed.channel is not None
    assert pressed.thread_ts is not None
    assert pressed.ts is not None
    question_ts = named_question(event.envelope)
    try:
        messages = await client.replies(
            channel=pressed.channel,
            thread_ts=pressed.thread_ts,
            # Exclusive, hence the millionth; unlisted apps get fifteen messages, counted from here.
            oldest=None if question_ts is None else f"{Decimal(question_ts) - Decimal('0.000001'):.6f}",
            limit=100 if question_ts is None else 15,
        )
    except SlackTokenDead:
        raise
    except SlackRefused as error:
        log.info("The thread of a Retry button cannot be read: %s", error.message)
        return None
    found = question_above(messages, button_ts=pressed.ts, question_ts=question_ts)
    if found is None:
        return None
    message = {**found, "channel": pressed.channel}
    return read_question(replace(event, envelope={**event.envelope, "event": message}), credentials)


def named_question(payload: Mapping[str, Any]) -> str | None:
    """The question's `ts` in the button's value, where it has one: `<answer id>:<ts>`."""
    actions = payload.get("actions")
    action = actions[0] if isinstance(actions, list) and actions and isinstance(actions[0], dict) else {}
    value = action.get("value")
    ts = value.rpartition(":")[2] if isinstance(value, str) else ""
    return ts if re.fullmatch(r"[0-9]{1,12}\.[0-9]{6}", ts, re.ASCII) else None


async def _retire_button(client: SlackClient, pressed: Relevant) -> None:
    assert pressed.channel is not None
    assert pressed.ts is not None
    try:
        await client.update_message(channel=pressed.channel, ts=pressed.ts, text=ANSWERING_AGAIN, blocks=[])
    except SlackTokenDead:
        raise
    except SlackError as error:
        # The button stays; a second press meets the answer that is there.
        log.info("The Retry button could not be taken away: %s", error.message)


async def _say_privately(event: OpenedEvent, client: SlackClient, pressed: Relevant) -> None:
    user = event.envelope.get("user")
    user_id = user.get("id") if isinstance(user, dict) else None
    if isinstance(user_id, str) and pressed.channel is not None:
        await client.post_ephemeral(
            channel=pressed.channel, user=user_id, thread_ts=pressed.thread_ts, text=QUESTION_GONE
        )


def _pressed(event: OpenedEvent) -> Relevant:
    pressed = retry_pressed(event.envelope)
    if pressed is None:
        raise BodyUnreadable("a stored interaction is not a press of the Retry button")
    return pressed
