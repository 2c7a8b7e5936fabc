"""Tenants, their routes and their installations."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from enablebot.shared.database.models import (
    EndedRow,
    InstallationRow,
    PausedRow,
    RouteRow,
    SavedInstallationRow,
    TenantKind,
    UnknownWorkspaceRow,
)
from enablebot.shared.database.operations.call import Calls


class InstallationCalls(Calls):
    async def find_route(
        self, *, enterprise_id: str | None, team_id: str | None, is_org_wide: bool
    ) -> RouteRow | UnknownWorkspaceRow | None:
        """Return the tenant of a workspace, or of an organisation when `team_id` is None; None when unknown.

        An org-wide event of a workspace that does not use the organisation's credential yet gives UnknownWorkspaceRow:
        register that workspace with it.
        """
        found = await self._call("find_route", enterprise_id=enterprise_id, team_id=team_id, is_org_wide=is_org_wide)
        if found is None:
            return None
        if "unknown_workspace_of" in found:
            return UnknownWorkspaceRow.model_validate(found)
        return RouteRow.model_validate(found)

    async def find_route_of_tenant(self, *, tenant_id: UUID) -> RouteRow | None:
        """Return the route of a tenant whose id is known already."""
        found = await self._call("find_route_of_tenant", tenant_id=tenant_id)
        return None if found is None else RouteRow.model_validate(found)

    async def register_tenant(
        self,
        *,
        tenant_id: UUID,
        kind: TenantKind,
        team_id: str | None,
        enterprise_id: str | None,
        name: str,
        credential_tenant_id: UUID | None,
        data_key_id: UUID,
        master_key_id: str,
        wrapped: bytes,
    ) -> RouteRow:
        """Create a tenant and its data key; when the workspace has one already, that one's route is returned.

        With `credential_tenant_id`, a workspace that exists takes up that credential in place of its own.
        """
        return RouteRow.model_validate(
            await self._call(
                "register_tenant",
                tenant_id=tenant_id,
                kind=kind,
                team_id=team_id,
                enterprise_id=enterprise_id,
                name=name,
                credential_tenant_id=credential_tenant_id,
                data_key_id=data_key_id,
                master_key_id=master_key_id,
                wrapped=wrapped,
            )
        )

    async def save_installation(
        self,
        *,
        tenant_id: UUID,
        installation_id: UUID,
        enterprise_id: str | None,
        team_id: str | None,
        is_org_wide: bool,
        app_id: str,
        bot_user_id: str,
        bot_id: str | None,
        scopes: Sequence[str],
        installed_by: str | None,
        bot_token: bytes,
        refresh_token: bytes | None,
        token_expires_at: datetime | None,
        data_key_id: UUID,
        actor: str,
    ) -> SavedInstallationRow:
        """Store a sealed installation as the tenant's active one and forget the tokens of the last; audited."""
        return SavedInstallationRow.model_validate(
            await self._call(
                "save_installation",
                tenant_id=tenant_id,
                installation_id=installation_id,
                enterprise_id=enterprise_id,
                team_id=team_id,
                is_org_wide=is_org_wide,
                app_id=app_id,
                bot_user_id=bot_user_id,
                bot_id=bot_id,
                scopes=list(scopes),
                installed_by=installed_by,
                bot_token=bot_token,
                refresh_token=refresh_token,
                token_expires_at=token_expires_at,
                data_key_id=data_key_id,
                actor=actor,
            )
        )

    async def get_installation(self, *, tenant_id: UUID) -> InstallationRow | None:
        """Return the active installation a tenant uses: its own, or that of its organisation."""
        found = await self._call("get_installation", tenant_id=tenant_id)
        return None if found is None else InstallationRow.model_validate(found)

    async def end_installation(self, *, tenant_id: UUID, event_time: datetime, reason: str, actor: str) -> EndedRow:
        """Delete a tenant's tokens, sessions and waiting events; audited.

        Does nothing when the active installation is newer than `event_time`. Ending an organisation's installation also
        drops what waits for the workspaces that share it. Lifecycle events stay, so that their worker can settle them.
        """
        return EndedRow.model_validate(
            await self._call("end_installation", tenant_id=tenant_id, event_time=event_time, reason=reason, actor=actor)
        )

    async def pause_installation(
        self, *, tenant_id: UUID, installed_at: datetime, reason: str, actor: str
    ) -> PausedRow:
        """Delete a tenant's tokens and sessions, and let what waits for it wait until it is installed anew; audited.

        Does nothing when the active installation is newer than `installed_at`. Pausing an organisation's installation
        pauses the workspaces that share it.
        """
        return PausedRow.model_validate(
            await self._call(
                "pause_installation", tenant_id=tenant_id, installed_at=installed_at, reason=reason, actor=actor
            )
        )
