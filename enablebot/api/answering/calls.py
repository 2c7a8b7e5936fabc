"""Calls of Slack with patience: what may be repeated is repeated, what Slack limits waits, what is unknown is told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from enablebot.api.answering.pace import Pace
from enablebot.shared.errors import SlackRateLimited, SlackUnknownOutcome, SlackUnreachable

Result = TypeVar("Result")

_REMEMBERED = 5_000


class Pauses:
    """Until when Slack wants to be left alone, by workspace and method; shared by all answers of this process."""

    def __init__(self) -> None:
        self._until: dict[tuple[UUID, str], float] = {}

    def left(self, tenant_id: UUID, method: str) -> float:
        """Seconds until this method may be called again for this workspace."""
        until = self._until.get((tenant_id, method))
        return 0.0 if until is None else max(0.0, until - asyncio.get_running_loop().time())

    def note(self, tenant_id: UUID, method: str, seconds: float) -> None:
        """Slack said how long to wait."""
        now = asyncio.get_running_loop().time()
        if len(self._until) >= _REMEMBERED:
            self._until = {key: until for key, until in self._until.items() if until > now}
        self._until[tenant_id, method] = max(now + seconds, self._until.get((tenant_id, method), 0.0))


class PatientCalls:
    """One answer's calls of Slack. Each waits for its method's pause first, and at most `pace.patience` altogether."""

    def __init__(self, *, tenant_id: UUID, pauses: Pauses, pace: Pace) -> None:
        self._tenant_id = tenant_id
        self._pauses = pauses
        self._pace = pace

    def left(self, method: str) -> float:
        """Seconds until `method` may be called."""
        return self._pauses.left(self._tenant_id, method)

    async def once(
        self, method: str, send: Callable[[], Awaitable[Result]], *, patience: float | None = None
    ) -> Result:
        """A call that must not take effect twice: repeated only where it surely had none.

        Raises SlackUnknownOutcome at the first doubt, and the last error when patience ends.
        """
        return await self._call(method, send, repeatable=False, patience=patience)

    async def repeatably(self, method: str, send: Callable[[], Awaitable[Result]]) -> Result:
        """A call that may take effect twice without harm, such as an update with the whole text."""
        return await self._call(method, send, repeatable=True, patience=None)

    async def _call(
        self, method: str, send: Callable[[], Awaitable[Result]], *, repeatable: bool, patience: float | None
    ) -> Result:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + (self._pace.patience if patience is None else patience)
        backoff = self._pace.backoff
        await self._wait_for_pause(method, give_up_at)
        while True:
            try:
                return await send()
            except SlackRateLimited as error:
                self._pauses.note(self._tenant_id, method, error.retry_after)
                if loop.time() + error.retry_after > give_up_at:
                    raise
                await self._wait_for_pause(method, give_up_at)
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
