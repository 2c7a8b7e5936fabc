"""From a question to exactly one answer in Slack, or to a plain reason; and from half an answer to a whole one."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from enablebot.api.answering import reasons
from enablebot.api.answering.asking import Asked, Asking
from enablebot.api.answering.breaker import Breaker
from enablebot.api.answering.calls import Pauses
from enablebot.api.answering.case import Case, open_case
from enablebot.api.answering.context import question_turn, thread_before_us, within
from enablebot.api.answering.flagging import flag, flagged_part
from enablebot.api.answering.guard import Guard
from enablebot.api.answering.healing import Unresolved
from enablebot.api.answering.journal import Journal
from enablebot.api.answering.links import allowed_for
from enablebot.api.answering.messages import PostedMessage, stop_quietly
from enablebot.api.answering.model import Model, ModelRequest
from enablebot.api.answering.pace import Pace
from enablebot.api.answering.prompts import QUESTION_LIMIT, RULES, build_input
from enablebot.api.answering.reply import Reply
from enablebot.api.answering.split import split
from enablebot.api.answering.working import Working
from enablebot.config.settings import ModelSettings
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import ModelError, SlackError, SlackRefused, SlackTokenDead
from enablebot.shared.installations import Installations
from enablebot.shared.metrics import Metrics
from enablebot.shared.models.answer import Draft
from enablebot.shared.models.question import Outcome, Question
from enablebot.shared.slack.client import SlackClients

STALE_AFTER = timedelta(minutes=15)
SETTLED = Outcome("settled")

_log = logging.getLogger(__name__)


class AnsweringService:
    """Answers questions; one for all workspaces of the process."""

    def __init__(
        self,
        database: Database,
        installations: Installations,
        slack: SlackClients,
        model: Model,
        settings: ModelSettings,
        metrics: Metrics,
        *,
        time_scale: float = 1.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._installations = installations
        self._slack = slack
        self._model = model
        self._settings = settings
        self._metrics = metrics
        self._pace = Pace().scaled(time_scale)
        self._clock = clock
        self._pauses = Pauses()
        self._breaker = Breaker(clock=time.monotonic)
        self._running: dict[tuple[UUID, str], Reply] = {}

    async def answer(self, question: Question) -> Outcome:
        """Bring the question's one answer into Slack, whatever an earlier attempt has left of it.

        Raises SlackTokenDead, NotInstalled, StaleClaim, and what may be over at the next attempt.
        """
        case = await self._open(question)
        if case.answer.state != "open":
            return SETTLED
        draft = case.draft
        if draft is None and self._clock() - question.received_at > STALE_AFTER:
            draft = _apology("expired")
        return await self._carry_out(case, draft)

    async def give_up(self, question: Question, reason: str) -> Outcome:
        """Say plainly that no answer will come; an answer that was ready is shown instead."""
        case = await self._open(question)
        if case.answer.state != "open":
            return SETTLED
        _log.warning("gave up on a question", extra={"reason": reason})
        return await self._carry_out(case, case.draft or _apology("gave_up"), last=reason)

    def stop(self, tenant_id: UUID, *, channel: str, thread_ts: str) -> bool:
        """Stop the answer this process is writing there; False where it writes none."""
        reply = self._running.get((tenant_id, f"{channel}:{thread_ts}"))
        if reply is not None:
            reply.stop()
        return reply is not None

    async def _open(self, question: Question) -> Case:
        route = await self._installations.route_of_tenant(question.tenant_id)
        bot = await self._installations.bot(question.tenant_id)
        return await open_case(
            question,
            database=self._database,
            client=self._slack.for_workspace(token=bot.token, team_id=bot.team_id or question.team_id),
            key=route.key,
            bot_id=bot.bot_id,
            pauses=self._pauses,
            pace=self._pace,
        )

    async def _carry_out(self, case: Case, draft: Draft | None, *, last: str | None = None) -> Outcome:
        """Show the draft, or the model's answer where there is none. `last`: nothing is tried after this."""
        try:
            return await self._show(case, draft)
        except Unresolved as doubt:
            return await self._flag(case, doubt.part)
        except SlackTokenDead:
            raise
        except SlackRefused as error:
            # Slack takes no message there: the channel is gone, closed, or does not let us in.
            return await self._finish_unsaid(case, f"slack: {error.slack_code}")
        except SlackError as error:
            if last is None:
                raise
            return await self._finish_unsaid(case, f"{last}; {error.code}")

    async def _show(self, case: Case, draft: Draft | None) -> Outcome:
        flagged = flagged_part(case.desk)
        if flagged is not None:
            return await self._flag(case, flagged)
        adopted = await self._adopt(case)
        if draft is not None and _is_shown(draft, case.journal):
            return await self._finish(case, draft)
        question = case.question
        reply = Reply(case.desk, pace=self._pace, streams=question.channel_type == "im", adopted=adopted)
        self._running[question.tenant_id, question.lane] = reply
        try:
            async with Working(case.desk, shown=question.channel_type != "im" or bool(adopted)):
                draft = await self._write(case, reply, draft)
        finally:
            self._running.pop((question.tenant_id, question.lane), None)
        return await self._finish(case, draft)

    async def _adopt(self, case: Case) -> list[PostedMessage]:
        """The messages an earlier attempt left, found where it was in doubt, and no stream among them any more."""
        adopted: list[PostedMessage] = []
        for entry in case.journal.entries:
            if entry.ts is None:
                found = await case.desk.evidence.find(entry)
                if found is None:
                    break
                await case.journal.record(entry.part, "open", found)
            assert entry.ts is not None
            if entry.mode == "stream" and entry.state != "closed":
                await stop_quietly(case.desk, entry.ts, part=entry.part)
            adopted.append(PostedMessage(case.desk, part=entry.part, ts=entry.ts, shown=None))
        return adopted

    async def _write(self, case: Case, reply: Reply, draft: Draft | None) -> Draft:
        """Fill the reply and wait until Slack has all of it."""
        sending = asyncio.create_task(reply.run())
        composing = asyncio.create_task(self._compose(case, reply, draft))
        try:
            await asyncio.wait({sending, composing}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                # Before its end: a person stopped it, or Slack takes no more.
                sending.result()
                return Draft(reply.shown, reason="stopped")
            draft = composing.result()
            await sending
            return (
                Draft(reply.shown, reason="stopped", model=draft.model, usage=draft.usage) if reply.stopped else draft
            )
        finally:
            for task in (sending, composing):
                task.cancel()
            await asyncio.gather(sending, composing, return_exceptions=True)

    async def _compose(self, case: Case, reply: Reply, draft: Draft | None) -> Draft:
        """Put the whole answer into the reply, and keep it as a draft before its end is shown."""
        if draft is None:
            try:
                draft = await self._ask(case, reply)
            except ModelError as error:
                _log.warning("the model failed: %s", error.message, extra={"reason": error.reason})
                draft = _apology(error.reason)
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
            count=self._count_call,
            say=say,
            start_over=start_over,
            backoff=self._pace.backoff,
        )
        items = build_input(question=question_turn(question), history=within(history), mark=secrets.token_hex(16))
        asked = await asking.ask(
            ModelRequest(
                instructions=RULES,
                input=tuple(items),
                safety_identifier=_hash(f"{question.tenant_id}/{question.asker}"),
                prompt_cache_key=_hash(str(question.tenant_id)),
                seconds=self._settings.deadline_seconds,
            )
        )
        reply.add(guard.flush())
        if not reply.text.strip():
            return _apology("refused" if asked.cut_by == "content_filter" else "empty")
        reply.add(_note(asked, question))
        return Draft(reply.text, model=asked.model, usage=asked.usage)

    def _count_call(self, outcome: str) -> None:
        self._metrics.model_calls.labels(outcome).inc()

    async def _flag(self, case: Case, part: int) -> Outcome:
        await flag(case.desk, part)
        await case.finish("ambiguous", reason="ambiguous", latency_ms=self._latency(case.question))
        self._metrics.replies_ambiguous.inc()
        self._metrics.answers.labels("ambiguous").inc()
        return SETTLED

    async def _finish(self, case: Case, draft: Draft) -> Outcome:
        latency_ms = self._latency(case.question)
        await case.finish(
            draft.state,
            reason=draft.reason,
            text=draft.text if draft.state == "complete" and draft.text.strip() else None,
            model=draft.model,
            usage=draft.usage,
            latency_ms=latency_ms,
        )
        self._metrics.answers.labels(draft.reason or draft.state).inc()
        self._metrics.answer_seconds.observe(latency_ms / 1000)
        return SETTLED

    async def _finish_unsaid(self, case: Case, reason: str) -> Outcome:
        await case.finish("failed", reason=reason, latency_ms=self._latency(case.question))
        self._metrics.answers.labels("unsaid").inc()
        return SETTLED

    def _latency(self, question: Question) -> int:
        return max(0, int((self._clock() - question.received_at).total_seconds() * 1000))


def _is_shown(draft: Draft, journal: Journal) -> bool:
    """Whether an earlier attempt had shown all of its draft, and only its end was missing."""
    states = [entry.state for entry in journal.entries]
    return len(states) >= len(split(draft.text)) and set(states) == {"closed"}


def _apology(reason: str) -> Draft:
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
