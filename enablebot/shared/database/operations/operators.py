"""Audit, upkeep, and the questions that start-up asks of a database."""

from collections.abc import Sequence
from uuid import UUID

from enablebot.shared.database.models import (
    AuditRow,
    AuditVerdictRow,
    LoginStrengthRow,
    MasterKeyUseRow,
    PrunedRow,
    SchemaVersionRow,
    TenantRow,
)
from enablebot.shared.database.operations.call import Calls


class OperatorCalls(Calls):
    async def append_audit(
        self,
        *,
        tenant_id: UUID,
        actor: str,
        action: str,
        object: str,  # noqa: A002 - the word of the audit trail
        outcome: str,
        detail: bytes | None,
    ) -> AuditRow:
        """Add a row to a tenant's audit chain; `detail` is sealed."""
        return AuditRow.model_validate(
            await self._call(
                "append_audit",
                tenant_id=tenant_id,
                actor=actor,
                action=action,
                object=object,
                outcome=outcome,
                detail=detail,
            )
        )

    async def verify_audit(self, *, tenant_id: UUID) -> AuditVerdictRow:
        """Recompute a tenant's audit chain from its first row and compare it with what is stored."""
        return AuditVerdictRow.model_validate(await self._call("verify_audit", tenant_id=tenant_id))

    async def prune(self, *, dedupe_days: int, done_days: int, limit: int) -> PrunedRow:
        """Delete old dedupe keys and finished events, and expired states and sessions: at most `limit` of each."""
        return PrunedRow.model_validate(
            await self._call("prune", dedupe_days=dedupe_days, done_days=done_days, limit=limit)
        )

    async def get_master_key_use(self) -> list[MasterKeyUseRow]:
        """Return how many living data keys each master key seals, over all tenants."""
        return [MasterKeyUseRow.model_validate(row) for row in await self._call("get_master_key_use")]

    async def list_tenants(self, *, after: UUID | None, limit: int) -> list[TenantRow]:
        """Return the operators' overview in the order of tenants' ids, from the one behind `after` on."""
        return [TenantRow.model_validate(row) for row in await self._call("list_tenants", after=after, limit=limit)]

    async def schema_version(self, *, functions: Sequence[str] = ()) -> SchemaVersionRow:
        """Return what is installed; `missing` names those of `functions` that are not."""
        return SchemaVersionRow.model_validate(await self._call("schema_version", functions=list(functions)))

    async def login_strength(self) -> LoginStrengthRow:
        """Return what our login may do beyond its job, and the `faults` that start-up refuses."""
        return LoginStrengthRow.model_validate(await self._call("login_strength"))
