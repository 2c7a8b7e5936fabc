"""Shows in a thread that the bot is at work, where no stream shows it; of this courtesy only the end is waited for."""

import asyncio
import logging

from enablebot.api.answering.messages import Desk
from enablebot.shared.errors import SlackError, SlackRateLimited, SlackRefused, SlackUnreachable
from enablebot.shared.slack.client import SessionStatus

_METHOD = "agents.sessions.setStatus"
_SECONDS = 3.0
# Slack itself ends the display only after an hour, so the end is worth some waiting; the lane waits with it.
_END_PATIENCE_SECONDS = 20.0
_TRIES = 2

_log = logging.getLogger(__name__)


class Working:
    """The thread's "working" display during one attempt at an answer.

    It appears `after` seconds, so that a quick answer costs no call of Slack for it. `left_behind`: an earlier attempt
    may have died without taking it down.
    """

    def __init__(self, desk: Desk, *, after: float, left_behind: bool) -> None:
        self._desk = desk
        self._after = after
        self._may_show = left_behind
        self._is_calling = False
        self._beginning: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Show it soon."""
        self._beginning = asyncio.create_task(self._begin())

    def abandon(self) -> None:
        """Leave it as it is: whoever goes on with the answer shows it, too, and ends it."""
        if self._beginning is not None:
            self._beginning.cancel()

    async def end(self) -> None:
        """Take it down wherever it may show."""
        if self._beginning is not None:
            if not self._is_calling:
                self._beginning.cancel()
            await asyncio.wait({self._beginning})
        if self._may_show:
            await self._take_down()

    async def _begin(self) -> None:
        await asyncio.sleep(self._after)
        self._is_calling = True
        try:
            await self._set("processing", patience=0)
        except (SlackRefused, SlackRateLimited, SlackUnreachable) as refused:
            _log.debug("no working status: %s", type(refused).__name__)
            return
        except (SlackError, TimeoutError) as doubt:
            _log.debug("an uncertain working status: %s", type(doubt).__name__)
        # In doubt, too: it may have reached Slack all the same.
        self._may_show = True

    async def _take_down(self) -> None:
        for _ in range(_TRIES):
            try:
                await self._set("active", patience=_END_PATIENCE_SECONDS)
            except SlackRefused:
                return
            except (SlackRateLimited, SlackUnreachable):
                break
            except (SlackError, TimeoutError):
                continue
            else:
                return
        _log.info("a thread may show the bot as working until Slack itself ends that, within the hour")

    async def _set(self, status: SessionStatus, *, patience: float) -> None:
        await self._desk.calls.once(_METHOD, lambda: self._send(status), patience=patience)

    async def _send(self, status: SessionStatus) -> None:
        question = self._desk.question
        async with asyncio.timeout(_SECONDS):
            await self._desk.client.set_status(channel=question.channel, thread_ts=question.thread_ts, status=status)
