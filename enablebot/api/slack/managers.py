"""Who may manage a workspace's knowledge: whoever added the app, and the workspace's admins and owners."""

import logging
import time
from collections.abc import Callable
from uuid import UUID

from enablebot.shared.errors import SlackRefused
from enablebot.shared.installations import BotCredentials
from enablebot.shared.remembering import Remembered
from enablebot.shared.slack.client import SlackClients

log = logging.getLogger(__name__)

# Somebody who is no admin any more may go on for this long; asking Slack for each file would cost its limits.
CACHE_SECONDS = 60.0


class Managers:
    """Answers the question for all workspaces, and remembers Slack's answers shortly."""

    def __init__(self, slack: SlackClients, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._slack = slack
        self._known: Remembered[tuple[UUID, str], bool] = Remembered(size=10_000, seconds=CACHE_SECONDS, clock=clock)

    async def may_manage(self, user: str, *, team_id: str | None, credentials: BotCredentials) -> bool:
        """Whether this person may add to and take from what everybody in the workspace is told.

        `team_id` is the person's own workspace where Slack named it. Raises SlackTokenDead, and what may be over soon.
        """
        if team_id is not None and credentials.team_id is not None and team_id != credentials.team_id:
            return False
        if credentials.installed_by == user and not credentials.is_org_wide:
            return True
        key = (credentials.tenant_id, user)
        known = self._known.get(key)
        if known is None:
            known = await self._is_admin(user, credentials)
            self._known.keep(key, known)
        return known

    async def _is_admin(self, user: str, credentials: BotCredentials) -> bool:
        client = self._slack.for_workspace(token=credentials.token, team_id=credentials.team_id)
        try:
            found = await client.user_info(user=user)
        except SlackRefused as error:
            # Without users:read, or of somebody we cannot see: then it takes somebody whom we can.
            log.info("Slack does not say whether somebody is an admin: %s", error.message)
            return False
        is_of_here = found.get("team_id") in {None, credentials.team_id} and found.get("is_stranger") is not True
        is_chief = found.get("is_admin") is True or found.get("is_owner") is True
        return is_chief and is_of_here and found.get("deleted") is not True
