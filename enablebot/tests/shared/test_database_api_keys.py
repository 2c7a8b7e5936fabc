"""API keys and repeatable requests as the SQL functions keep them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest

from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DatabaseError, DataRefused, DuplicateKey, WallBreached
from enablebot.shared.models.api_key import SCOPES
from enablebot.tests.shared.workspaces import Workspace, add_api_key, add_installed, end

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

pytestmark = pytest.mark.anyio

HASH, OTHER_HASH = b"\x01" * 32, b"\x02" * 32


@pytest.fixture
async def acme(database: Database) -> Workspace:
    return await add_installed(database)


@pytest.fixture
async def globex(database: Database) -> Workspace:
    return await add_installed(database)


async def actions(admin: Admin, workspace: Workspace) -> list[tuple[str, ...]]:
    rows = await admin.fetch(
        "select actor, action, object from enablebot.audit "
        "where tenant_id = $1 and action like 'api_key.%' order by seq",
        workspace.tenant_id,
    )
    return [tuple(row) for row in rows]


async def test_a_key_is_found_by_its_hash_with_whose_it_is_and_what_it_may(database: Database, acme: Workspace) -> None:
    id_ = await add_api_key(database, acme, key_hash=HASH, scopes=["search"], name="wiki")
    found = await database.find_api_key(key_hash=HASH)
    assert found is not None
    assert (found.tenant_id, found.id, found.name, found.scopes) == (acme.tenant_id, id_, "wiki", ("search",))
    assert (found.state, found.workspace) == ("living", "active")
    assert await database.find_api_key(key_hash=OTHER_HASH) is None
    assert await database.find_api_key(key_hash=b"") is None


async def test_use_is_noted_to_the_minute(database: Database, acme: Workspace, admin: Admin) -> None:
    await add_api_key(database, acme, key_hash=HASH)
    (unused,) = await database.list_api_keys(tenant_id=acme.tenant_id)
    assert unused.last_used_at is None
    await database.find_api_key(key_hash=HASH)
    (used,) = await database.list_api_keys(tenant_id=acme.tenant_id)
    assert used.last_used_at is not None
    await database.find_api_key(key_hash=HASH)
    assert await database.list_api_keys(tenant_id=acme.tenant_id) == [used]
    await admin.execute("update enablebot.api_keys set last_used_at = last_used_at - interval '61 seconds'")
    await database.find_api_key(key_hash=HASH)
    (again,) = await database.list_api_keys(tenant_id=acme.tenant_id)
    assert again.last_used_at is not None
    assert again.last_used_at > used.last_used_at


async def test_noting_a_use_waits_for_nobody(database: Database, acme: Workspace, admin: Admin) -> None:
    await add_api_key(database, acme, key_hash=HASH)
    async with admin.transaction():
        await admin.execute("select from enablebot.api_keys for update")
        async with asyncio.timeout(5):
            found = await database.find_api_key(key_hash=HASH)
    assert found is not None


async def test_a_revoked_key_and_an_expired_one_say_so_and_are_no_longer_used(
    database: Database, acme: Workspace, admin: Admin
) -> None:
    revoked = await add_api_key(database, acme, key_hash=HASH)
    await add_api_key(database, acme, key_hash=OTHER_HASH, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert (await database.revoke_api_key(tenant_id=acme.tenant_id, id=revoked, actor="U1")).revoked
    assert not (await database.revoke_api_key(tenant_id=acme.tenant_id, id=revoked, actor="U1")).revoked
    states = [await database.find_api_key(key_hash=key) for key in (HASH, OTHER_HASH)]
    assert [found and found.state for found in states] == ["revoked", "expired"]
    rows = await database.list_api_keys(tenant_id=acme.tenant_id)
    assert {(row.state, row.last_used_at) for row in rows} == {("revoked", None), ("expired", None)}
    assert await actions(admin, acme) == [
        ("U1", "api_key.create", str(revoked)),
        ("U1", "api_key.create", str(rows[0].id)),
        ("U1", "api_key.revoke", str(revoked)),
    ]


async def test_another_workspace_neither_sees_nor_ends_a_key(
    database: Database, acme: Workspace, globex: Workspace, admin: Admin
) -> None:
    id_ = await add_api_key(database, acme, key_hash=HASH)
    assert await database.list_api_keys(tenant_id=globex.tenant_id) == []
    assert not (await database.revoke_api_key(tenant_id=globex.tenant_id, id=id_, actor="U9")).revoked
    found = await database.find_api_key(key_hash=HASH)
    assert found is not None
    assert found.state == "living"
    assert await actions(admin, globex) == []


async def test_a_key_of_a_workspace_that_left_says_that_it_left(database: Database, acme: Workspace) -> None:
    await add_api_key(database, acme, key_hash=HASH)
    assert await end(database, acme)
    found = await database.find_api_key(key_hash=HASH)
    assert found is not None
    assert (found.state, found.workspace) == ("living", "uninstalled")


@pytest.mark.parametrize(
    "changes",
    [
        {"scopes": []},
        {"scopes": ["everything"]},
        {"name": ""},
        {"name": "n" * 101},
        {"name": "\x00"},
        {"key_hash": b"short"},
    ],
    ids=str,
)
async def test_what_is_no_key_is_not_stored(
    database: Database, acme: Workspace, admin: Admin, changes: dict[str, Any]
) -> None:
    with pytest.raises(DataRefused):
        await add_api_key(database, acme, **changes)
    assert await database.list_api_keys(tenant_id=acme.tenant_id) == []
    assert await actions(admin, acme) == []


async def test_a_workspace_s_key_is_stored_once(database: Database, acme: Workspace) -> None:
    await add_api_key(database, acme, key_hash=HASH)
    with pytest.raises(DuplicateKey):
        await add_api_key(database, acme, key_hash=HASH)


async def test_each_service_has_its_own_part(
    api_database: Database, web_database: Database, database: Database, acme: Workspace
) -> None:
    with pytest.raises(WallBreached):
        await add_api_key(api_database, acme)
    with pytest.raises(WallBreached):
        await web_database.find_api_key(key_hash=HASH)
    await add_api_key(web_database, acme, key_hash=HASH)
    assert await api_database.find_api_key(key_hash=HASH) is not None


# Requests that may be repeated


class Sender:
    """Somebody who sends one request, under one name, with one key."""

    def __init__(self, database: Database, workspace: Workspace, api_key_id: UUID) -> None:
        self._database = database
        self._workspace = workspace
        self.token = uuid4()
        self._named: dict[str, Any] = {
            "tenant_id": workspace.tenant_id,
            "api_key_id": api_key_id,
            "name_hash": HASH,
            "token": self.token,
        }

    async def begin(self, *, lease_seconds: int = 60) -> str:
        return (await self._database.begin_api_request(**self._named, lease_seconds=lease_seconds)).outcome

    async def finish(self, response: bytes = b"\x00sealed") -> bool:
        row = await self._database.finish_api_request(
            **self._named,
            fingerprint=OTHER_HASH,
            status=202,
            response=response,
            data_key_id=self._workspace.data_key_id,
        )
        return row.ended

    async def give_up(self) -> bool:
        return (await self._database.give_up_api_request(**self._named)).ended


async def test_of_many_who_send_the_same_one_works_and_all_get_its_answer(database: Database, acme: Workspace) -> None:
    key = await add_api_key(database, acme)
    senders = [Sender(database, acme, key) for _ in range(8)]
    outcomes = await asyncio.gather(*(sender.begin() for sender in senders))
    assert sorted(outcomes) == ["new"] + ["under_way"] * 7
    working = senders[outcomes.index("new")]
    assert await working.begin() == "new"
    others = [sender for sender in senders if sender is not working]
    assert not await others[0].finish()
    assert await working.finish()
    found = await database.begin_api_request(
        tenant_id=acme.tenant_id, api_key_id=key, name_hash=HASH, token=uuid4(), lease_seconds=60
    )
    assert (found.outcome, found.status, found.fingerprint, found.response, found.data_key_id) == (
        "answered",
        202,
        OTHER_HASH,
        b"\x00sealed",
        acme.data_key_id,
    )
    assert not await working.give_up()


async def test_what_was_given_up_may_be_sent_again(database: Database, acme: Workspace) -> None:
    key = await add_api_key(database, acme)
    first, second = Sender(database, acme, key), Sender(database, acme, key)
    assert await first.begin() == "new"
    assert not await second.give_up()
    assert await first.give_up()
    assert await second.begin() == "new"


async def test_a_dead_sender_s_request_goes_to_one_heir_and_its_own_answer_is_refused(
    database: Database, acme: Workspace, admin: Admin, admin_url: str
) -> None:
    key = await add_api_key(database, acme)
    dead, *heirs = (Sender(database, acme, key) for _ in range(5))
    assert await dead.begin(lease_seconds=0) == "new"
    # All of them come as far as the row, and are let go at once.
    watcher = await asyncpg.connect(admin_url)
    async with admin.transaction():
        await admin.execute("select from enablebot.api_requests for update")
        asking = [asyncio.create_task(heir.begin()) for heir in heirs]
        async with asyncio.timeout(20):
            while len(heirs) > await watcher.fetchval(
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
            ):
                await asyncio.sleep(0.01)
    await watcher.close()
    outcomes = await asyncio.gather(*asking)
    assert sorted(outcomes) == ["new"] + ["under_way"] * 3
    assert not await dead.finish()
    assert await heirs[outcomes.index("new")].finish()


async def test_names_are_each_key_s_own(database: Database, acme: Workspace, globex: Workspace) -> None:
    keys = [(acme, await add_api_key(database, acme)), (acme, await add_api_key(database, acme))]
    keys.append((globex, await add_api_key(database, globex)))
    outcomes = [await Sender(database, workspace, key).begin() for workspace, key in keys]
    assert outcomes == ["new"] * 3
    # Another workspace's key is as good as none.
    with pytest.raises(DatabaseError):
        await Sender(database, globex, keys[0][1]).begin()


async def test_old_requests_are_forgotten_and_no_others(database: Database, acme: Workspace, admin: Admin) -> None:
    for age in (25, 24.1, 23.9, 0):
        key = await add_api_key(database, acme)
        await Sender(database, acme, key).begin()
        await admin.execute(
            "update enablebot.api_requests set created_at = now() - make_interval(secs => $2) where api_key_id = $1",
            key,
            age * 3600,
        )
    assert (await database.prune_api_requests(hours=24, limit=1)).requests == 1
    assert (await database.prune_api_requests(hours=24, limit=10)).requests == 1
    assert (await database.prune_api_requests(hours=24, limit=10)).requests == 0
    assert await admin.fetchval("select count(*) from enablebot.api_requests") == 2


async def test_a_request_that_is_just_under_way_is_never_pruned(database: Database, acme: Workspace) -> None:
    sender = Sender(database, acme, await add_api_key(database, acme))
    await sender.begin()
    assert (await database.prune_api_requests(hours=0, limit=10)).requests == 0
    assert await sender.finish()


def test_every_scope_of_the_product_is_one_of_the_database(admin_url: str) -> None:
    async def allowed() -> str:
        connection = await asyncpg.connect(admin_url)
        try:
            return str(
                await connection.fetchval(
                    "select string_agg(pg_get_constraintdef(oid), '') from pg_constraint "
                    "where conrelid = 'enablebot.api_keys'::regclass and contype = 'c'"
                )
            )
        finally:
            await connection.close()

    definition = asyncio.run(allowed())
    assert all(f"'{scope}'" in definition for scope in SCOPES)
