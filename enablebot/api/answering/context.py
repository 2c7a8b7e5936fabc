"""What the model gets to know about a conversation: our own store first, Slack once for a thread we never saw."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from enablebot.api.answering.prompts import QUESTION_LIMIT, Turn
from enablebot.shared.database.models import MessageRow
from enablebot.shared.encryption.encryption import Place, SealingKey
from enablebot.shared.errors import SealBroken, SlackError
from enablebot.shared.models.question import Question
from enablebot.shared.slack.client import SlackClient

HISTORY_MESSAGES = 30
HISTORY_TOKENS = 6_000
THREAD_MESSAGES = 15
_THREAD_SECONDS = 3.0
_TURN_LIMIT = 6_000

_log = logging.getLogger(__name__)


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has: four ASCII characters each, one of any other script, rounded up."""
    ascii_characters = sum(character.isascii() for character in text)
    return ascii_characters // 4 + (len(text) - ascii_characters) + 4


def within(turns: Sequence[Turn], *, tokens: int = HISTORY_TOKENS) -> list[Turn]:
    """The newest turns that fit a budget, oldest first; a very long one is shortened before it is left out."""
    kept: list[Turn] = []
    left = tokens
    for turn in reversed(turns):
        text = turn.text if len(turn.text) <= _TURN_LIMIT else f"{turn.text[:_TURN_LIMIT]} …"
        left -= estimated_tokens(text)
        if left < 0:
            break
        kept.append(Turn(turn.role, text, turn.author))
    return kept[::-1]


def question_turn(question: Question) -> Turn:
    """The question as the model sees it, with the files it cannot read named."""
    text = question.text[:QUESTION_LIMIT]
    if question.file_names:
        names = ", ".join(question.file_names[:10])
        text = f"{text}\n\n[Attached, and not readable for you: {names[:500]}]"
    return Turn("person", text, question.asker)


def opened_history(rows: Sequence[MessageRow], *, question: Question, key: SealingKey) -> list[Turn]:
    """Stored messages in clear; one that does not open is left out, for no question may fail because of it.

    A question asked again by its Retry button is stored twice, and is not its own history.
    """
    turns: list[Turn] = []
    for row in rows:
        if row.role == "person" and row.ts == question.ts:
            continue
        try:
            body = key.open(Place(question.tenant_id, "messages", "body", str(row.id)), row.body)
        except SealBroken:
            _log.warning("a stored message does not open and is left out of the context", extra={"message": row.id.hex})
            continue
        turns.append(Turn(row.role, body.decode(errors="replace"), row.author))
    return turns


async def thread_before_us(client: SlackClient, question: Question) -> list[Turn]:
    """What was said in this thread before the bot joined it; empty when Slack does not say."""
    try:
        async with asyncio.timeout(_THREAD_SECONDS):
            messages = await client.replies(
                channel=question.channel, thread_ts=question.thread_ts, limit=THREAD_MESSAGES
            )
    except (SlackError, TimeoutError) as error:
        _log.info("no thread history: %s", type(error).__name__)
        return []
    return [turn for message in messages if (turn := _turn(message, question)) is not None]


def _turn(message: Mapping[str, Any], question: Question) -> Turn | None:
    text, ts, author = message.get("text"), message.get("ts"), message.get("user")
    if not isinstance(text, str) or not text.strip() or not isinstance(ts, str) or ts >= question.ts:
        return None
    if author == question.bot_user_id:
        return Turn("assistant", text)
    return Turn("person", text, author if isinstance(author, str) else None)
