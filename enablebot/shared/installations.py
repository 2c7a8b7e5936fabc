"""A workspace's route, keys and tokens: the one room that knows both the database and encryption."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from enablebot.shared.database.models import InstallationRow, RouteRow, TenantStatus, UnknownWorkspaceRow
from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.encryption import Place, SealingKey
from enablebot.shared.encryption.keyring import Keyring, WrappedKey
from enablebot.shared.errors import Conflict, NotFound, SchemaMissing, SettingsError
from enablebot.shared.models.installation import OAuthGrant
from enablebot.shared.remembering import Remembered
from enablebot.shared.sensitive import Sensitive

_log = logging.getLogger(__name__)

# How long a workspace that is unknown or uninstalled stays so without asking the database again: until then the first
# questions after an installation, which another process saved, would go unanswered.
UNKNOWN_SECONDS = 2

RouteKey = tuple[str | None, str | None, bool]


class NotInstalled(Conflict):
    """The workspace has no token we could speak with."""

    code = "not_installed"


@dataclass(frozen=True, slots=True)
class Route:
    """Where an event belongs, and the key that seals what we keep of it.

    `team_id` is None for an organisation itself. `credential_tenant_id` holds the token: this tenant, or its
    organisation.
    """

    tenant_id: UUID
    team_id: str | None
    enterprise_id: str | None
    status: TenantStatus
    app_id: str | None
    bot_user_id: str | None
    installed_at: datetime | None
    key: SealingKey
    credential_tenant_id: UUID


@dataclass(frozen=True, slots=True)
class BotCredentials:
    """A workspace's way to speak in Slack. `installed_at` tells this installation from a later one.

    `installed_by` is the id of the person who added the app.
    """

    tenant_id: UUID
    credential_tenant_id: UUID
    token: Sensitive[str]
    bot_user_id: str
    bot_id: str | None
    team_id: str | None
    app_id: str
    scopes: tuple[str, ...]
    is_org_wide: bool
    installed_at: datetime
    installed_by: str | None = None


@dataclass(frozen=True, slots=True)
class _Closed:
    route: Route | None


class Installations:
    """Finds, opens, saves and ends installations; remembers routes and tokens for `cache_seconds`."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        cache_size: int = 10_000,
        cache_seconds: float = 60,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._now = now
        self._routes: Remembered[RouteKey, Route] = Remembered(size=cache_size, seconds=cache_seconds, clock=clock)
        self._tenants: Remembered[UUID, Route] = Remembered(size=cache_size, seconds=cache_seconds, clock=clock)
        self._bots: Remembered[UUID, BotCredentials] = Remembered(size=cache_size, seconds=cache_seconds, clock=clock)
        self._closed: Remembered[RouteKey, _Closed] = Remembered(size=cache_size, seconds=UNKNOWN_SECONDS, clock=clock)
        self._looking: dict[RouteKey, asyncio.Task[Route | None]] = {}
        # Counts what was forgotten, so that a look-up that began before does not bring the old answer back.
        self._forgotten = 0

    async def refuse_missing_keys(self) -> None:
        """Raise SettingsError where a workspace's data key is sealed by a master key that we do not hold.

        Its tokens and conversations could not be opened, and its events would be set aside one by one.
        """
        try:
            uses = await self._database.get_master_key_use()
        except SchemaMissing as error:
            # `/ready` says so until it has been migrated.
            _log.warning("Master keys in use cannot be checked: %s", error.message)
            return
        missing = [use for use in uses if use.master_key_id not in self._keyring.ids]
        if missing:
            raise SettingsError(
                f"ENCRYPTION_KEYS lacks the key “{use.master_key_id}”, under which {use.data_keys} "
                f"workspace{'s’ keys are' if use.data_keys > 1 else '’s key is'} sealed. Put it back, behind the first."
                for use in missing
            )

    async def route(self, *, enterprise_id: str | None, team_id: str | None, is_org_wide: bool) -> Route | None:
        """Return the tenant an event belongs to, an uninstalled one included; None where we know of none.

        A workspace that sends its first event under its organisation's installation is registered here.
        """
        key = (enterprise_id, team_id, is_org_wide)
        known = self._routes.get(key)
        if known is not None:
            return known
        closed = self._closed.get(key)
        if closed is not None:
            return closed.route
        looking = self._looking.get(key)
        if looking is None:
            # A task of its own: the first to ask may be cancelled while others wait for the same answer.
            looking = self._looking[key] = asyncio.create_task(self._look_up(key))
            looking.add_done_callback(lambda task: self._looked_up(key, task))
        return await asyncio.shield(looking)

    async def route_of_tenant(self, tenant_id: UUID) -> Route:
        """Return the route of a tenant whose id is known; NotFound where there is none."""
        known = self._tenants.get(tenant_id)
        if known is not None:
            return known
        forgotten = self._forgotten
        row = await self._database.find_route_of_tenant(tenant_id=tenant_id)
        if row is None:
            raise NotFound("This workspace is not known here. Add the app to it first.")
        route = self._opened(row)
        if forgotten == self._forgotten:
            self._tenants.keep(tenant_id, route)
        return route

    async def bot(self, tenant_id: UUID) -> BotCredentials:
        """Return what a workspace's bot needs to speak; NotInstalled where it has no living installation."""
        known = self._bots.get(tenant_id)
        if known is not None:
            return known
        forgotten = self._forgotten
        row = await self._database.get_installation(tenant_id=tenant_id)
        if row is None or row.status != "active" or row.bot_token is None:
            raise NotInstalled("The app is not installed in this workspace any more. Add it again to go on.")
        credentials = await self._credentials(tenant_id, row, row.bot_token)
        if forgotten == self._forgotten:
            self._bots.keep(tenant_id, credentials)
        return credentials

    async def save(self, grant: OAuthGrant, *, audit_actor: str) -> UUID:
        """Seal and store what Slack granted, in a new tenant or the one that is there; returns the tenant's id."""
        route = await self._route_for(grant)
        installation_id = uuid4()

        def seal(column: str, token: Sensitive[str]) -> bytes:
            place = Place(route.tenant_id, "installations", column, str(installation_id))
            return route.key.seal(place, token.reveal().encode())

        await self._database.save_installation(
            tenant_id=route.tenant_id,
            installation_id=installation_id,
            enterprise_id=grant.enterprise_id,
            team_id=grant.team_id,
            is_org_wide=grant.is_org_wide,
            app_id=grant.app_id,
            bot_user_id=grant.bot_user_id,
            bot_id=grant.bot_id,
            scopes=grant.scopes,
            installed_by=grant.installed_by,
            bot_token=seal("bot_token", grant.bot_token),
            refresh_token=None if grant.refresh_token is None else seal("refresh_token", grant.refresh_token),
            token_expires_at=None if grant.expires_in is None else self._now() + timedelta(seconds=grant.expires_in),
            data_key_id=route.key.id,
            actor=audit_actor,
        )
        self.forget(route.tenant_id)
        return route.tenant_id

    async def end(self, tenant_id: UUID, *, event_time: datetime, reason: str, actor: str = "slack") -> bool:
        """Delete a tenant's tokens; False, and nothing done, where the installation is newer than `event_time`."""
        ended = await self._database.end_installation(
            tenant_id=tenant_id, event_time=event_time, reason=reason, actor=actor
        )
        self.forget(tenant_id)
        return ended.ended

    async def pause_with_dead_token(self, credentials: BotCredentials, *, reason: str) -> bool:
        """Delete the token that Slack just refused, and no later one; what waits goes on with the next installation."""
        holder = credentials.credential_tenant_id
        paused = await self._database.pause_installation(
            tenant_id=holder, installed_at=credentials.installed_at, reason=reason, actor="slack"
        )
        self.forget(holder)
        return paused.paused

    def forget(self, tenant_id: UUID) -> None:
        """Forget routes and tokens of a tenant and of those that share its credential; the next use asks again."""
        self._forgotten += 1

        def concerns(known: Route | BotCredentials) -> bool:
            return tenant_id in (known.tenant_id, known.credential_tenant_id)

        self._routes.forget(concerns)
        self._tenants.forget(concerns)
        self._bots.forget(concerns)
        self._closed.forget(lambda _: True)
        self._looking.clear()

    async def _look_up(self, key: RouteKey) -> Route | None:
        enterprise_id, team_id, is_org_wide = key
        forgotten = self._forgotten
        found = await self._database.find_route(enterprise_id=enterprise_id, team_id=team_id, is_org_wide=is_org_wide)
        if isinstance(found, UnknownWorkspaceRow):
            found = await self._register(
                team_id=team_id,
                enterprise_id=enterprise_id,
                name=team_id or "",
                credential_tenant_id=found.unknown_workspace_of,
            )
        route = None if found is None else self._opened(found)
        if forgotten == self._forgotten:
            if route is None or route.status != "active":
                self._closed.keep(key, _Closed(route))
            else:
                self._routes.keep(key, route)
        return route

    def _looked_up(self, key: RouteKey, task: asyncio.Task[Route | None]) -> None:
        if self._looking.get(key) is task:
            del self._looking[key]
        # Whoever still waits is told by the task itself; nobody waiting is no reason to complain at its end.
        if not task.cancelled():
            task.exception()

    async def _route_for(self, grant: OAuthGrant) -> Route:
        team_id = None if grant.is_org_wide else grant.team_id
        found = await self._database.find_route(
            enterprise_id=grant.enterprise_id, team_id=team_id, is_org_wide=grant.is_org_wide
        )
        if not isinstance(found, RouteRow):
            found = await self._register(
                team_id=team_id, enterprise_id=grant.enterprise_id, name=grant.name, credential_tenant_id=None
            )
        return self._opened(found)

    async def _register(
        self, *, team_id: str | None, enterprise_id: str | None, name: str, credential_tenant_id: UUID | None
    ) -> RouteRow:
        tenant_id = uuid4()
        _, wrapped = self._keyring.new_data_key(tenant_id)
        # Two processes may register the same workspace at once: the row that comes back is the one that stayed.
        return await self._database.register_tenant(
            tenant_id=tenant_id,
            kind="organisation" if team_id is None else "workspace",
            team_id=team_id,
            enterprise_id=enterprise_id,
            name=name,
            credential_tenant_id=credential_tenant_id,
            data_key_id=wrapped.id,
            master_key_id=wrapped.master_key_id,
            wrapped=wrapped.wrapped,
        )

    async def _credentials(self, tenant_id: UUID, row: InstallationRow, sealed: bytes) -> BotCredentials:
        route = await self.route_of_tenant(tenant_id)
        holder = route if row.tenant_id == tenant_id else await self.route_of_tenant(row.tenant_id)
        token = holder.key.open(Place(row.tenant_id, "installations", "bot_token", str(row.id)), sealed)
        return BotCredentials(
            tenant_id=tenant_id,
            credential_tenant_id=row.tenant_id,
            token=Sensitive(token.decode()),
            bot_user_id=row.bot_user_id,
            bot_id=row.bot_id,
            team_id=route.team_id,
            app_id=row.app_id,
            scopes=row.scopes,
            is_org_wide=row.is_org_wide,
            installed_at=row.installed_at,
            installed_by=row.installed_by,
        )

    def _opened(self, row: RouteRow) -> Route:
        data_key = WrappedKey(row.data_key.id, row.data_key.master_key_id, row.data_key.wrapped)
        return Route(
            tenant_id=row.tenant_id,
            team_id=row.team_id,
            enterprise_id=row.enterprise_id,
            status=row.status,
            app_id=row.app_id,
            bot_user_id=row.bot_user_id,
            installed_at=row.installed_at,
            key=self._keyring.unwrap(row.tenant_id, data_key),
            credential_tenant_id=row.credential_tenant_id,
        )
