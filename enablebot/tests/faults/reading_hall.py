"""Two api processes that read documents on one database: killed for real, at a step at which the database holds them.

A step is a trigger of this test's own database that waits for an advisory lock.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.encryption.keyring import Keyring, generate_master_key
from enablebot.shared.installations import Installations
from enablebot.shared.knowledge.library import Library
from enablebot.shared.knowledge.originals import InDatabase
from enablebot.shared.knowledge.search import Search
from enablebot.shared.models.document import Document
from enablebot.tests.api.ingest_room import Admin, IngestRoom
from enablebot.tests.api.slack_side import TEAM, install
from enablebot.tests.database import VERSIONS, PostgresServers
from enablebot.tests.faults.instance import PATIENCE_SECONDS, Instance

DOCUMENTS_AT_ONCE = 4
LEASE_SECONDS = 60
SCALE = 0.02
# Passages are of some 350 tokens; so many paragraphs make several batches of a hundred.
_PARAGRAPHS = 560

# Where the database can be told to hold whoever reads: name -> trigger.
GATES = {
    "begun": "before update on enablebot.document_versions for each row "
    "when (old.status = 'queued' and new.status = 'processing')",
    "first batch": "before insert on enablebot.passages for each row when (new.position = 0)",
    "second batch, half stored": "before insert on enablebot.passages for each row when (new.position = 150)",
    "last batch": "before insert on enablebot.passages for each row when (new.position = 200)",
    "counted": "before update on enablebot.corpora for each row when (new.n > old.n)",
    "publishing": "before update on enablebot.documents for each row "
    "when (new.live_version is distinct from old.live_version)",
    "published": "before update on enablebot.inbox for each row when (new.kind = 'document' and new.state = 'done')",
}
_FIRST_KEY = 826200
_HOLD = """
create function public.hold_back() returns trigger language plpgsql as $$
begin
  perform pg_catalog.pg_advisory_xact_lock_shared(tg_argv[0]::bigint);
  return new;
end
$$
"""


@dataclass
class Hall:
    """What a test holds on to."""

    room: IngestRoom
    admin: Admin
    instances: list[Instance]
    search: Search
    # What was seen of a document that was not all there.
    halves: list[str] = field(default_factory=list)
    _added: int = 0

    async def tell(self) -> None:
        """Print what waits for what and what the processes have said last: shown when the test fails."""
        for row in await self.admin.fetch(
            "select wait_event_type, wait_event, left(query, 60) as query from pg_stat_activity "
            "where datname = current_database() and state = 'active' and pid <> pg_backend_pid()"
        ):
            print(dict(row))
        for row in await self.admin.fetch("select event_key, state, attempts, claimed_by, reason from enablebot.inbox"):
            print(dict(row))
        for number, instance in enumerate(self.instances):
            print(f"--- instance {number} (process {instance.pid})", *instance.lines[-40:], sep="\n")

    def text(self, mark: str) -> str:
        """A document whose first and last passage carry its mark, each with a word of its own."""
        paragraphs = [f"Paragraph {number} of {mark}. " + "word " * 130 for number in range(_PARAGRAPHS)]
        return "\n\n".join([f"{mark}first stands here.", *paragraphs, f"{mark}last stands here."])

    async def add(self, *, names: Sequence[str] | None = None) -> dict[str, Document]:
        """Add documents by names of their own, or new versions of those names; by their marks."""
        added = {}
        for number in range(DOCUMENTS_AT_ONCE):
            self._added += 1
            mark = f"mark{self._added}x"
            added[mark] = await self.room.add(self.text(mark), name=names[number] if names else f"{mark}.txt")
        return added

    async def is_found(self, word: str) -> bool:
        found = await self.search.find(self.room.tenant_id, word)
        return any(word in passage.text for passage in found.passages)

    async def watch(self, marks: Sequence[str]) -> None:
        """Look again and again whether any document can be found by halves."""
        while True:
            for mark in marks:
                # Published between the two looks, it is whole.
                if await self.is_found(f"{mark}first") and not await self.is_found(f"{mark}last"):
                    self.halves.append(mark)
            await asyncio.sleep(0.02)

    async def claimed_by(self, instance: Instance, documents: Sequence[Document]) -> int:
        """How many of these documents this process holds."""
        return int(
            await self.admin.fetchval(
                "select count(*) from enablebot.inbox where state = 'claimed' and lane = any ($1) "
                "and split_part(claimed_by, ':', 2) = $2",
                [_lane(document) for document in documents],
                str(instance.pid),
            )
        )

    @asynccontextmanager
    async def held(self, gate: str) -> AsyncIterator[None]:
        """Hold every statement that comes to this gate until left."""
        await self.admin.execute("select pg_advisory_lock($1)", _key(gate))
        try:
            yield
        finally:
            await self.admin.execute("select pg_advisory_unlock($1)", _key(gate))

    async def waiting(self) -> int:
        """How many calls wait for a lock."""
        return int(
            await self.admin.fetchval(
                "select count(*) from pg_stat_activity where datname = current_database() and state = 'active' "
                "and wait_event_type = 'Lock' and wait_event = 'advisory'"
            )
        )

    async def cut_off_waiting(self) -> None:
        """End the statements that wait: their process died before they could do anything."""
        await self.admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
            "and state = 'active' and wait_event_type = 'Lock' and pid <> pg_backend_pid()"
        )

    async def end_leases(self) -> None:
        """Let the claims on all documents run out now, by the database's clock."""
        await self.admin.execute(
            "update enablebot.inbox set lease_until = clock_timestamp() - interval '1 millisecond' "
            "where state = 'claimed' and kind = 'document'"
        )

    async def hurry(self) -> None:
        """Let the time be over that documents have to wait: what was lost again and again comes back later."""
        await self.admin.execute(
            "update enablebot.inbox set available_at = clock_timestamp() "
            "where state = 'ready' and available_at > clock_timestamp() and kind = 'document'"
        )

    async def until_read(self, documents: Sequence[Document]) -> None:
        """Wait until nothing more is done for these documents."""

        async def is_over() -> bool:
            await self.hurry()
            left = await self.admin.fetchval(
                "select count(*) from enablebot.inbox where lane = any ($1) and state not in ('done', 'set_aside')",
                [_lane(document) for document in documents],
            )
            return not left

        await self.until(is_over)

    async def until(self, true: Callable[[], Awaitable[bool]], *, seconds: float = PATIENCE_SECONDS) -> None:
        """Look again and again; TimeoutError when it never becomes true."""
        async with asyncio.timeout(seconds):
            while not await true():
                await asyncio.sleep(0.02)


