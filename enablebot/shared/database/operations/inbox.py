"""Accepted events: in, claimed, renewed, settled."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from enablebot.shared.database.models import (
    ClaimedDocumentRow,
    ClaimedEventRow,
    EventKind,
    EventOutcome,
    InboxDepthRow,
    ReplayedRow,
    SetAsideRow,
    Settlement,
    Signal,
    SignalledRow,
    Verdict,
)
from enablebot.shared.database.operations.call import Calls


class InboxCalls(Calls):
    async def accept_events(
        self,
        *,
        tenant_ids: Sequence[UUID],
        event_keys: Sequence[str],
        message_keys: Sequence[str | None],
        lanes: Sequence[str | None],
        kinds: Sequence[EventKind],
        joins: Sequence[bool],
        bodies: Sequence[bytes],
        data_key_ids: Sequence[UUID],
    ) -> list[Verdict]:
        """Store a batch of sealed events and return a verdict for each, in the order given.

        The verdicts are those of storing them one by one. An event that joins opens its lane; one that does not is
        `not_ours` unless its lane is open. Either key seen before makes it a `duplicate`; `not_ours` takes no key.
        """
        verdicts: list[Verdict] = await self._call(
            "accept_events",
            tenant_ids=list(tenant_ids),
            event_keys=list(event_keys),
            message_keys=list(message_keys),
            lanes=list(lanes),
            kinds=list(kinds),
            joins=list(joins),
            bodies=list(bodies),
            data_key_ids=list(data_key_ids),
        )
        return verdicts

    async def claim_events(
        self, *, worker: str, after_tenant: UUID | None, limit: int, tenant_cap: int, lease_seconds: int
    ) -> list[ClaimedEventRow]:
        """Claim up to `limit` events, in turn over the tenants that follow `after_tenant`, then from the first again.

        Urgent events come first, as `claim_urgent_events` tells. Of the others no tenant holds more than `tenant_cap`
        live claims over all workers, and a paused one none. Each claim counts as an attempt and carries a token; leases
        that ran out are returned first. After three claims that were lost, what a person waits for comes back as
        `is_last_word`; the rest, and what is lost even then, is set aside.
        """
        claimed = await self._call(
            "claim_events",
            worker=worker,
            after_tenant=after_tenant,
            limit=limit,
            tenant_cap=tenant_cap,
            lease_seconds=lease_seconds,
        )
        return [ClaimedEventRow.model_validate(row) for row in claimed]

    async def claim_urgent_events(self, *, worker: str, limit: int, lease_seconds: int) -> list[ClaimedEventRow]:
        """Claim stop, delete and lifecycle events only: they know neither lanes nor caps nor pauses."""
        claimed = await self._call("claim_urgent_events", worker=worker, limit=limit, lease_seconds=lease_seconds)
        return [ClaimedEventRow.model_validate(row) for row in claimed]

    async def claim_documents(
        self, *, worker: str, limit: int, tenant_cap: int, lease_seconds: int
    ) -> list[ClaimedDocumentRow]:
        """Claim up to `limit` documents to be read, of workspaces first of which least is being read.

        No tenant holds more than `tenant_cap` over all workers; a paused one's are read, too. Attempts, leases and the
        last word are as for events.
        """
        claimed = await self._call(
            "claim_documents", worker=worker, limit=limit, tenant_cap=tenant_cap, lease_seconds=lease_seconds
        )
        return [ClaimedDocumentRow.model_validate(row) for row in claimed]

    async def renew_leases(
        self, *, tenant_ids: Sequence[UUID], ids: Sequence[int], tokens: Sequence[UUID], lease_seconds: int
    ) -> list[bool]:
        """Extend claims from now on, and say for each whether it is still ours."""
        renewed: list[bool] = await self._call(
            "renew_leases",
            tenant_ids=list(tenant_ids),
            ids=list(ids),
            tokens=list(tokens),
            lease_seconds=lease_seconds,
        )
        return renewed

    async def settle_events(
        self,
        *,
        tenant_ids: Sequence[UUID],
        ids: Sequence[int],
        tokens: Sequence[UUID],
        outcomes: Sequence[EventOutcome],
        reasons: Sequence[str | None],
        delays: Sequence[float],
    ) -> list[Settlement]:
        """End claims and let the next event of each lane go; `stale` where the claim is somebody else's by now.

        `retry` comes back after its delay in seconds and is set aside instead once three attempts are spent; `release`
        does too, but gives the attempt back. Bodies go, except of events set aside.
        """
        settlements: list[Settlement] = await self._call(
            "settle_events",
            tenant_ids=list(tenant_ids),
            ids=list(ids),
            tokens=list(tokens),
            outcomes=list(outcomes),
            reasons=list(reasons),
            delays=[float(delay) for delay in delays],
        )
        return settlements

    async def get_inbox_depth(self) -> InboxDepthRow:
        """Count unfinished events of all tenants by state; `oldest_seconds` is the longest wait among them.

        What is held for a paused workspace does not count as waiting; documents are counted apart.
        """
        return InboxDepthRow.model_validate(await self._call("get_inbox_depth"))

    async def list_set_aside(self, *, tenant_id: UUID | None, after_id: int | None, limit: int) -> list[SetAsideRow]:
        """Return events set aside, oldest first, from the one behind `after_id` on: a tenant's, or everybody's."""
        found = await self._call("list_set_aside", tenant_id=tenant_id, after_id=after_id, limit=limit)
        return [SetAsideRow.model_validate(row) for row in found]

    async def replay_event(self, *, tenant_id: UUID, id: int, actor: str) -> ReplayedRow:  # noqa: A002 - as the column
        """Put an event set aside back into its lane with all its attempts; audited.

        Its failed answer is open again, with the messages that carry it; a document waits to be read again. False once
        it is not set aside any more, or its content is gone.
        """
        return ReplayedRow.model_validate(await self._call("replay_event", tenant_id=tenant_id, id=id, actor=actor))

    async def signal_answers(
        self, *, tenant_id: UUID, channel: str, thread_ts: str, signal: Literal["stop"]
    ) -> SignalledRow:
        """Tell whoever holds claims of this conversation to stop; they ask with `read_signals`."""
        return SignalledRow.model_validate(
            await self._call("signal_answers", tenant_id=tenant_id, channel=channel, thread_ts=thread_ts, signal=signal)
        )

    async def withdraw_question(self, *, tenant_id: UUID, channel: str, question_ts: str) -> SignalledRow:
        """Remember that a message was deleted, and tell whoever is answering it."""
        return SignalledRow.model_validate(
            await self._call("withdraw_question", tenant_id=tenant_id, channel=channel, question_ts=question_ts)
        )

    async def read_signals(
        self, *, tenant_ids: Sequence[UUID], ids: Sequence[int], tokens: Sequence[UUID]
    ) -> list[Signal | None]:
        """Return what each claim should know; `lost` where it is somebody else's or nobody's by now."""
        signals: list[Signal | None] = await self._call(
            "read_signals", tenant_ids=list(tenant_ids), ids=list(ids), tokens=list(tokens)
        )
        return signals
