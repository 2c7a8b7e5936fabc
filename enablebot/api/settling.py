"""How a handled event ends in the inbox: whatever ends together is settled together."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from enablebot.api.failures import storable
from enablebot.api.gathering import Gathering
from enablebot.shared.database.models import ClaimRow, EventOutcome, Settlement
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DatabaseError, DataRefused
from enablebot.shared.metrics import Metrics

log = logging.getLogger(__name__)

# Between two tries to settle while the database is away, and how long a try may take.
PAUSE_SECONDS = 0.5
_LONGEST_TRY_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Settling:
    """An event's end; for `retry` and `release` it comes back after the delay."""

    row: ClaimRow
    outcome: EventOutcome
    reason: str | None = None
    delay_seconds: float = 0.0


class Settlements:
    """Settles claims, for as long as it takes."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._gathering: Gathering[Settling, Settlement] = Gathering(self._store, deadline_seconds=_LONGEST_TRY_SECONDS)

    async def settle(self, settling: Settling) -> Settlement:
        """Try until the database has decided whether the claim still counted."""
        settling = replace(settling, reason=storable(settling.reason))
        while True:
            try:
                settlement = await self._gathering.add(settling)
                break
            except DataRefused:
                if settling.reason is None:
                    raise
                log.exception("The reason of an outcome cannot be stored")
                settling = replace(settling, reason=None)
            except DatabaseError as error:
                log.warning("Could not settle, trying again: %s", error.message)
                await asyncio.sleep(PAUSE_SECONDS)
        self._metrics.events_settled.labels(settling.outcome if settlement == "settled" else "stale").inc()
        if settlement == "stale":
            log.info("Somebody else has settled this event")
        elif settling.outcome == "set_aside":
            self.note_set_aside(settling.reason)
        return settlement

    def note_set_aside(self, reason: str | None) -> None:
        """Count and log an event that is kept for a person to look at."""
        self._metrics.events_set_aside.inc()
        log.error(
            "An event was set aside: %s. `python -m enablebot events failed` lists it, `events replay` tries it again",
            (reason or "no reason is known").rstrip("."),
        )

    async def aclose(self) -> None:
        """Wait until everything given is stored."""
        await self._gathering.aclose()

    async def _store(self, settling: Sequence[Settling]) -> list[Settlement]:
        return await self._database.settle_events(
            tenant_ids=[one.row.tenant_id for one in settling],
            ids=[one.row.id for one in settling],
            tokens=[one.row.claim_token for one in settling],
            outcomes=[one.outcome for one in settling],
            reasons=[one.reason for one in settling],
            delays=[one.delay_seconds for one in settling],
        )