def readers_of(instance: Instance) -> list[int]:
    """The processes in which an instance has its documents read."""
    return [int(pid) for pid in Path(f"/proc/{instance.pid}/task/{instance.pid}/children").read_text().split()]


def is_there(pid: int) -> bool:
    """Whether a process still runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except OSError:
        return False


def _lane(document: Document) -> str:
    return f"document:{document.id}"


def _key(gate: str) -> int:
    return _FIRST_KEY + list(GATES).index(gate)


@asynccontextmanager
async def opened_hall(servers: PostgresServers, data_dir: Path) -> AsyncIterator[Hall]:
    """A hall with one workspace; its processes run, but are perhaps not ready yet."""
    key = generate_master_key(datetime.now(UTC).date())
    server = servers.server(VERSIONS[0])
    async with AsyncExitStack() as opened:
        name = opened.enter_context(server.migrated())
        services_url = server.url(name, login="enablebot_test_services")
        admin: Admin = await asyncpg.connect(server.url(name))
        opened.push_async_callback(admin.close)
        await admin.execute(_HOLD)
        for gate, when in GATES.items():
            await admin.execute(
                f"create trigger \"hold {gate}\" {when} execute function public.hold_back('{_key(gate)}')"
            )
        transport = await PostgresTransport.connect(services_url)
        opened.push_async_callback(transport.aclose)
        database = Database(transport)
        installations = Installations(database, Keyring.parse(key))
        tenant_id = await install(installations, TEAM)
        settings = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH", "LANG") if name in os.environ},
            "ENVIRONMENT": "test",
            "DATABASE_URL": services_url,
            "DATABASE_POOL_SIZE": "10",
            "ENABLEBOT_DATA_DIR": str(data_dir),
            "ENCRYPTION_KEYS": key,
            "SESSION_SECRET": "s" * 40,
            "SLACK_SIGNING_SECRET": "a-signing-secret",
            "OPENAI_API_KEY": "sk-nobody-is-asked",
            "WORKER_LEASE_SECONDS": str(LEASE_SECONDS),
            "WORKER_DOCUMENTS": str(DOCUMENTS_AT_ONCE),
            "WORKER_TIME_SCALE": str(SCALE),
            "READER_WITHOUT_WALLS": "on",
            "LOG_FORMAT": "json",
            "PYTHONUNBUFFERED": "1",
        }
        processes = [Instance(settings, cwd=Path.cwd()) for _ in range(2)]
        for process in processes:
            await process.start()
            opened.push_async_callback(process.kill)
        library = Library(database, installations, InDatabase(), most_documents=100_000, most_bytes=10**12)
        room = IngestRoom(database, admin, installations, library, tenant_id)
        yield Hall(room, admin, processes, Search(database, None))
