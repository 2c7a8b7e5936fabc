"""Finds out whether a message whose sending ended in doubt is there: by its echo, then by asking Slack once."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from enablebot.api.answering.calls import PatientCalls
from enablebot.api.answering.journal import Entry, Journal
from enablebot.api.answering.pace import Pace
from enablebot.shared.errors import SlackError, SlackUnknownOutcome, SlackUnreachable
from enablebot.shared.models.question import Question
from enablebot.shared.slack.client import SlackClient

EVENT_TYPE = "enablebot_answer"

# Slack's clock and the database's differ by less than this. It may be generous: what is older than the question, by
# Slack's own clock, marked as another answer's or known as one is left out anyway.
_CLOCK_SLACK = timedelta(seconds=60)
_LOOK_UP_LIMIT = 15
_OPENINGS = 3


class Unresolved(Exception):
    """Neither an echo nor Slack could say whether the message is there."""

    def __init__(self, part: int) -> None:
        super().__init__(f"part {part} of the answer may or may not have been sent")
        self.part = part


def metadata_of(answer_id: UUID, part: int) -> dict[str, Any]:
    """What marks a message as this part of this answer."""
    return {"event_type": EVENT_TYPE, "event_payload": {"answer": str(answer_id), "part": part}}


class Evidence:
    """Settles doubts about one answer's messages."""

    def __init__(
        self,
        *,
        client: SlackClient,
        question: Question,
        journal: Journal,
        calls: PatientCalls,
        pace: Pace,
        bot_id: str | None,
        foreign_ts: Collection[str],
    ) -> None:
        self._client = client
        self._question = question
        self._journal = journal
        self._calls = calls
        self._pace = pace
        self._bot_id = bot_id
        self._foreign_ts = foreign_ts

    async def find(self, entry: Entry) -> str | None:
        """The `ts` of the message, or None when it surely was never sent. Raises Unresolved."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._pace.unresolved
        if (ts := await self._echoed(entry, until=loop.time() + self._pace.echo)) is not None:
            return ts
        try:
            async with asyncio.timeout_at(give_up_at):
                return await self._look_up(entry)
        except (SlackError, TimeoutError, _NotTelling):
            pass
        # Slack does not say; the echo may still come.
        if (ts := await self._echoed(entry, until=give_up_at)) is not None:
            return ts
        raise Unresolved(entry.part)

    async def _echoed(self, entry: Entry, *, until: float) -> str | None:
        loop = asyncio.get_running_loop()
        wait = self._pace.echo / 10
        while True:
            ts = await self._journal.seen(entry.part)
            if ts is not None and ts not in self._taken(entry):
                return ts
            left = until - loop.time()
            if left <= 0:
                return None
            await asyncio.sleep(min(wait, left))
            wait *= 2

    async def _look_up(self, entry: Entry) -> str | None:
        since = f"{(entry.intended_at - _CLOCK_SLACK).timestamp():.6f}"
        oldest = max(since, self._question.ts, key=Decimal)
        messages = await self._calls.repeatably(
            "conversations.replies",
            lambda: self._client.replies(
                channel=self._question.channel, thread_ts=self._question.thread_ts, oldest=oldest, limit=_LOOK_UP_LIMIT
            ),
        )
        ours = [ts for message in messages if (ts := self._ours(message, entry, Decimal(oldest))) is not None]
        if ours:
            return max(ours, key=Decimal)
        if len(messages) >= _LOOK_UP_LIMIT:
            # The thread is so busy that the page may have ended before our message.
            raise _NotTelling
        return None

    def _ours(self, message: Mapping[str, Any], entry: Entry, oldest: Decimal) -> str | None:
        """The `ts` of a message that can only be this entry's."""
        ts, question = message.get("ts"), self._question
        if not isinstance(ts, str) or ts in self._taken(entry):
            return None
        from_bot = message.get("user") == question.bot_user_id or (
            self._bot_id is not None and message.get("bot_id") == self._bot_id
        )
        if not from_bot or message.get("thread_ts") != question.thread_ts:
            return None
        try:
            if Decimal(ts) <= oldest:
                return None
        except InvalidOperation:
            return None
        metadata = message.get("metadata")
        if isinstance(metadata, Mapping) and metadata.get("event_type") == EVENT_TYPE:
            expected = metadata_of(self._journal.answer_id, entry.part)["event_payload"]
            return ts if metadata.get("event_payload") == expected else None
        # startStream carries no metadata, so an unmarked message of ours can only be a stream.
        return ts if entry.mode == "stream" else None

    def _taken(self, entry: Entry) -> set[str]:
        """Messages known to be something else: other parts of this answer, and earlier answers."""
        others = {other.ts for other in self._journal.entries if other.part != entry.part and other.ts is not None}
        return others | set(self._foreign_ts)


class _NotTelling(Exception):
    pass


async def opened_once(
    entry: Entry,
    method: str,
    send: Callable[[], Awaitable[str]],
    *,
    calls: PatientCalls,
    evidence: Evidence,
    patience: float | None = None,
) -> str:
    """Open a message so that it exists exactly once; returns its `ts`. Raises Unresolved and the SlackError tree."""
    for _ in range(_OPENINGS):
        try:
            return await calls.once(method, send, patience=patience)
        except SlackUnknownOutcome:
            ts = await evidence.find(entry)
            if ts is not None:
                return ts
    raise SlackUnreachable(f"Slack never took {method}, as its own thread shows. Nothing was sent.", method=method)
