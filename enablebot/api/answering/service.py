"""From a question to exactly one answer in Slack, or to a plain reason; and from half an answer to a whole one."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from enablebot.api.answering.breaker import Breaker
from enablebot.api.answering.case import Case, End, open_case
from enablebot.api.answering.composing import Composer, apology
from enablebot.api.answering.fence import Pulse
from enablebot.api.answering.flagging import flag, flagged_part
from enablebot.api.answering.guard import guarded
from enablebot.api.answering.healing import Unresolved
from enablebot.api.answering.journal import Journal
from enablebot.api.answering.messages import PostedMessage, stop_quietly
from enablebot.api.answering.model import Model
from enablebot.api.answering.pace import Pace
from enablebot.api.answering.reply import Reply
from enablebot.api.answering.split import split
from enablebot.api.answering.underway import UnderWay, Writing
from enablebot.api.answering.withdrawing import take_back
from enablebot.api.answering.working import Working
from enablebot.config.settings import ModelSettings
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import (
    SlackError,
    SlackRateLimited,
    SlackRefused,
    SlackTokenDead,
    SlackUnknownOutcome,
    SlackUnreachable,
)
from enablebot.shared.installations import Installations
from enablebot.shared.metrics import Metrics
from enablebot.shared.models.answer import Draft
from enablebot.shared.models.event import RunningSignal
from enablebot.shared.models.question import Outcome, Question
from enablebot.shared.slack.client import SlackClients

STALE_AFTER_SECONDS = 15 * 60.0
SETTLED = Outcome("settled")
GAVE_UP = Outcome("settled", "gave_up")
WITHDRAWN = "withdrawn"

OnShown = Callable[[str | None], Awaitable[None]]

# A model that keeps failing is left alone for so long.
_REST_SECONDS = 15.0

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
        pulse: Pulse | None = None,
    ) -> None:
        self._database = database
        self._installations = installations
        self._slack = slack
        self._metrics = metrics
        self._pace = Pace().scaled(time_scale)
        self._pulse = pulse or Pulse()
        self._composer = Composer(
            model,
            breaker=Breaker(clock=time.monotonic, rest_seconds=_REST_SECONDS * time_scale),
            count=lambda outcome: metrics.model_calls.labels(outcome).inc(),
            deadline_seconds=settings.deadline_seconds,
            backoff=self._pace.backoff,
        )
        self._under_way = UnderWay()

    async def answer(self, question: Question) -> Outcome:
        """Bring the question's one answer into Slack, whatever an earlier attempt has left of it.

        Raises SlackTokenDead, NotInstalled, StaleClaim, and what may be over at the next attempt.
        """
        with self._under_way.begun(question) as writing, self._pulse.taken():
            case = await self._open(question)
            draft = case.draft
            if draft is not None and draft.reason == "gave_up":
                # Left by a last word that was lost, too. Whoever replays the question wants it answered.
                draft = None
            if draft is None and question.age > STALE_AFTER_SECONDS:
                draft = apology("expired")
            return await self._end(case, writing, draft, last=None)

    async def say(self, question: Question, text: str, *, reason: str, on_shown: OnShown) -> Outcome:
        """Bring words of our own into the conversation, exactly once, as an answer that the model has no part in.

        `on_shown` is called with the message's `ts`, None where that is not known, before the event is settled: what it
        does may come twice. `reason` is what is counted. Raises as `answer` does.
        """
        with self._under_way.begun(question) as writing, self._pulse.taken():
            case = await self._open(question)
            draft = Draft(guarded(text), reason=reason)
            return await self._end(case, writing, draft, last=None, on_shown=on_shown)

    async def give_up(self, question: Question, reason: str) -> Outcome:
        """Say plainly that no answer will come; an answer that was ready is shown instead.

        GAVE_UP where the event is set aside for a replay, SETTLED where there is nothing to replay.
        """
        with self._under_way.begun(question) as writing, self._pulse.taken():
            case = await self._open(question)
            _log.warning("gave up on a question", extra={"reason": reason})
            return await self._end(case, writing, case.draft or apology("gave_up"), last=reason)

    def stop(self, tenant_id: UUID, *, channel: str, thread_ts: str) -> bool:
        """Stop the answer this process is writing there; False where it writes none."""
        return self._under_way.stop(tenant_id, channel=channel, thread_ts=thread_ts)

    def withdraw(self, tenant_id: UUID, *, channel: str, question_ts: str) -> bool:
        """Take back the answer this process is writing to a message that was deleted; False where it writes none."""
        return self._under_way.withdraw(tenant_id, channel=channel, question_ts=question_ts)

    def signal(self, tenant_id: UUID, event_id: int, signal: RunningSignal) -> bool:
        """Do what another process was told about an event that is ours; False while its answer is not written here."""
        return self._under_way.signal(tenant_id, event_id, signal)

    async def _open(self, question: Question) -> Case:
        route = await self._installations.route_of_tenant(question.tenant_id)
        return await open_case(
            question,
            database=self._database,
            slack=self._slack,
            bot=await self._installations.bot(question.tenant_id),
            key=route.key,
            pulse=self._pulse,
            pace=self._pace,
        )

    async def _end(
        self, case: Case, writing: Writing, draft: Draft | None, *, last: str | None, on_shown: OnShown | None = None
    ) -> Outcome:
        """Carry an open answer to its end, and settle it. `last`: nothing is tried after this."""
        if case.state != "open":
            return Outcome("dropped", WITHDRAWN) if case.is_withdrawn else Outcome("done", "it was answered before")
        working = Working(case.desk, after=self._pace.working, left_behind=not case.is_new)
        try:
            may_stream = on_shown is None
            end = await self._unless_withdrawn(case, writing, working, draft, last=last, may_stream=may_stream)
            if on_shown is not None and end.state in ("complete", "ambiguous"):
                await on_shown(_only_ts(case.journal) if end.state == "complete" else None)
            # Before the answer ends: after a crash in between whoever goes on with it takes this down.
            await working.end()
        finally:
            working.abandon()
        latency_ms = int(max(0.0, case.question.age) * 1000)
        await case.finish(end, latency_ms=latency_ms)
        self._count(end, latency_ms)
        return GAVE_UP if end.state == "gave_up" else SETTLED

    async def _unless_withdrawn(
        self,
        case: Case,
        writing: Writing,
        working: Working,
        draft: Draft | None,
        *,
        last: str | None,
        may_stream: bool,
    ) -> End:
        """The answer's end, or the question's: deleted, it takes back what is shown, and nothing is said."""
        if case.is_withdrawn:
            writing.withdraw()
        end: End | None = None
        if not writing.is_withdrawn:
            try:
                async with asyncio.timeout(None) as limit:
                    with writing.interruptible(limit):
                        end = await self._carry_out(case, writing, working, draft, last=last, may_stream=may_stream)
            except (TimeoutError, SlackRateLimited, SlackUnreachable, SlackUnknownOutcome):
                if not writing.is_withdrawn:
                    raise
        if end is not None and not writing.is_withdrawn:
            return end
        await take_back(case.desk)
        return End("dropped", reason=WITHDRAWN)

    async def _carry_out(
        self,
        case: Case,
        writing: Writing,
        working: Working,
        draft: Draft | None,
        *,
        last: str | None,
        may_stream: bool,
    ) -> End:
        """Show the draft, or the model's answer where there is none."""
        try:
            return await self._show(case, writing, working, draft, may_stream=may_stream)
        except Unresolved as doubt:
            return await _flagged(case, doubt.part)
        except SlackTokenDead:
            raise
        except SlackRefused as error:
            # Slack takes no message there: the channel is gone, closed, or does not let us in.
            return End("failed", reason=f"slack: {error.slack_code}")
        except SlackError as error:
            if last is None:
                raise
            return End("gave_up", reason=f"{last}; {error.code}")

    async def _show(
        self, case: Case, writing: Writing, working: Working, draft: Draft | None, *, may_stream: bool
    ) -> End:
        flagged = flagged_part(case.desk)
        if flagged is not None:
            return await _flagged(case, flagged)
        question = case.question
        # A stream shows by itself that somebody writes.
        if question.channel_type != "im" or case.journal.entries:
            working.begin()
        adopted = await _adopt(case, is_whole=draft is not None)
        if draft is not None and _is_shown(draft, case.journal):
            return _ended(draft)
        streams = may_stream and question.channel_type == "im"
        reply = Reply(case.desk, pace=self._pace, streams=streams, adopted=adopted)
        writing.show(reply)
        return _ended(await self._write(case, reply, draft))

    async def _write(self, case: Case, reply: Reply, draft: Draft | None) -> Draft:
        """Fill the reply and wait until Slack has all of it."""
        sending = asyncio.create_task(reply.run())
        composing = asyncio.create_task(self._composer.compose(case, reply, draft))
        try:
            await asyncio.wait({sending, composing}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                # Before its end: a person stopped it, or Slack takes no more.
                if isinstance(sending.exception(), SlackRateLimited | SlackUnreachable | SlackUnknownOutcome):
                    # The next attempt shows what the model says now, instead of asking it again.
                    await composing
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

    def _count(self, end: End, latency_ms: int) -> None:
        if end.state == "ambiguous":
            self._metrics.replies_ambiguous.inc()
        is_unsaid = end.state in ("failed", "gave_up") and not end.is_said
        self._metrics.answers.labels("unsaid" if is_unsaid else end.reason or end.state).inc()
        if end.is_said:
            self._metrics.answer_seconds.observe(latency_ms / 1000)


def _only_ts(journal: Journal) -> str | None:
    return journal.entries[0].ts if journal.entries else None


async def _flagged(case: Case, part: int) -> End:
    await flag(case.desk, part)
    return End("ambiguous", reason="ambiguous")


async def _adopt(case: Case, *, is_whole: bool) -> list[PostedMessage]:
    """The messages an earlier attempt left, found where it was in doubt, and no stream among them any more.

    `is_whole`: all of the answer is known, so that a message which is closed holds its part of it already.
    """
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
        if not is_whole:
            # What it holds is not the answer that comes now; another crash must not take it for that.
            await case.journal.reopen(entry.part)
        adopted.append(PostedMessage(case.desk, part=entry.part, ts=entry.ts, shown=None))
    return adopted


def _ended(draft: Draft) -> End:
    if draft.reason == "gave_up":
        return End("gave_up", reason=draft.reason, is_said=True)
    return End(
        draft.state,
        reason=draft.reason,
        text=draft.text if draft.state == "complete" and draft.text.strip() else None,
        model=draft.model,
        usage=draft.usage,
        is_said=True,
    )


def _is_shown(draft: Draft, journal: Journal) -> bool:
    """Whether an earlier attempt had shown all of its draft, and only its end was missing."""
    states = [entry.state for entry in journal.entries]
    return len(states) >= len(split(draft.text)) and set(states) == {"closed"}
