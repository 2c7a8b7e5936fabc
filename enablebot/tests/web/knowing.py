"""What stands behind the knowledge page: files as browsers send them, and the reading that another process does."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import httpx2

from enablebot.api.knowledge.ingest import Ingest
from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.keyring import Keyring
from enablebot.shared.installations import Installations
from enablebot.shared.knowledge.library import Library
from enablebot.shared.knowledge.originals import InDatabase
from enablebot.shared.metrics import Metrics
from enablebot.tests.web.visiting import KEYS, Visitor, form_token

KNOWLEDGE = "/dashboard/knowledge"
OWN = {"Sec-Fetch-Site": "same-origin", "Origin": "https://bot.example.com"}
JSON = {"Accept": "application/json"}
BOUNDARY = "----played"
HANDBOOK = b"# Leaving\n\nThe notice period is eight weeks.\n\n# Travel\n\nTrains are first class above four hours.\n"

File = tuple[str, bytes]
Fields = Mapping[str, str | list[str]]


def library_over(database: Database) -> Library:
    """The library as the web service has it, over another login."""
    installations = Installations(database, Keyring.parse(KEYS))
    return Library(database, installations, InDatabase(), most_documents=1000, most_bytes=10**9)


async def read_waiting(database: Database) -> int:
    """Read what waits, as the worker does, with a real reader; returns how many documents that were."""
    ingest = Ingest(database, library_over(database), None, metrics=Metrics())
    claimed = await database.claim_documents(worker="test", limit=50, tenant_cap=50, lease_seconds=60)
    for each in claimed:
        outcome = await ingest.handle(each)
        assert outcome.name in {"done", "failed"}, outcome
        await database.settle_events(
            tenant_ids=[each.tenant_id],
            ids=[each.id],
            tokens=[each.claim_token],
            outcomes=[outcome.name],
            reasons=[outcome.reason],
            delays=[0],
        )
    return len(claimed)


def field(name: str, value: str) -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def file_part(name: str, content: bytes) -> bytes:
    escaped = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{escaped}"\r\n'
    return head.encode(errors="surrogateescape") + b"Content-Type: application/pdf\r\n\r\n" + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


@dataclass(slots=True)
class Pulled:
    """A body that knows how much of it was asked for."""

    parts: Sequence[bytes]
    taken: int = 0
    falls_silent: bool = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            self.taken += 1
            yield part
        if self.falls_silent:
            await asyncio.sleep(60)


async def token_of(visitor: Visitor) -> str:
    return form_token((await visitor.get(KNOWLEDGE)).text)


async def post(
    visitor: Visitor, body: bytes | Pulled, *, headers: dict[str, str] | None = None, address: str = KNOWLEDGE
) -> httpx2.Response:
    """Send a form with files as it is."""
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return await visitor.http.post(address, content=body, headers=OWN | kind | (headers or {}))


async def add(
    visitor: Visitor, *files: File, replaces: UUID | str | None = None, headers: dict[str, str] | None = None
) -> httpx2.Response:
    """Choose files and press the button."""
    body = field("csrf_token", await token_of(visitor))
    if replaces is not None:
        body += field("replaces", str(replaces))
    return await post(visitor, body + b"".join(file_part(*file) for file in files) + END, headers=headers)


async def press(
    visitor: Visitor, address: str, *, headers: dict[str, str] | None = None, fields: Fields | None = None
) -> httpx2.Response:
    """Press one of the page's buttons."""
    data = {"csrf_token": await token_of(visitor)} | dict(fields or {})
    return await visitor.http.post(address, data=data, headers=OWN | (headers or {}))
