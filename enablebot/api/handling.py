"""From a claimed event to its end: what a failure costs, what it does not, and who gets the last word."""

import logging
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, assert_never

from enablebot.api.failures import described, unless_ours
from enablebot.api.outage import SlackOutage
from enablebot.api.settling import Settling
from enablebot.shared.database.models import ClaimedEventRow, ClaimRow
from enablebot.shared.errors import DatabaseUnavailable, OriginalUnreachable, SlackError, SlackRateLimited, StaleClaim
from enablebot.shared.models.event import RunningSignal
from enablebot.shared.models.question import Outcome

log = logging.getLogger(__name__)

# The database hands a mention, message or interaction out once more after these, for the last word only.
MOST_ATTEMPTS = 3
LONGEST_BACKOFF_SECONDS = 60.0
# How long a failure of Slack, the database or the store of documents is excused. Slack never asks for longer than this.
MOST_PATIENCE_SECONDS = 3600.0
_PUT_BACK_SECONDS = 2.0

LOST_TOO_OFTEN = "the process that handled it died three times"


class BodyUnreadable(Exception):
    """The stored body does not open: nobody can be answered, and trying again will not help."""


Row = TypeVar("Row", bound=ClaimRow)
_Row = TypeVar("_Row", bound=ClaimRow, contravariant=True)


class Handlers(Protocol[_Row]):
    """What the worker hands to whoever does it."""

    async def handle(self, claimed: _Row) -> Outcome:
        """Do what the event asks for; BodyUnreadable when it cannot even be read.

        `settled` with a reason: the event was set aside.
        """

    async def give_up(self, claimed: _Row, reason: str) -> Outcome:
        """Tell whoever waits that nothing more will be tried; `settled` as above."""


class EventHandlers(Handlers[ClaimedEventRow], Protocol):
    """What the worker hands events to."""

    def signal(self, claimed: ClaimedEventRow, signal: RunningSignal) -> bool:
        """Pass on what a person wants of the handler that runs for this event; False where it cannot hear it yet."""


class Handling(Generic[Row]):
    """Runs handlers and decides what their end means for the event."""

    def __init__(
        self,
        handlers: Handlers[Row],
        *,
        outage: SlackOutage,
        on_set_aside: Callable[[str], None],
        jitter: Callable[[], float],
        time_scale: float,
        patience_seconds: float = MOST_PATIENCE_SECONDS,
    ) -> None:
        self._patience_seconds = patience_seconds
        self._handlers = handlers
        self._on_set_aside = on_set_aside
        self._outage = outage
        self._jitter = jitter
        self._time_scale = time_scale

    async def handle(self, row: Row) -> Settling | None:
        """Let the handler do its work; None where it settled the event itself. Raises StaleClaim."""
        if row.is_last_word:
            # Whatever it is, it takes processes down: its handler never runs again.
            return await self._give_up(row, LOST_TOO_OFTEN)
        try:
            outcome = await self._handlers.handle(row)
        except StaleClaim:
            raise
        except BodyUnreadable as error:
            return Settling(row, "set_aside", str(error))
        except Exception as error:
            delay = self._excused_for(row, error)
            if delay is not None:
                log.info("Put back, which costs it no attempt: %s", described(error))
                return Settling(row, "release", described(error), delay)
            log.warning("Handling failed: %s", described(error), exc_info=unless_ours(error))
            outcome = Outcome("retry", described(error))
        match outcome.name:
            case "settled":
                # With a reason where an earlier attempt had given up already, and this one brought it to its end.
                if outcome.reason is not None:
                    self._on_set_aside(outcome.reason)
                return None
            case "retry" if row.attempts >= MOST_ATTEMPTS:
                return await self._give_up(row, outcome.reason or "it failed three times")
            case "retry":
                delay = max(outcome.delay_seconds, self._backoff(row.attempts))
                return Settling(row, "retry", outcome.reason, delay)
            case "done" | "failed" | "dropped" | "release" | "set_aside":
                return Settling(row, outcome.name, outcome.reason, outcome.delay_seconds)
            case _:
                assert_never(outcome.name)

    async def _give_up(self, row: Row, reason: str) -> Settling | None:
        """The last word. What could not be said is kept, so that somebody can replay it."""
        try:
            outcome = await self._handlers.give_up(row, reason)
        except StaleClaim:
            raise
        except BodyUnreadable as error:
            return Settling(row, "set_aside", str(error))
        except Exception as error:
            delay = self._excused_for(row, error)
            if delay is not None:
                return Settling(row, "release", described(error), delay)
            log.error("Giving up failed, too: %s", described(error), exc_info=unless_ours(error))  # noqa: TRY400 - ours need no place
            return Settling(row, "set_aside", reason)
        match outcome.name:
            case "settled":
                if outcome.reason is not None:
                    self._on_set_aside(reason)
                return None
            case "done" | "dropped" | "release":
                return Settling(row, outcome.name, outcome.reason, outcome.delay_seconds)
            case "failed" | "retry" | "set_aside":
                return Settling(row, "set_aside", outcome.reason or reason)
            case _:
                assert_never(outcome.name)

    def _excused_for(self, row: Row, error: Exception) -> float | None:
        """After how many seconds an event may come back that is not to blame; None where it is, or nobody waits longer.

        Slack's own waiting time is never shortened: neither by the time scale nor by jitter.
        """
        if row.waited_seconds > self._patience_seconds:
            return None
        if isinstance(error, SlackRateLimited):
            return error.retry_after * (1 + 0.2 * self._jitter()) + self._put_back()
        if isinstance(error, SlackError) and self._outage.excuses(error):
            return self._outage.rest_left + self._put_back()
        if isinstance(error, (DatabaseUnavailable, OriginalUnreachable)):
            return self._put_back()
        return None

    def _put_back(self) -> float:
        return _PUT_BACK_SECONDS * (0.5 + self._jitter()) * self._time_scale

    def _backoff(self, attempts: int) -> float:
        spread = 0.5 + self._jitter()
        return min(2.0**attempts * spread, LONGEST_BACKOFF_SECONDS) * self._time_scale
