"""The answers this process is writing, as those see them who may end one: a person, or a deleted question."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from enablebot.api.answering.reply import Reply
from enablebot.shared.models.event import RunningSignal
from enablebot.shared.models.question import Question

# How long a call of Slack that is under way may take to end by itself; cut short, nobody would know what it did.
_GRACE_SECONDS = 2.0


class Writing:
    """One answer under way."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.is_withdrawn = False
        self._is_stopped = False
        self._reply: Reply | None = None
        self._limit: asyncio.Timeout | None = None

    @contextmanager
    def interruptible(self, limit: asyncio.Timeout) -> Iterator[None]:
        """What runs meanwhile is cut short by `limit` when the question is withdrawn."""
        self._limit = limit
        try:
            yield
        finally:
            self._limit = None

    def show(self, reply: Reply) -> None:
        """This reply carries the answer from now on."""
        self._reply = reply
        if self._is_stopped:
            reply.stop()

    def stop(self) -> None:
        """A person wants no more of this answer; what is shown stays."""
        self._is_stopped = True
        if self._reply is not None:
            self._reply.stop()

    def withdraw(self) -> None:
        """The question is gone: the answer ends, and what is shown of it is taken back."""
        self.is_withdrawn = True
        writes = self._reply is not None
        self.stop()
        if self._limit is not None:
            grace = _GRACE_SECONDS if writes else 0
            self._limit.reschedule(asyncio.get_running_loop().time() + grace)


class UnderWay:
    """All answers of this process that have not come to their end."""

    def __init__(self) -> None:
        self._writing: dict[tuple[UUID, int], Writing] = {}

    @contextmanager
    def begun(self, question: Question) -> Iterator[Writing]:
        """Let the answer to this question be found meanwhile."""
        key = (question.tenant_id, question.event_id)
        writing = self._writing[key] = Writing(question)
        try:
            yield writing
        finally:
            if self._writing.get(key) is writing:
                del self._writing[key]

    def stop(self, tenant_id: UUID, *, channel: str, thread_ts: str) -> bool:
        """Stop what is written into a thread; False where nothing is."""
        found = [
            writing
            for writing in self._of(tenant_id)
            if writing.question.channel == channel and writing.question.thread_ts == thread_ts
        ]
        for writing in found:
            writing.stop()
        return bool(found)

    def withdraw(self, tenant_id: UUID, *, channel: str, question_ts: str) -> bool:
        """Take back the answers to a deleted message; False where none is written."""
        found = [
            writing
            for writing in self._of(tenant_id)
            if writing.question.channel == channel and writing.question.ts == question_ts
        ]
        for writing in found:
            writing.withdraw()
        return bool(found)

    def signal(self, tenant_id: UUID, event_id: int, signal: RunningSignal) -> bool:
        """Do what another process was told for an event that this one answers; False where it does not."""
        writing = self._writing.get((tenant_id, event_id))
        if writing is None:
            return False
        if signal == "stop":
            writing.stop()
        else:
            writing.withdraw()
        return True

    def _of(self, tenant_id: UUID) -> list[Writing]:
        return [writing for (owner, _), writing in self._writing.items() if owner == tenant_id]
