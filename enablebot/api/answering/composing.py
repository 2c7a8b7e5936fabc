"""Puts an answer together: the model's words through the guard into the reply, and the whole kept as a draft."""

import logging
import secrets
from collections.abc import Callable
from hashlib import sha256

from enablebot.api.answering import reasons
from enablebot.api.answering.asking import ATTEMPTS, Asked, Asking
from enablebot.api.answering.breaker import Breaker
from enablebot.api.answering.case import Case
from enablebot.api.answering.context import question_turn, thread_before_us, within
from enablebot.api.answering.guard import Guard
from enablebot.api.answering.links import allowed_for
from enablebot.api.answering.model import Model, ModelRequest
from enablebot.api.answering.prompts import QUESTION_LIMIT, RULES, build_input
from enablebot.api.answering.reply import Reply
from enablebot.shared.errors import ModelError
from enablebot.shared.models.answer import Draft
from enablebot.shared.models.question import Question

_log = logging.getLogger(__name__)


class Composer:
    """Asks the model for whole answers; one for all workspaces of the process."""

    def __init__(
        self,
        model: Model,
        *,
        breaker: Breaker,
        count: Callable[[str], None],
        deadline_seconds: float,
        backoff: float,
    ) -> None:
        self._model = model
        self._breaker = breaker
        self._count = count
        self._deadline_seconds = deadline_seconds
        self._backoff = backoff

    async def compose(self, case: Case, reply: Reply, draft: Draft | None) -> Draft:
        """Put the whole answer into the reply, and keep it as a draft before its end is shown."""
        if draft is None:
            try:
                draft = await self._ask(case, reply)
            except ModelError as error:
                _log.warning("the model failed: %s", error.message, extra={"reason": error.reason})
                draft = apology(error.reason)
        if draft.state == "failed":
            reply.start_over()
            reply.add(draft.text)
        elif reply.text != draft.text:
            reply.add(draft.text)
        await case.journal.save(draft)
        reply.end()
        return draft

    async def _ask(self, case: Case, reply: Reply) -> Draft:
        question = case.question
        history = case.history
        if not history and question.in_thread:
            history = await thread_before_us(case.desk.client, question)
        guard = Guard(allowed := allowed_for(question.text))

        def say(text: str) -> None:
            reply.add(guard.feed(text))

        def start_over() -> None:
            nonlocal guard
            guard = Guard(allowed)
            reply.start_over()

        asking = Asking(
            self._model,
            breaker=self._breaker,
            count=self._count,
            say=say,
            start_over=start_over,
            # An attempt that died may have used up its share.
            attempts=max(1, ATTEMPTS + 1 - question.attempts),
            backoff=self._backoff,
        )
        items = build_input(question=question_turn(question), history=within(history), mark=secrets.token_hex(16))
        asked = await asking.ask(
            ModelRequest(
                instructions=RULES,
                input=tuple(items),
                safety_identifier=_hash(f"{question.tenant_id}/{question.asker}"),
                prompt_cache_key=_hash(str(question.tenant_id)),
                seconds=self._deadline_seconds,
            )
        )
        reply.add(guard.flush())
        if not reply.text.strip():
            return apology("refused" if asked.cut_by == "content_filter" else "empty")
        reply.add(_note(asked, question))
        return Draft(reply.text, model=asked.model, usage=asked.usage)


def apology(reason: str) -> Draft:
    """The words for a reason, as the whole of an answer that failed."""
    return Draft(reasons.sentence(reason), state="failed", reason=reason)


def _note(asked: Asked, question: Question) -> str:
    """What the reader has to know about how this answer came about."""
    note = ""
    if asked.cut_by == "max_output_tokens":
        note += reasons.LENGTH_LIMIT_NOTE
    elif asked.cut_by is not None:
        note += reasons.CONTENT_FILTER_NOTE
    if len(question.text) > QUESTION_LIMIT:
        note += reasons.QUESTION_CUT_NOTE.format(limit=QUESTION_LIMIT)
    return note


def _hash(identity: str) -> str:
    """Names nobody outside, and stays the same for the same one."""
    return sha256(identity.encode()).hexdigest()
