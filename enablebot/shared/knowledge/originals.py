"""Where the sealed pieces of documents lie: in the database, or in Supabase Storage where that is configured."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID


class Originals(Protocol):
    """A place for sealed pieces outside the database, or the word that there is none."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether new pieces belong here; otherwise they are the database's."""

    async def put(self, tenant_id: UUID, document_id: UUID, original: int, piece: int, sealed: bytes) -> None:
        """Store a piece; the same piece again replaces it. Raises OriginalUnreachable."""

    async def get(self, tenant_id: UUID, document_id: UUID, original: int, piece: int) -> bytes:
        """Return a piece. Raises OriginalUnreachable, also when it is not there."""

    async def remove(self, tenant_id: UUID, document_id: UUID, originals: Sequence[int] | None) -> None:
        """Remove all pieces of these originals, or of all of a document's; what is gone already is well."""

    async def aclose(self) -> None:
        """Close the connections."""
