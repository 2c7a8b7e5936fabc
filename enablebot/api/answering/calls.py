"""Calls of Slack with patience: what may be repeated is repeated, what Slack limits waits, what is unknown is told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from enablebot.api.answering.fence import Fence
from enablebot.api.answering.pace import Pace
from enablebot.shared.errors import SlackRateLimited, SlackUnknownOutcome, SlackUnreachable
from enablebot.shared.slack.client import SlackClient

Result = TypeVar("Result")


class PatientCalls:
    """One answer's calls of Slack, each behind its fence. Each waits at most `pace.patience` altogether."""

    def __init__(self, client: SlackClient, *, fence: Fence, pace: Pace) -> None:
        self._client = client
        self._fence = fence
        self._pace = pace

    def left(self, method: str) -> float:
        """Seconds until Slack wants `method` to be called again."""
        return self._client.left(method)

    async def once(
        self, method: str, send: Callable[[], Awaitable[Result]], *, patience: float | None = None
    ) -> Result:
        """A call that must not take effect twice: repeated only where it surely had none.

        Raises StaleClaim, SlackUnknownOutcome at the first doubt, and the last error when patience ends.
        """
        return await self._call(method, send, repeatable=False, patience=patience)

    async def repeatably(
        self, method: str, send: Callable[[], Awaitable[Result]], *, patience: float | None = None
    ) -> Result:
        """A call that may take effect twice without harm, such as an update with the whole text."""
        return await self._call(method, send, repeatable=True, patience=patience)

    async def _call(
        self, method: str, send: Callable[[], Awaitable[Result]], *, repeatable: bool, patience: float | None
    ) -> Result:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + (self._pace.patience if patience is None else patience)
        backoff = self._pace.backoff
        while True:
            await self._wait_for_pause(method, give_up_at)
            # Last, for the pause may have been long.
            await self._fence.pass_through()
            try:
                return await send()
            except SlackRateLimited as error:
                if loop.time() + error.retry_after > give_up_at:
                    raise
            except (SlackUnreachable, SlackUnknownOutcome) as error:
                if isinstance(error, SlackUnknownOutcome) and not repeatable:
                    raise
                if loop.time() + backoff > give_up_at:
                    raise
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, 8 * self._pace.backoff)

    async def _wait_for_pause(self, method: str, give_up_at: float) -> None:
        while (left := self.left(method)) > 0:
            if asyncio.get_running_loop().time() + left > give_up_at:
                raise SlackRateLimited(
                    f"Slack limits {method} for this workspace for another {left:.0f} s.",
                    method=method,
                    retry_after=left,
                )
            await asyncio.sleep(left)
