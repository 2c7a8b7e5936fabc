"""Where the sealed pieces of documents lie: in the database, or in Supabase Storage where that is configured."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, Self
from uuid import UUID

from enablebot.shared.errors import OriginalUnreachable

if TYPE_CHECKING:
    import httpx
    from storage3 import AsyncStorageClient

    from enablebot.config.settings import DatabaseSettings

BUCKET = "enablebot-originals"
_LISTED_AT_ONCE = 1000
_TIMEOUT_SECONDS = 20.0


class Originals(Protocol):
    """A place for sealed pieces outside the database, or the word that there is none.

    Methods raise OriginalUnreachable. `original` is the version whose bytes they are.
    """

    @property
    def is_elsewhere(self) -> bool:
        """Whether new pieces belong here; otherwise they are the database's."""

    async def put(self, tenant_id: UUID, document_id: UUID, original: int, piece: int, sealed: bytes) -> None:
        """Store a piece; the same piece again replaces it."""

    async def get(self, tenant_id: UUID, document_id: UUID, original: int, piece: int) -> bytes:
        """Return a piece."""

    async def remove(self, tenant_id: UUID, document_id: UUID, originals: Sequence[int]) -> None:
        """Remove all pieces of these originals; what is gone already is well."""

    async def aclose(self) -> None:
        """Close the connections."""


class InDatabase:
    """No place of its own: pieces lie in the database, and those of an earlier configuration cannot be reached."""

    is_elsewhere = False

    async def put(self, tenant_id: UUID, document_id: UUID, original: int, piece: int, sealed: bytes) -> None:
        """Refuse: there is nowhere to put it."""
        raise _not_configured()

    async def get(self, tenant_id: UUID, document_id: UUID, original: int, piece: int) -> bytes:
        """Refuse: it lies where we cannot look."""
        raise _not_configured()

    async def remove(self, tenant_id: UUID, document_id: UUID, originals: Sequence[int]) -> None:
        """Refuse: so long the database remembers what has to be removed."""
        raise _not_configured()

    async def aclose(self) -> None:
        """Nothing is open."""


class SupabaseStorage:
    """A private bucket; a document is a folder in its workspace's folder, a piece an object `original-piece`."""

    is_elsewhere = True

    def __init__(self, storage: "AsyncStorageClient", http: "httpx.AsyncClient") -> None:
        self._storage = storage
        self._http = http

    @classmethod
    async def connect(cls, url: str, service_key: str) -> Self:
        """Prepare a client for a project's URL and service key; nothing is sent yet."""
        # 250 ms and 50 MB that a process on DATABASE_URL alone should not pay.
        import httpx
        from supabase import AsyncClientOptions, acreate_client

        http = httpx.AsyncClient(http2=False, timeout=_TIMEOUT_SECONDS, limits=httpx.Limits(keepalive_expiry=30.0))
        options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False, persist_session=False)
        client = await acreate_client(url, service_key, options)
        return cls(client.storage, http)

    async def put(self, tenant_id: UUID, document_id: UUID, original: int, piece: int, sealed: bytes) -> None:
        """Store a piece; the bucket is made with the first."""
        path = f"{_folder(tenant_id, document_id)}/{original}-{piece}"
        async with _translated("stored"):
            if not await self._upload(path, sealed):
                await self._make_bucket()
                if not await self._upload(path, sealed):
                    raise OriginalUnreachable(
                        f"The bucket “{BUCKET}” was made in Supabase Storage and is not there yet. Try again."
                    )

    async def get(self, tenant_id: UUID, document_id: UUID, original: int, piece: int) -> bytes:
        """Return a piece."""
        async with _translated("read"):
            return await self._storage.from_(BUCKET).download(f"{_folder(tenant_id, document_id)}/{original}-{piece}")

    async def remove(self, tenant_id: UUID, document_id: UUID, originals: Sequence[int]) -> None:
        """Remove all pieces of these originals that are there."""
        folder = _folder(tenant_id, document_id)
        heads = tuple(f"{original}-" for original in originals)
        bucket = self._storage.from_(BUCKET)
        async with _translated("removed"):
            offset = 0
            while True:
                listed = await bucket.list(folder, {"limit": _LISTED_AT_ONCE, "offset": offset})
                names = [name for entry in listed if (name := str(entry["name"])).startswith(heads)]
                if names:
                    await bucket.remove([f"{folder}/{name}" for name in names])
                # Those behind move up by as many as went.
                offset += len(listed) - len(names)
                if len(listed) < _LISTED_AT_ONCE:
                    return

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _upload(self, path: str, sealed: bytes) -> bool:
        """Store an object; False when there is no bucket yet."""
        from storage3.exceptions import StorageApiError

        try:
            await self._storage.from_(BUCKET).upload(
                path, sealed, {"content-type": "application/octet-stream", "cache-control": "0", "upsert": "true"}
            )
        except StorageApiError as error:
            # Storage answers 400 with a statusCode of its own, as text.
            if str(error.status) == "404" and "bucket" in error.message.lower():
                return False
            raise
        return True

    async def _make_bucket(self) -> None:
        from storage3.exceptions import StorageApiError

        try:
            await self._storage.create_bucket(BUCKET, options={"public": False})
        except StorageApiError as error:
            # Somebody else met the missing bucket at the same moment.
            if str(error.status) != "409" and error.code != "Duplicate":
                raise


async def open_originals(settings: "DatabaseSettings") -> Originals:
    """Return Supabase Storage when its address and key are set, else the database's own place; nothing is sent yet."""
    if settings.supabase_url is None or settings.supabase_service_key is None:
        return InDatabase()
    return await SupabaseStorage.connect(settings.supabase_url, settings.supabase_service_key.get_secret_value())


def _folder(tenant_id: UUID, document_id: UUID) -> str:
    return f"{tenant_id}/{document_id}"


@asynccontextmanager
async def _translated(what: str) -> AsyncIterator[None]:
    """Tell of Storage's failures in our words, without its own, which may name the key."""
    import httpx
    from storage3.exceptions import StorageApiError

    remedy = "Nothing is lost; try again. If it stays so, check SUPABASE_URL and SUPABASE_SERVICE_KEY."
    try:
        yield
    except StorageApiError as error:
        raise OriginalUnreachable(
            f"A document's bytes could not be {what}: Supabase Storage answered with {error.status}. {remedy}"
        ) from error
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise OriginalUnreachable(
            f"A document's bytes could not be {what}: Supabase Storage did not answer as it should. {remedy}"
        ) from error


def _not_configured() -> OriginalUnreachable:
    return OriginalUnreachable(
        "The bytes of this document lie in Supabase Storage, which is not configured any more. "
        "Set SUPABASE_URL and SUPABASE_SERVICE_KEY as they were, or add the document again."
    )
