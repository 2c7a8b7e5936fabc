"""OAuth states and signed-in people, and what their dashboard shows."""

from uuid import UUID

from enablebot.shared.database.models import (
    EndedRow,
    OAuthBeginningRow,
    OAuthStateRow,
    OverviewRow,
    SessionRow,
    SessionStartRow,
)
from enablebot.shared.database.operations.call import Calls


class SessionCalls(Calls):
    async def begin_oauth(
        self,
        *,
        state_hash: bytes,
        browser_hash: bytes,
        purpose: str,
        return_to: str | None,
        lifetime_seconds: int,
    ) -> OAuthBeginningRow:
        """Remember one OAuth state for the browser it was given to."""
        return OAuthBeginningRow.model_validate(
            await self._call(
                "begin_oauth",
                state_hash=state_hash,
                browser_hash=browser_hash,
                purpose=purpose,
                return_to=return_to,
                lifetime_seconds=lifetime_seconds,
            )
        )

    async def consume_oauth_state(self, *, state_hash: bytes, browser_hash: bytes) -> OAuthStateRow | None:
        """Use up a state; None when it is unknown, used, expired, or another browser's."""
        found = await self._call("consume_oauth_state", state_hash=state_hash, browser_hash=browser_hash)
        return None if found is None else OAuthStateRow.model_validate(found)

    async def start_session(
        self,
        *,
        tenant_id: UUID,
        session_hash: bytes,
        user_id: str,
        role: str,
        idle_seconds: int,
        absolute_seconds: int,
    ) -> SessionStartRow:
        """Sign a person in; audited."""
        return SessionStartRow.model_validate(
            await self._call(
                "start_session",
                tenant_id=tenant_id,
                session_hash=session_hash,
                user_id=user_id,
                role=role,
                idle_seconds=idle_seconds,
                absolute_seconds=absolute_seconds,
            )
        )

    async def find_session(self, *, session_hash: bytes) -> SessionRow | None:
        """Return who a session belongs to and put off its idle deadline; None once either deadline has passed."""
        found = await self._call("find_session", session_hash=session_hash)
        return None if found is None else SessionRow.model_validate(found)

    async def end_session(self, *, session_hash: bytes) -> EndedRow:
        """Sign a person out."""
        return EndedRow.model_validate(await self._call("end_session", session_hash=session_hash))

    async def get_overview(self, *, tenant_id: UUID) -> OverviewRow | None:
        """Return what a workspace's dashboard shows; None for an unknown tenant."""
        found = await self._call("get_overview", tenant_id=tenant_id)
        return None if found is None else OverviewRow.model_validate(found)
