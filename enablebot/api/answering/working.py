"""Shows in a thread that the bot is at work, where no stream shows it; a courtesy that nothing may wait for."""

import asyncio
import logging
from types import TracebackType

from enablebot.api.answering.messages import Desk
from enablebot.shared.errors import SlackError
from enablebot.shared.slack.client import SessionStatus

_SECONDS = 3.0

_log = logging.getLogger(__name__)


class Working:
    """`async with`: the thread shows the bot as working until the end, whatever the end is."""

    def __init__(self, desk: Desk, *, shown: bool) -> None:
        self._desk = desk
        self._shown = shown
        self._beginning: asyncio.Task[bool] | None = None

    async def __aenter__(self) -> None:
        if self._shown:
            self._beginning = asyncio.create_task(self._set("processing"))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beginning is None:
            return
        if kind is asyncio.CancelledError:
            # The next attempt shows it again, and ends it.
            self._beginning.cancel()
            return
        if await self._beginning:
            await self._set("active")

    async def _set(self, status: SessionStatus) -> bool:
        desk = self._desk
        try:
            async with asyncio.timeout(_SECONDS):
                await desk.client.set_status(
                    channel=desk.question.channel, thread_ts=desk.question.thread_ts, status=status
                )
        except (SlackError, TimeoutError) as refused:
            _log.debug("no working status: %s", type(refused).__name__)
            return False
        return True
