"""Keys of the REST API, and requests that their sender may repeat."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from enablebot.shared.database.models import (
    ApiCallerRow,
    ApiKeyCreationRow,
    ApiKeyRevocationRow,
    ApiKeyRow,
    ApiRequestRow,
    EndedRow,
    PrunedRequestsRow,
)
from enablebot.shared.database.operations.call import Calls


class ApiKeyCalls(Calls):
    async def create_api_key(
        self,
        *,
        tenant_id: UUID,
        id: UUID,  # noqa: A002 - the column's name
        key_hash: bytes,
        name: str,
        scopes: Sequence[str],
        expires_at: datetime | None,
        actor: str,
    ) -> ApiKeyCreationRow:
        """Store a new key's hash; audited."""
        return ApiKeyCreationRow.model_validate(
            await self._call(
                "create_api_key",
                tenant_id=tenant_id,
                id=id,
                key_hash=key_hash,
                name=name,
                scopes=list(scopes),
                expires_at=expires_at,
                actor=actor,
            )
        )

    async def list_api_keys(self, *, tenant_id: UUID) -> list[ApiKeyRow]:
        """Return a workspace's keys, newest first, revoked and expired ones included."""
        return [ApiKeyRow.model_validate(row) for row in await self._call("list_api_keys", tenant_id=tenant_id)]

    async def revoke_api_key(
        self,
        *,
        tenant_id: UUID,
        id: UUID,  # noqa: A002
        actor: str,
    ) -> ApiKeyRevocationRow:
        """End a key for good; audited."""
        return ApiKeyRevocationRow.model_validate(
            await self._call("revoke_api_key", tenant_id=tenant_id, id=id, actor=actor)
        )

    async def find_api_key(self, *, key_hash: bytes) -> ApiCallerRow | None:
        """Return whose key this is and note its use; None where nobody's."""
        found = await self._call("find_api_key", key_hash=key_hash)
        return None if found is None else ApiCallerRow.model_validate(found)

    async def begin_api_request(
        self, *, tenant_id: UUID, api_key_id: UUID, name_hash: bytes, token: UUID, lease_seconds: int
    ) -> ApiRequestRow:
        """Take a request that may be repeated, or learn that another has it or what was answered.

        With the token of whoever has it, it lengthens the lease.
        """
        return ApiRequestRow.model_validate(
            await self._call(
                "begin_api_request",
                tenant_id=tenant_id,
                api_key_id=api_key_id,
                name_hash=name_hash,
                token=token,
                lease_seconds=lease_seconds,
            )
        )

    async def finish_api_request(
        self,
        *,
        tenant_id: UUID,
        api_key_id: UUID,
        name_hash: bytes,
        token: UUID,
        fingerprint: bytes,
        status: int,
        response: bytes,
        data_key_id: UUID,
    ) -> EndedRow:
        """Keep what was answered, sealed; `ended` is false where the lease went to somebody else."""
        return EndedRow.model_validate(
            await self._call(
                "finish_api_request",
                tenant_id=tenant_id,
                api_key_id=api_key_id,
                name_hash=name_hash,
                token=token,
                fingerprint=fingerprint,
                status=status,
                response=response,
                data_key_id=data_key_id,
            )
        )

    async def give_up_api_request(
        self, *, tenant_id: UUID, api_key_id: UUID, name_hash: bytes, token: UUID
    ) -> EndedRow:
        """Forget a request that failed, so that it may be sent again."""
        return EndedRow.model_validate(
            await self._call(
                "give_up_api_request", tenant_id=tenant_id, api_key_id=api_key_id, name_hash=name_hash, token=token
            )
        )

    async def prune_api_requests(self, *, hours: int, limit: int) -> PrunedRequestsRow:
        """Forget requests older than `hours`, at most `limit` of them."""
        return PrunedRequestsRow.model_validate(await self._call("prune_api_requests", hours=hours, limit=limit))
