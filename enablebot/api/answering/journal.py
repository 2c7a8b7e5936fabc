"""What the database knows of an answer's messages: announced before Slack is called, recorded after."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from enablebot.shared.database.models import OpenedAnswerRow, ReplyMode, ReplyRow, ReplyState
from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.encryption import Place, SealingKey
from enablebot.shared.errors import DatabaseUnavailable
from enablebot.shared.models.answer import Draft
from enablebot.shared.models.question import Question

Result = TypeVar("Result")

_TRIES = 4
_FIRST_WAIT_SECONDS = 0.2


@dataclass(slots=True)
class Entry:
    """One message of the answer as recorded; `ts` is None until Slack or an echo told it."""

    part: int
    mode: ReplyMode
    state: ReplyState
    ts: str | None
    intended_at: datetime


class Journal:
    """The entries of one answer. Every write raises StaleClaim once the event belongs to another worker."""

    def __init__(
        self,
        *,
        database: Database,
        question: Question,
        answer_id: UUID,
        key: SealingKey,
        replies: Sequence[ReplyRow],
        look: Callable[[], Awaitable[OpenedAnswerRow]],
    ) -> None:
        self._database = database
        self._question = question
        self.answer_id = answer_id
        self._key = key
        self._look = look
        self._entries = {row.part: _entry(row) for row in replies}

    @property
    def entries(self) -> list[Entry]:
        """All entries in the order of their parts."""
        return [self._entries[part] for part in sorted(self._entries)]

    async def intend(self, part: int, mode: ReplyMode) -> Entry:
        """Announce that a message is about to be opened."""
        question = self._question
        row = await patiently(
            lambda: self._database.intend_reply(
                tenant_id=question.tenant_id,
                answer_id=self.answer_id,
                event_id=question.event_id,
                claim_token=question.claim_token,
                part=part,
                mode=mode,
            )
        )
        entry = Entry(part, mode, "intended", None, row.intended_at)
        self._entries[part] = entry
        return entry

    async def record(self, part: int, state: ReplyState, ts: str | None = None) -> None:
        """Record what became of a message; without a `ts` the one known stays."""
        question = self._question
        await patiently(
            lambda: self._database.record_reply(
                tenant_id=question.tenant_id,
                answer_id=self.answer_id,
                event_id=question.event_id,
                claim_token=question.claim_token,
                part=part,
                state=state,
                ts=ts,
            )
        )
        entry = self._entries[part]
        entry.state, entry.ts = state, ts or entry.ts

    async def reopen(self, part: int) -> None:
        """Record that a message which was whole is about to be replaced."""
        if self._entries[part].state == "closed":
            await self.record(part, "open")

    async def seen(self, part: int) -> str | None:
        """The `ts` that our own message, arriving as an event, gave this part meanwhile."""
        opened = await patiently(self._look)
        return next((row.ts for row in opened.answer.replies if row.part == part), None)

    async def save(self, draft: Draft) -> None:
        """Keep the whole answer, so that a crash from here on costs no second call of the model."""
        question = self._question
        place = Place(question.tenant_id, "answers", "text", str(self.answer_id))
        sealed = self._key.seal(place, draft.to_bytes())
        await patiently(
            lambda: self._database.save_draft(
                tenant_id=question.tenant_id,
                answer_id=self.answer_id,
                event_id=question.event_id,
                claim_token=question.claim_token,
                text=sealed,
                data_key_id=self._key.id,
            )
        )


async def patiently(call: Callable[[], Awaitable[Result]]) -> Result:
    """A call of the database, repeated over a short outage: all of ours may be repeated."""
    wait = _FIRST_WAIT_SECONDS
    for _ in range(_TRIES - 1):
        try:
            return await call()
        except DatabaseUnavailable:
            await asyncio.sleep(wait)
            wait *= 3
    return await call()


def _entry(row: ReplyRow) -> Entry:
    return Entry(row.part, row.mode, row.state, row.ts, row.intended_at)
