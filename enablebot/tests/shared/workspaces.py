"""Workspaces to test the database with: registered, installed, and with a life in every table."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from enablebot.shared.database.models import (
    ClaimedEventRow,
    ClaimRow,
    EventKind,
    EventOutcome,
    OpenedAnswerRow,
    Settlement,
    Verdict,
)
from enablebot.shared.database.operations import Database

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Workspace:
    """A tenant, the team it stands for, and the key it was registered with."""

    tenant_id: UUID
    data_key_id: UUID
    team_id: str


@dataclass(frozen=True)
class Event:
    """An event to accept: by default a mention with keys of its own, in a lane of its own."""

    event_key: str = field(default_factory=lambda: f"Ev{next(_numbers)}")
    message_key: str | None = None
    lane: str | None = field(default_factory=lambda: f"C1:{next(_numbers)}.0001")
    kind: EventKind = "mention"
    joins: bool = True
    body: bytes = b"sealed"


async def add_workspace(
    database: Database,
    *,
    team_id: str | None = None,
    enterprise_id: str | None = None,
    credential_tenant_id: UUID | None = None,
    kind: Any = "workspace",
) -> Workspace:
    """Register a tenant; it has no installation yet."""
    key = uuid4()
    team = team_id or f"T{next(_numbers):08d}"
    route = await database.register_tenant(
        tenant_id=uuid4(),
        kind=kind,
        team_id=team if kind == "workspace" else None,
        enterprise_id=enterprise_id,
        name="Acme",
        credential_tenant_id=credential_tenant_id,
        data_key_id=key,
        master_key_id="k1",
        wrapped=b"wrapped",
    )
    return Workspace(tenant_id=route.tenant_id, data_key_id=route.data_key.id, team_id=team)


async def install(database: Database, workspace: Workspace, **changes: Any) -> UUID:
    """Install into a workspace and return the installation's id."""
    values: dict[str, Any] = {
        "tenant_id": workspace.tenant_id,
        "installation_id": uuid4(),
        "enterprise_id": None,
        "team_id": workspace.team_id,
        "is_org_wide": False,
        "app_id": "A1",
        "bot_user_id": "UBOT",
        "bot_id": "B1",
        "scopes": ["chat:write", "app_mentions:read"],
        "installed_by": "U1",
        "bot_token": b"\x00token" * 30,
        "refresh_token": None,
        "token_expires_at": None,
        "data_key_id": workspace.data_key_id,
        "actor": "U1",
        **changes,
    }
    return (await database.save_installation(**values)).installation_id


async def add_installed(database: Database, **changes: Any) -> Workspace:
    """Register a tenant and install into it."""
    workspace = await add_workspace(database, **changes)
    await install(database, workspace)
    return workspace


async def end(database: Database, workspace: Workspace, *, event_time: datetime | None = None) -> bool:
    """End a workspace's installation as an uninstall event would."""
    when = event_time or datetime.now(UTC) + timedelta(seconds=1)
    row = await database.end_installation(
        tenant_id=workspace.tenant_id, event_time=when, reason="app_uninstalled", actor="slack"
    )
    return row.ended


async def accept(database: Database, *events: tuple[Workspace, Event]) -> list[Verdict]:
    """Accept events of any workspaces in one batch."""
    return await database.accept_events(
        tenant_ids=[w.tenant_id for w, _ in events],
        event_keys=[e.event_key for _, e in events],
        message_keys=[e.message_key for _, e in events],
        lanes=[e.lane for _, e in events],
        kinds=[e.kind for _, e in events],
        joins=[e.joins for _, e in events],
        bodies=[e.body for _, e in events],
        data_key_ids=[w.data_key_id for w, _ in events],
    )


async def claim(
    database: Database,
    *,
    limit: int = 10,
    tenant_cap: int = 10,
    after: UUID | None = None,
    worker: str = "worker",
    lease_seconds: int = 60,
) -> list[ClaimedEventRow]:
    """Claim with room for everything a small test has waiting."""
    return await database.claim_events(
        worker=worker, after_tenant=after, limit=limit, tenant_cap=tenant_cap, lease_seconds=lease_seconds
    )


