"""The library as tests knock at it."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from enablebot.shared.database.operations import Database
from enablebot.shared.installations import Installations
from enablebot.shared.knowledge.library import Library
from enablebot.shared.knowledge.originals import Originals
from enablebot.shared.models.document import Added, Document


def library_of(database: Database, installations: Installations, originals: Originals, **limits: int) -> Library:
    return Library(database, installations, originals, **{"most_documents": 100, "most_bytes": 200 * 2**20, **limits})


async def add(library: Library, tenant_id: UUID, content: Any = b"some words", **changes: Any) -> Added:
    values: dict[str, Any] = {"name": "a.txt", "source": "dashboard", "added_by": "U1", **changes}
    return await library.add(tenant_id, content=content, **values)


async def chunks(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def opened(library: Library, tenant_id: UUID, document: Document) -> bytes:
    return b"".join([piece async for piece in library.open_original(tenant_id, document)])
