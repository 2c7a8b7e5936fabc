"""Answers, the replies that carry them into Slack, and the conversation they belong to.

Every method that takes a claim token raises StaleClaim once the event's claim is no longer that one.
"""

from collections.abc import Sequence
from uuid import UUID

from enablebot.shared.database.models import (
    FinalState,
    OpenedAnswerRow,
    ReplyIntentRow,
    ReplyMode,
    ReplyState,
)
from enablebot.shared.database.operations.call import Calls


class ConversationCalls(Calls):
    async def open_answer(
        self,
        *,
        tenant_id: UUID,
        event_id: int,
        claim_token: UUID,
        answer_id: UUID,
        conversation_id: UUID,
        lane: str,
        channel: str,
        thread_ts: str,
        question_ts: str,
        asker: str,
        message_id: UUID,
        message: bytes,
        data_key_id: UUID,
        history: int,
    ) -> OpenedAnswerRow:
        """Begin the answer to an event, or return the one begun by an earlier attempt with what it left behind.

        The ids given are used only for what does not exist yet. `message` is sealed for messages/body/`message_id`.
        `history` is how many earlier messages to return, oldest first, without the question itself.
        Of a question that was withdrawn nothing new is stored, and the answer that comes back is dropped already.
        """
        return OpenedAnswerRow.model_validate(
            await self._call(
                "open_answer",
                tenant_id=tenant_id,
                event_id=event_id,
                claim_token=claim_token,
                answer_id=answer_id,
                conversation_id=conversation_id,
                lane=lane,
                channel=channel,
                thread_ts=thread_ts,
                question_ts=question_ts,
                asker=asker,
                message_id=message_id,
                message=message,
                data_key_id=data_key_id,
                history=history,
            )
        )

    async def intend_reply(
        self, *, tenant_id: UUID, answer_id: UUID, event_id: int, claim_token: UUID, part: int, mode: ReplyMode
    ) -> ReplyIntentRow:
        """Record that a message is about to be sent; `already` means that an earlier attempt may have sent it."""
        return ReplyIntentRow.model_validate(
            await self._call(
                "intend_reply",
                tenant_id=tenant_id,
                answer_id=answer_id,
                event_id=event_id,
                claim_token=claim_token,
                part=part,
                mode=mode,
            )
        )

    async def record_reply(
        self,
        *,
        tenant_id: UUID,
        answer_id: UUID,
        event_id: int,
        claim_token: UUID,
        part: int,
        state: ReplyState,
        ts: str | None,
    ) -> None:
        """Record what became of an intended reply; a `ts` of None keeps the one known."""
        await self._call(
            "record_reply",
            tenant_id=tenant_id,
            answer_id=answer_id,
            event_id=event_id,
            claim_token=claim_token,
            part=part,
            state=state,
            ts=ts,
        )

    async def note_own_messages(
        self, *, tenant_ids: Sequence[UUID], channels: Sequence[str], threads: Sequence[str | None], ts: Sequence[str]
    ) -> list[bool]:
        """Take our own messages, seen as events, as evidence: True where one settles what an intended reply became."""
        noted: list[bool] = await self._call(
            "note_own_messages",
            tenant_ids=list(tenant_ids),
            channels=list(channels),
            threads=list(threads),
            ts=list(ts),
        )
        return noted

    async def save_draft(
        self,
        *,
        tenant_id: UUID,
        answer_id: UUID,
        event_id: int,
        claim_token: UUID,
        text: bytes,
        data_key_id: UUID,
    ) -> None:
        """Keep the answer's text before it is sent, sealed for answers/text/`answer_id`."""
        await self._call(
            "save_draft",
            tenant_id=tenant_id,
            answer_id=answer_id,
            event_id=event_id,
            claim_token=claim_token,
            text=text,
            data_key_id=data_key_id,
        )

    async def finish_answer(
        self,
        *,
        tenant_id: UUID,
        answer_id: UUID,
        event_id: int,
        claim_token: UUID,
        state: FinalState,
        reason: str | None,
        text: bytes | None,
        message_id: UUID | None,
        data_key_id: UUID | None,
        model: str | None,
        input_tokens: int | None,
        output_tokens: int | None,
        latency_ms: int | None,
    ) -> None:
        """End an answer and settle its event in the same transaction.

        `text` is sealed for messages/body/`message_id` and joins the conversation; the draft is forgotten.
        The event's outcome: complete is `done`, dropped is `dropped`, failed and ambiguous are `failed`. An answer that
        was given up has failed; its event is set aside with its content, and can be replayed.
        """
        await self._call(
            "finish_answer",
            tenant_id=tenant_id,
            answer_id=answer_id,
            event_id=event_id,
            claim_token=claim_token,
            state=state,
            reason=reason,
            text=text,
            message_id=message_id,
            data_key_id=data_key_id,
            model=model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            latency_ms=latency_ms,
        )
