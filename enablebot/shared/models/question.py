"""A question as the answering room receives it, and what became of it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

ChannelType = Literal["im", "channel", "group", "mpim"]

OutcomeName = Literal["settled", "done", "failed", "dropped", "retry", "release"]


@dataclass(frozen=True, slots=True)
class Question:
    """One message addressed to the bot, claimed by this process under `claim_token`.

    `thread_ts` is the root to reply under, which for a message outside any thread is its own `ts`.
    `text` has the bot's own mention removed and Slack's entities unescaped; like every other content it stays out of
    repr, so that a logged question tells nobody what was asked.
    """

    tenant_id: UUID
    event_id: int
    claim_token: UUID
    event_key: str
    attempts: int
    received_at: datetime
    team_id: str
    channel: str
    channel_type: ChannelType
    ts: str
    thread_ts: str
    lane: str
    asker: str = field(repr=False)
    asker_team: str | None
    text: str = field(repr=False)
    file_names: tuple[str, ...] = field(repr=False)
    in_thread: bool
    bot_user_id: str
    is_external: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event, for the worker to settle.

    `settled`: it was settled together with its answer, nothing is left to do. `retry`: again after `delay_seconds`,
    and the attempt counts. `release`: given back untouched, and the attempt does not count.
    """

    name: OutcomeName
    reason: str | None = None
    delay_seconds: float = 0
