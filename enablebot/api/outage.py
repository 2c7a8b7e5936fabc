"""Is Slack out, for everybody? Then questions wait in the inbox instead of spending their attempts on it."""

import asyncio
import logging
import math

from enablebot.shared.errors import SlackError, SlackUnknownOutcome, SlackUnreachable
from enablebot.shared.metrics import Metrics

log = logging.getLogger(__name__)

# So many failures in a row, whichever workspaces they were for, are no accident of one of them.
MOST_FAILURES = 20
REST_SECONDS = 5.0
LONGEST_REST_SECONDS = 30.0
_FAILURES = frozenset({SlackUnreachable.code, SlackUnknownOutcome.code})
# Not from Slack's servers: the caller went away.
_NO_NEWS = frozenset({"cancelled"})


class SlackOutage:
    """A circuit breaker over all workspaces. Open, it lets nothing begin; after a rest, one event may try.

    Told of every call by `note_call`. Rests grow from REST_SECONDS while the tries fail, times `time_scale`.
    """

    def __init__(self, metrics: Metrics, *, time_scale: float = 1.0) -> None:
        self._metrics = metrics
        self._time_scale = time_scale
        self._failures = 0
        self._rests = 0
        self._tries_at = -math.inf

    @property
    def is_on(self) -> bool:
        """Whether Slack is known to be out, resting or being tried."""
        return self._rests > 0

    @property
    def rest_left(self) -> float:
        """Seconds until the next try; 0 when one may begin, or nothing is wrong."""
        return max(0.0, self._tries_at - asyncio.get_running_loop().time()) if self.is_on else 0.0

    def note_call(self, method: str, outcome: str) -> None:
        """One call of Slack ended; any answer at all shows that it is there."""
        if outcome in _NO_NEWS:
            return
        if outcome in _FAILURES:
            self._note_failure(method)
        else:
            self.note_answered()

    def note_answered(self) -> None:
        """Slack answered."""
        self._failures = 0
        if self.is_on:
            self._rests = 0
            self._metrics.slack_outage.set(0)
            log.warning("Slack answers again; waiting questions go on")

    def excuses(self, error: SlackError) -> bool:
        """Whether this failure says something about Slack and nothing about the event that met it."""
        return isinstance(error, SlackUnreachable) or (isinstance(error, SlackUnknownOutcome) and self.is_on)

    def _note_failure(self, method: str) -> None:
        if self.is_on:
            # Calls that began before the rest end during it and say nothing new; the try decides.
            if self.rest_left == 0:
                self._rest()
            return
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            log.error(
                "Slack is out: the last %d calls failed, %s among them. Questions wait for it, nothing is lost",
                self._failures,
                method,
            )
            self._metrics.slack_outage.set(1)
            self._rest()

    def _rest(self) -> None:
        seconds = min(REST_SECONDS * 2.0 ** min(self._rests, 10), LONGEST_REST_SECONDS) * self._time_scale
        self._rests += 1
        self._tries_at = asyncio.get_running_loop().time() + seconds