async def settle(
    database: Database,
    *events: ClaimRow,
    outcome: EventOutcome = "done",
    reason: str | None = None,
    delay: float = 0,
) -> list[Settlement]:
    """Settle claimed events, all with one outcome."""
    return await database.settle_events(
        tenant_ids=[e.tenant_id for e in events],
        ids=[e.id for e in events],
        tokens=[e.claim_token for e in events],
        outcomes=[outcome] * len(events),
        reasons=[reason] * len(events),
        delays=[delay] * len(events),
    )


async def claim_one(database: Database, workspace: Workspace, **changes: Any) -> ClaimedEventRow:
    """Accept one mention and claim it."""
    event = Event(**changes)
    assert await accept(database, (workspace, event)) == ["accepted"]
    (claimed,) = [row for row in await claim(database) if row.tenant_id == workspace.tenant_id]
    return claimed


async def open_answer(
    database: Database, workspace: Workspace, event: ClaimedEventRow, *, history: int = 20, **changes: Any
) -> OpenedAnswerRow:
    """Open the answer to a claimed mention."""
    assert event.lane is not None
    channel, thread_ts = event.lane.split(":")
    values: dict[str, Any] = {
        "tenant_id": workspace.tenant_id,
        "event_id": event.id,
        "claim_token": event.claim_token,
        "answer_id": uuid4(),
        "conversation_id": uuid4(),
        "lane": event.lane,
        "channel": channel,
        "thread_ts": thread_ts,
        "question_ts": thread_ts,
        "asker": "U2",
        "message_id": uuid4(),
        "message": b"question",
        "data_key_id": workspace.data_key_id,
        "history": history,
        **changes,
    }
    return await database.open_answer(**values)


def of_answer(workspace: Workspace, event: ClaimedEventRow, answer_id: UUID) -> dict[str, Any]:
    """Return the arguments that name an answer and the claim it is written under."""
    return {
        "tenant_id": workspace.tenant_id,
        "answer_id": answer_id,
        "event_id": event.id,
        "claim_token": event.claim_token,
    }


async def finish(
    database: Database, workspace: Workspace, event: ClaimedEventRow, answer_id: UUID, **changes: Any
) -> None:
    """Finish an answer, completely unless told otherwise."""
    values: dict[str, Any] = {
        "state": "complete",
        "reason": None,
        "text": b"answer",
        "message_id": uuid4(),
        "data_key_id": workspace.data_key_id,
        "model": "gpt-6-luna",
        "input_tokens": 10,
        "output_tokens": 20,
        "latency_ms": 30,
        **changes,
    }
    await database.finish_answer(**of_answer(workspace, event, answer_id), **values)


async def add_api_key(database: Database, workspace: Workspace, **changes: Any) -> UUID:
    """Make an API key for a workspace and return its id."""
    id_ = uuid4()
    values: dict[str, Any] = {
        "tenant_id": workspace.tenant_id,
        "id": id_,
        "key_hash": sha256(id_.bytes).digest(),
        "name": "a script",
        "scopes": ["search"],
        "expires_at": None,
        "actor": "U1",
        **changes,
    }
    await database.create_api_key(**values)
    return id_


async def add_lived_in(database: Database) -> Workspace:
    """Return a workspace that has at least one row in every table that belongs to tenants."""
    workspace = await add_installed(database)
    event = await claim_one(database, workspace)
    answer_id = (await open_answer(database, workspace, event)).answer.id
    named = of_answer(workspace, event, answer_id)
    await database.intend_reply(**named, part=0, mode="post")
    await database.record_reply(**named, part=0, state="closed", ts=f"{next(_numbers)}.000001")
    await finish(database, workspace, event, answer_id)
    await accept(database, (workspace, Event(message_key=f"C1:{next(_numbers)}.1")))
    await database.start_session(
        tenant_id=workspace.tenant_id,
        session_hash=uuid4().bytes,
        user_id="U1",
        role="admin",
        idle_seconds=1800,
        absolute_seconds=43200,
    )
    await database.begin_api_request(
        tenant_id=workspace.tenant_id,
        api_key_id=await add_api_key(database, workspace),
        name_hash=b"\x01" * 32,
        token=uuid4(),
        lease_seconds=60,
    )
    return workspace


async def add_lived_in_pair(database: Database) -> tuple[Workspace, Workspace]:
    """Return two workspaces that look alike and must never meet."""
    return await add_lived_in(database), await add_lived_in(database)


def lanes_of(events: Sequence[ClaimedEventRow]) -> list[str | None]:
    """Return the lanes of claimed events, in the order claimed."""
    return [event.lane for event in events]
