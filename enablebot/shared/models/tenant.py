"""A tenant: one workspace's world in the database, or an organisation whose credential its workspaces share."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

TenantKind = Literal["workspace", "organisation"]
TenantStatus = Literal["active", "paused", "uninstalled"]


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who a workspace is to us; `team_id` is None for an organisation."""

    id: UUID
    team_id: str | None
    enterprise_id: str | None
    name: str
    kind: TenantKind
    status: TenantStatus

    @property
    def is_active(self) -> bool:
        """Whether its messages are answered."""
        return self.status == "active"
