"""One question under way: what its answer has left behind so far, and what is needed to go on with it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from enablebot.api.answering.calls import PatientCalls
from enablebot.api.answering.context import HISTORY_MESSAGES, opened_history
from enablebot.api.answering.fence import Fence, Pulse
from enablebot.api.answering.healing import Evidence
from enablebot.api.answering.journal import Journal, patiently
from enablebot.api.answering.messages import Desk
from enablebot.api.answering.pace import Pace
from enablebot.api.answering.prompts import QUESTION_LIMIT, Turn
from enablebot.shared.database.models import AnswerRow, AnswerState, FinalState, OpenedAnswerRow
from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.encryption import Place, SealingKey
from enablebot.shared.errors import SealBroken
from enablebot.shared.installations import BotCredentials
from enablebot.shared.models.answer import Draft, Usage
from enablebot.shared.models.question import Question
from enablebot.shared.slack.client import SlackClients


@dataclass(frozen=True, slots=True)
class End:
    """How an answer ends. `text` joins the conversation; `is_said`: a person can read the answer, or its reason."""

    state: FinalState
    reason: str | None = None
    text: str | None = None
    model: str | None = None
    usage: Usage = field(default_factory=Usage)
    is_said: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """A question and its answer so far. `draft` is the whole answer, where an earlier attempt had it.

    `is_new`: no earlier attempt has begun it. `is_withdrawn`: the question was deleted.
    """

    question: Question
    state: AnswerState
    is_new: bool
    is_withdrawn: bool
    desk: Desk
    history: list[Turn]
    draft: Draft | None
    _database: Database
    _key: SealingKey

    @property
    def journal(self) -> Journal:
        """The messages this answer consists of."""
        return self.desk.journal

    async def finish(self, end: End, *, latency_ms: int) -> None:
        """End the answer and settle its event, together."""
        question = self.question
        message_id = uuid4()
        sealed = None
        if end.text is not None:
            sealed = self._key.seal(Place(question.tenant_id, "messages", "body", str(message_id)), end.text.encode())
        await patiently(
            lambda: self._database.finish_answer(
                tenant_id=question.tenant_id,
                answer_id=self.journal.answer_id,
                event_id=question.event_id,
                claim_token=question.claim_token,
                state=end.state,
                reason=end.reason,
                text=sealed,
                message_id=None if sealed is None else message_id,
                data_key_id=None if sealed is None else self._key.id,
                model=end.model,
                input_tokens=end.usage.input_tokens,
                output_tokens=end.usage.output_tokens,
                latency_ms=latency_ms,
            )
        )


async def open_case(
    question: Question,
    *,
    database: Database,
    slack: SlackClients,
    bot: BotCredentials,
    key: SealingKey,
    pulse: Pulse,
    pace: Pace,
) -> Case:
    """Open the question's answer, or the one an earlier attempt began."""
    look = _opening(question, database=database, key=key)
    # Before the database is asked: a stop while it answers makes its answer old.
    fence = Fence(pulse, lambda: patiently(lambda: look(0)))
    opened = await patiently(lambda: look(HISTORY_MESSAGES))
    client = slack.for_workspace(token=bot.token, team_id=bot.team_id or question.team_id, may_send=fence.is_open)
    journal = Journal(
        database=database,
        question=question,
        answer_id=opened.answer.id,
        key=key,
        replies=opened.answer.replies,
        look=lambda: look(0),
    )
    calls = PatientCalls(client, fence=fence, pace=pace)
    evidence = Evidence(
        client=client,
        question=question,
        journal=journal,
        calls=calls,
        pace=pace,
        bot_id=bot.bot_id,
        foreign_ts={row.ts for row in opened.history if row.ts is not None},
    )
    return Case(
        question=question,
        state=opened.answer.state,
        is_new=opened.is_new,
        is_withdrawn=opened.is_withdrawn,
        desk=Desk(client, question, journal, evidence, calls),
        history=opened_history(opened.history, question=question, key=key),
        draft=_draft(opened.answer, tenant_id=question.tenant_id, key=key),
        _database=database,
        _key=key,
    )


def _opening(question: Question, *, database: Database, key: SealingKey) -> Callable[[int], Awaitable[OpenedAnswerRow]]:
    message_id, answer_id, conversation_id = uuid4(), uuid4(), uuid4()
    place = Place(question.tenant_id, "messages", "body", str(message_id))
    sealed = key.seal(place, question.text[:QUESTION_LIMIT].encode("utf-8", "replace"))

    async def opening(history: int) -> OpenedAnswerRow:
        return await database.open_answer(
            tenant_id=question.tenant_id,
            event_id=question.event_id,
            claim_token=question.claim_token,
            answer_id=answer_id,
            conversation_id=conversation_id,
            lane=question.lane,
            channel=question.channel,
            thread_ts=question.thread_ts,
            question_ts=question.ts,
            asker=question.asker,
            message_id=message_id,
            message=sealed,
            data_key_id=key.id,
            history=history,
        )

    return opening


def _draft(answer: AnswerRow, *, tenant_id: UUID, key: SealingKey) -> Draft | None:
    """The draft an earlier attempt saved; one that cannot be read is written again by the model."""
    if answer.text is None:
        return None
    try:
        return Draft.from_bytes(key.open(Place(tenant_id, "answers", "text", str(answer.id)), answer.text))
    except (SealBroken, ValueError):
        return None
