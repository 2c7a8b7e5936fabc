"""The audit chain: one row an action, append-only for everyone, and every forgery found."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest

from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DataRefused
from enablebot.tests.database import postgres_versions
from enablebot.tests.shared.workspaces import Workspace, add_installed, add_lived_in_pair, add_workspace, end, install

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def _append(database: Database, workspace: Workspace, action: str = "test", detail: bytes | None = None) -> int:
    row = await database.append_audit(
        tenant_id=workspace.tenant_id, actor="U1", action=action, object="thing", outcome="ok", detail=detail
    )
    return row.seq


async def _actions(admin: Admin, workspace: Workspace) -> list[tuple[str, str, str]]:
    rows = await admin.fetch(
        "select actor, action, outcome from enablebot.audit where tenant_id = $1 order by seq", workspace.tenant_id
    )
    return [(row["actor"], row["action"], row["outcome"]) for row in rows]


async def _verdict(database: Database, workspace: Workspace) -> tuple[bool, int, int | None]:
    verdict = await database.verify_audit(tenant_id=workspace.tenant_id)
    return verdict.ok, verdict.rows, verdict.broken_at


async def _forge(admin: Admin, *statements: str) -> None:
    """Change the trail as only somebody can who owns the whole server."""
    async with admin.transaction():
        await admin.execute("alter table enablebot.audit disable trigger all")
        for statement in statements:
            await admin.execute(statement)


async def test_installing_reinstalling_signing_in_and_uninstalling_leave_one_row_each(
    database: Database, admin: Admin
) -> None:
    acme = await add_workspace(database)
    await install(database, acme)
    await install(database, acme, actor="U2")
    await database.start_session(
        tenant_id=acme.tenant_id, session_hash=b"s", user_id="U2", role="admin", idle_seconds=60, absolute_seconds=60
    )
    assert await end(database, acme)
    assert not await end(database, acme)
    assert await _actions(admin, acme) == [
        ("U1", "installation.save", "installed"),
        ("U2", "installation.save", "reinstalled"),
        ("U2", "session.start", "ok"),
        ("slack", "installation.end", "app_uninstalled"),
    ]


@pytest.mark.parametrize("action", ["install", "end", "start_session"])
async def test_no_row_no_action(database: Database, admin: Admin, action: str) -> None:
    acme = await add_installed(database)
    before = [dict(row) for row in await admin.fetch("select * from enablebot.installations")]
    await admin.execute("alter table enablebot.audit add constraint refuse check (seq < 2) not valid")
    attempts: dict[str, Callable[[], Awaitable[object]]] = {
        "install": lambda: install(database, acme),
        "end": lambda: end(database, acme),
        "start_session": lambda: database.start_session(
            tenant_id=acme.tenant_id,
            session_hash=b"s",
            user_id="U1",
            role="admin",
            idle_seconds=60,
            absolute_seconds=60,
        ),
    }
    with pytest.raises(DataRefused):
        await attempts[action]()
    assert [dict(row) for row in await admin.fetch("select * from enablebot.installations")] == before
    assert await admin.fetchval("select count(*) from enablebot.sessions") == 0


@postgres_versions
async def test_each_row_s_hash_covers_the_row_and_the_hash_before_it(database: Database, admin: Admin) -> None:
    acme = await add_workspace(database)
    for number, detail in enumerate([None, b"", b"\x00sealed\xff" * 40]):
        await _append(database, acme, f"action {number} – “ü”", detail)
    previous = bytes(32)
    epoch = "select (extract(epoch from $1::timestamptz - '2000-01-01 00:00:00Z'::timestamptz) * 1000000)::bigint"
    for row in await admin.fetch("select * from enablebot.audit order by seq"):
        micros = await admin.fetchval(epoch, row["at"])
        covered = previous + acme.tenant_id.bytes + row["seq"].to_bytes(8) + micros.to_bytes(8)
        for name in ("actor", "action", "object", "outcome"):
            text = row[name].encode()
            covered += len(text).to_bytes(4) + text
        detail = row["detail"]
        covered += (-1 if detail is None else len(detail)).to_bytes(4, signed=True) + (detail or b"")
        assert row["previous_hash"] == previous
        previous = sha256(covered).digest()
        assert row["hash"] == previous
    assert await _verdict(database, acme) == (True, 3, None)


async def test_appending_returns_the_place_and_hash_that_are_stored(database: Database, admin: Admin) -> None:
    acme = await add_workspace(database)
    row = await database.append_audit(
        tenant_id=acme.tenant_id, actor="U1", action="a", object="o", outcome="ok", detail=b"sealed"
    )
    stored = await admin.fetchrow("select seq, hash from enablebot.audit_heads where tenant_id = $1", acme.tenant_id)
    assert stored is not None
    assert (row.seq, row.hash) == (stored["seq"], stored["hash"])


async def test_an_empty_trail_and_that_of_nobody_verify(database: Database) -> None:
    acme = await add_workspace(database)
    assert await _verdict(database, acme) == (True, 0, None)
    nobody = Workspace(tenant_id=UUID(int=1), data_key_id=UUID(int=2), team_id="T")
    assert await _verdict(database, nobody) == (True, 0, None)


async def test_each_workspace_has_a_chain_of_its_own(database: Database, admin: Admin) -> None:
    acme, other = await add_workspace(database), await add_workspace(database)
    assert [await _append(database, acme), await _append(database, other), await _append(database, acme)] == [1, 1, 2]
    await _forge(admin, f"update enablebot.audit set action = 'forged' where tenant_id = '{other.tenant_id}'")
    assert await _verdict(database, acme) == (True, 2, None)
    assert await _verdict(database, other) == (False, 1, 1)


async def test_writers_at_once_never_fork_the_chain(database: Database, admin: Admin) -> None:
    acme, other = await add_workspace(database), await add_workspace(database)
    places = await asyncio.gather(*(_append(database, workspace) for _ in range(100) for workspace in (acme, other)))
    assert sorted(places) == sorted([*range(1, 101)] * 2)
    assert await _verdict(database, acme) == (True, 100, None)
    assert await _verdict(database, other) == (True, 100, None)


async def test_verifying_while_others_write_raises_no_alarm(database: Database) -> None:
    acme = await add_workspace(database)

    async def write() -> None:
        for _ in range(50):
            await _append(database, acme)

    async def verify() -> list[bool]:
        return [(await database.verify_audit(tenant_id=acme.tenant_id)).ok for _ in range(50)]

    verdicts, *_ = await asyncio.gather(verify(), write(), write())
    assert all(verdicts)


@pytest.mark.parametrize("who", ["superuser", "owner", "owner with a tenant declared", "replica"])
@pytest.mark.parametrize(
    "statement",
    [
        "update enablebot.audit set action = 'forged'",
        "delete from enablebot.audit",
        "truncate enablebot.audit",
        "truncate enablebot.tenants cascade",
    ],
)
async def test_nobody_changes_or_deletes_a_row(database: Database, admin: Admin, who: str, statement: str) -> None:
    acme = await add_workspace(database)
    await _append(database, acme)
    transaction = admin.transaction()
    await transaction.start()
    if who == "replica":
        await admin.execute("set local session_replication_role = replica")
    elif who != "superuser":
        await admin.execute("set local role enablebot_owner")
    if who == "owner with a tenant declared":
        await admin.fetchval("select enablebot.work_for(array[$1::uuid])", acme.tenant_id)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await admin.execute(statement)
    await transaction.rollback()


async def test_every_edit_deletion_swap_insertion_and_cut_is_found(database: Database, admin: Admin) -> None:
    acme = await add_workspace(database)
    for number in range(20):
        await _append(database, acme, f"action {number}", bytes([number]) * 8)
    chance = random.Random(7)
    columns = {
        "action": "'forged'",
        "actor": "'forged'",
        "object": "''",
        "outcome": "'forged'",
        "at": "at + interval '1 microsecond'",
        "detail": "null",
        "hash": "sha256('forged')",
        "previous_hash": "sha256('forged')",
    }
    where = "where seq ="
    forgeries: list[tuple[str, ...]] = [
        *(
            (f"update enablebot.audit set {column} = {value} {where} {chance.randint(1, 20)}",)
            for column, value in columns.items()
        ),
        *((f"delete from enablebot.audit {where} {seq}",) for seq in (1, chance.randint(2, 19), 20)),
        ("delete from enablebot.audit",),
        (
            "update enablebot.audit set seq = -seq where seq in (4, 9)",
            "update enablebot.audit set seq = 13 + seq where seq < 0",
        ),
        (
            "update enablebot.audit set seq = 100 where seq = 4",
            "update enablebot.audit set seq = 4 where seq = 5",
            "update enablebot.audit set seq = 5 where seq = 100",
        ),
        (
            "insert into enablebot.audit select tenant_id, 21, at, actor, action, object, outcome, detail, hash, hash "
            "from enablebot.audit where seq = 20",
        ),
        ("update enablebot.audit_heads set seq = 19",),
        ("update enablebot.audit_heads set hash = sha256('forged')",),
        ("delete from enablebot.audit_heads",),
        # What remains is a whole chain, only shorter.
        ("delete from enablebot.audit where seq > 15",),
    ]
    for statements in forgeries:
        transaction = admin.transaction()
        await transaction.start()
        await admin.execute("alter table enablebot.audit disable trigger all")
        for statement in statements:
            await admin.execute(statement)
        verdict = await admin.fetchval("select enablebot.verify_audit($1) ->> 'ok'", acme.tenant_id)
        await transaction.rollback()
        assert verdict == "false", statements
    assert await _verdict(database, acme) == (True, 20, None)


async def test_the_verdict_names_the_first_broken_place(database: Database, admin: Admin) -> None:
    acme = await add_workspace(database)
    for _ in range(6):
        await _append(database, acme)
    await _forge(admin, "update enablebot.audit set outcome = 'forged' where seq in (3, 5)")
    assert await _verdict(database, acme) == (False, 6, 3)
    await _forge(admin, "delete from enablebot.audit where seq >= 3")
    assert await _verdict(database, acme) == (False, 2, 3)


async def test_another_workspace_s_trail_is_neither_written_nor_told(database: Database, admin: Admin) -> None:
    acme, other = await add_lived_in_pair(database)
    before = await _actions(admin, other)
    await _append(database, acme)
    assert await _actions(admin, other) == before
    assert (await database.verify_audit(tenant_id=acme.tenant_id)).rows == len(await _actions(admin, acme))
