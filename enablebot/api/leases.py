"""Whether what runs here is still ours, and what people want of it meanwhile."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from enablebot.api.claims import Claim, Claims
from enablebot.api.failures import described, unless_ours
from enablebot.shared.database.models import ClaimedEventRow
from enablebot.shared.database.operations import Database
from enablebot.shared.logging import bind
from enablebot.shared.models.event import RunningSignal

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
_SHORTEST_LOOK_SECONDS = 0.05
# A look that takes longer would be told what has changed meanwhile by the next one.
_LONGEST_LOOK_SECONDS = 3.0


class Leases:
    """Renews the leases of running claims, and looks about once a second what has become of them.

    `tell` passes a signal on; False has it told again at the next look.
    """

    def __init__(
        self,
        database: Database,
        claims: Claims,
        *,
        lease_seconds: int,
        time_scale: float,
        tell: Callable[[ClaimedEventRow, RunningSignal], bool],
    ) -> None:
        self._database = database
        self._claims = claims
        self._lease_seconds = lease_seconds
        self._look_seconds = max(LOOK_SECONDS * time_scale, _SHORTEST_LOOK_SECONDS)
        self._tell = tell
        self._look_now = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin both loops."""
        self._loops = [asyncio.create_task(self._renew_forever()), asyncio.create_task(self._look_forever())]

    def look(self) -> None:
        """Look at once: what was just done here may have ended or marked what runs."""
        self._look_now.set()

    async def aclose(self) -> None:
        """End both loops."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._loops = []

    async def _renew_forever(self) -> None:
        pause = self._lease_seconds / 3
        while True:
            await asyncio.sleep(pause)
            running = self._claims.running
            if running:
                try:
                    async with asyncio.timeout(pause):
                        await self._renew(running)
                except Exception as error:
                    log.warning("Could not renew leases: %s", described(error), exc_info=unless_ours(error))

    async def _renew(self, running: Sequence[Claim]) -> None:
        # The database counts the lease from later than this, so ours never outlives it.
        asked_at = asyncio.get_running_loop().time()
        renewed = await self._database.renew_leases(
            tenant_ids=[claim.row.tenant_id for claim in running],
            ids=[claim.row.id for claim in running],
            tokens=[claim.row.claim_token for claim in running],
            lease_seconds=self._lease_seconds,
        )
        for claim, is_ours in zip(running, renewed, strict=True):
            if claim.is_settling or claim not in self._claims:
                continue
            if is_ours:
                claim.hold_until(asked_at + self._lease_seconds)
            else:
                claim.lose()

    async def _look_forever(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_seconds):
                    await self._look_now.wait()
            self._look_now.clear()
            running = self._claims.running
            if running:
                try:
                    async with asyncio.timeout(_LONGEST_LOOK_SECONDS):
                        await self._look_at(running)
                except Exception as error:
                    # The lease ends by itself where this keeps failing.
                    log.debug("Could not look at running events: %s", described(error), exc_info=unless_ours(error))

    async def _look_at(self, running: Sequence[Claim]) -> None:
        signals = await self._database.read_signals(
            tenant_ids=[claim.row.tenant_id for claim in running],
            ids=[claim.row.id for claim in running],
            tokens=[claim.row.claim_token for claim in running],
        )
        for claim, signal in zip(running, signals, strict=True):
            if signal is None or claim.is_settling or claim not in self._claims:
                continue
            if signal == "lost":
                claim.lose()
            elif signal not in claim.told and isinstance(claim.row, ClaimedEventRow):
                with bind(event_id=claim.row.event_key, tenant_id=claim.row.tenant_id):
                    if self._tell(claim.row, signal):
                        claim.told.add(signal)
