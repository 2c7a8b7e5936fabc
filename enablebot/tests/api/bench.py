"""An inbox with two workspaces, and handlers that do what a test says: what the tests of the worker stand on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import asyncpg

from enablebot.api.handling import Handlers
from enablebot.api.outage import SlackOutage
from enablebot.api.slack.intake import Intake
from enablebot.api.slack.relevance import relevance
from enablebot.api.worker import Worker
from enablebot.config.settings import WorkerSettings
from enablebot.shared.database.models import ClaimedDocumentRow, ClaimedEventRow, EventOutcome
from enablebot.shared.database.operations import Database
from enablebot.shared.installations import Installations
from enablebot.shared.metrics import Metrics
from enablebot.shared.models.event import RunningSignal
from enablebot.shared.models.question import Outcome
from enablebot.tests.api.slack_side import TEAM, direct, envelope, next_ts, written

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

Handle: TypeAlias = Callable[[ClaimedEventRow], Awaitable[Outcome]]
DONE = Outcome("done")
# Long enough that only a wake, and never the clock, can explain what happens.
NEVER = 3600.0


class Script:
    """Handlers that do what a test says, and remember what they were given."""

    def __init__(self, handle: Handle | None = None, give_up: Handle | None = None) -> None:
        self._handle = handle
        self._give_up = give_up
        self.handled: list[ClaimedEventRow] = []
        self.given_up: list[tuple[str, str]] = []
        self.signalled: list[tuple[str, str]] = []
        self.hears = True

    async def handle(self, claimed: ClaimedEventRow) -> Outcome:
        self.handled.append(claimed)
        return DONE if self._handle is None else await self._handle(claimed)

    async def give_up(self, claimed: ClaimedEventRow, reason: str) -> Outcome:
        self.given_up.append((claimed.event_key, reason))
        return Outcome("failed", reason) if self._give_up is None else await self._give_up(claimed)

    def signal(self, claimed: ClaimedEventRow, signal: RunningSignal) -> bool:
        self.signalled.append((claimed.event_key, signal))
        return self.hears

    @property
    def keys(self) -> list[str]:
        return [row.event_key for row in self.handled]


class Bench:
    """An inbox with two workspaces, a way to fill it and a way to run workers on it."""

    def __init__(self, database: Database, installations: Installations, admin: Admin) -> None:
        self.database = database
        self.admin = admin
        self.metrics = Metrics()
        self.worker: Worker | None = None
        # Handlers look, too, and the connection does one thing at a time.
        self._looking = asyncio.Lock()
        self._intake = Intake(database, installations, on_accepted=self._wake)

    def _wake(self) -> None:
        if self.worker is not None:
            self.worker.wake()

    async def accept(self, key: str, *, team: str = TEAM, **fields: Any) -> None:
        """Accept a direct message; in a lane of its own unless `thread_ts` names one."""
        await self.accept_event(key, direct(**fields), team=team)

    async def accept_stop(self, key: str) -> None:
        """Accept a press on the stop button."""
        await self.accept_event(key, {"type": "agent_session_stopped", "channel": "D0ADA", "thread_ts": next_ts()})

    async def accept_event(self, key: str, event: Any, *, team: str = TEAM) -> None:
        whole = envelope(event, team=team, event_id=key)
        relevant = relevance(whole)
        assert relevant is not None
        assert await self._intake.accept(relevant, written(whole)) == "accepted"

    async def claim_and_die(self) -> list[ClaimedEventRow]:
        """Claim everything, as a process does that is killed before it has done anything."""
        await self.admin.execute("update enablebot.inbox set available_at = now() where state = 'ready'")
        claimed = await self.database.claim_events(
            worker="dead", after_tenant=None, limit=100, tenant_cap=100, lease_seconds=60
        )
        await self.admin.execute("update enablebot.inbox set lease_until = now() where state = 'claimed'")
        await self.database.claim_events(worker="other", after_tenant=None, limit=0, tenant_cap=100, lease_seconds=60)
        await self.admin.execute("update enablebot.inbox set available_at = now() where state = 'ready'")
        return claimed

    async def settle(self, row: ClaimedEventRow, outcome: EventOutcome) -> None:
        """Settle an event as its answer does, together with itself."""
        await self.database.settle_events(
            tenant_ids=[row.tenant_id],
            ids=[row.id],
            tokens=[row.claim_token],
            outcomes=[outcome],
            reasons=["by the answer"],
            delays=[0],
        )

    async def uninstall(self, tenant_id: UUID) -> None:
        later = datetime.now(UTC) + timedelta(minutes=1)
        await self.database.end_installation(
            tenant_id=tenant_id, event_time=later, reason="app_uninstalled", actor="slack"
        )

    def counted(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(f"enablebot_{name}_total") or 0.0

    @asynccontextmanager
    async def working(
        self,
        script: Script,
        *,
        drain_seconds: float = 5,
        outage: SlackOutage | None = None,
        documents: Handlers[ClaimedDocumentRow] | None = None,
        document_slots: int = 2,
        **settings: Any,
    ) -> AsyncIterator[Worker]:
        """A worker that runs meanwhile and is drained at the end."""
        given = {"lease_seconds": 60, "concurrency": 8, "tenant_concurrency": 8, "time_scale": 0.01, **settings}
        given["documents"] = document_slots
        self.worker = Worker(
            self.database,
            script,
            WorkerSettings(**given),
            metrics=self.metrics,
            outage=outage,
            documents=documents,
            jitter=lambda: 0.5,
        )
        self.worker.start()
        try:
            yield self.worker
        finally:
            await self.worker.drain(drain_seconds)

    async def events(self) -> dict[str, asyncpg.Record]:
        async with self._looking:
            rows = await self.admin.fetch("select * from enablebot.inbox order by id")
        return {row["event_key"]: row for row in rows}

    async def wait_for(self, ready: Callable[[dict[str, asyncpg.Record]], bool]) -> dict[str, asyncpg.Record]:
        async with asyncio.timeout(20):
            while not ready(events := await self.events()):
                await asyncio.sleep(0.01)
            return events

    async def finished(self) -> dict[str, asyncpg.Record]:
        return await self.wait_for(lambda events: all(row["state"] in {"done", "set_aside"} for row in events.values()))


async def soon(awaited: Awaitable[Any]) -> None:
    """Wait, but not for ever: a broken worker must fail its test, not hang it."""
    async with asyncio.timeout(20):
        await awaited


async def failing(_: ClaimedEventRow) -> Outcome:
    raise RuntimeError("a fault of ours")
