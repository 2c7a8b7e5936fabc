"""An event on its way into the inbox."""

from typing import Literal, NamedTuple
from uuid import UUID

EventKind = Literal["message", "mention", "interaction", "lifecycle", "stop", "delete"]

Verdict = Literal["accepted", "duplicate", "not_ours"]

# What a person may want of an answer while it is written: no more of it, or none of it.
RunningSignal = Literal["stop", "withdraw"]


class IncomingEvent(NamedTuple):
    """One event as the inbox stores it: routing facts in the clear, the body sealed with its workspace's key.

    `event_key` names the delivery, `message_key` the message it is about: two deliveries of one message are one event.
    `lane` is the conversation whose order it keeps; None bypasses the lanes. `joins` says whether it may open the
    conversation, or is ours only where the bot already takes part. A tuple, because a busy process makes thousands a
    second and stores them column by column.
    """

    tenant_id: UUID
    event_key: str
    message_key: str | None
    lane: str | None
    kind: EventKind
    joins: bool
    body: bytes
    data_key_id: UUID
