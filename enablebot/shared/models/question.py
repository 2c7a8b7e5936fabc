"""A question as the answering room receives it, and what became of it."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

ChannelType = Literal["im", "channel", "group", "mpim"]

OutcomeName = Literal["settled", "done", "failed", "dropped", "retry", "release", "set_aside"]


@dataclass(frozen=True, slots=True)
class Question:
    """One message addressed to the bot, claimed by this process under `claim_token`.

    `thread_ts` is the root to reply under, which for a message outside any thread is its own `ts`.
    `text` has the bot's own mention removed and Slack's entities unescaped; like every other content it stays out of
    repr, so that a logged question tells nobody what was asked.
    `waited_seconds` is how long it had waited when it was claimed, by the database's clock; `read_at` is when it was
    read here, by this process's monotonic one. Wall clocks differ between machines, and jump.
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
    waited_seconds: float
    read_at: float = field(default_factory=time.monotonic, compare=False)

    @property
    def age(self) -> float:
        """Seconds since the question was accepted, or replayed."""
        return self.waited_seconds + time.monotonic() - self.read_at


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event, for the worker to settle.

    `settled`: it was settled together with its answer, nothing is left to do. `set_aside`: kept for whoever runs the
    service to look at and replay. `retry`: again after `delay_seconds`,
    and the attempt counts. `release`: given back untouched, and the attempt does not count.
    """

    name: OutcomeName
    reason: str | None = None
    delay_seconds: float = 0
