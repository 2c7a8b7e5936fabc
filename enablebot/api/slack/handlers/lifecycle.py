"""The end of an installation: tokens go at once, and never those of a newer installation."""

import logging
from datetime import UTC, datetime, timedelta
from uuid import UUID

from enablebot.api.slack.handlers.opened import OpenedEvent
from enablebot.shared.errors import SlackTokenDead
from enablebot.shared.installations import Installations, NotInstalled
from enablebot.shared.models.question import Outcome
from enablebot.shared.slack.client import SlackClients

log = logging.getLogger(__name__)


async def end_installation(event: OpenedEvent, installations: Installations, slack: SlackClients) -> Outcome:
    """Handle `app_uninstalled` and `tokens_revoked`; without a call to Slack wherever the times tell enough."""
    kind = str(event.inner.get("type"))
    if kind == "tokens_revoked" and not _concerns_bot(event):
        return Outcome("done", "only tokens of persons, which we do not hold")
    # An organisation's app is removed as a whole; a workspace that leaves it sends another event.
    tenant_id = event.route.credential_tenant_id
    happened_at = _happened_at(event)
    installations.forget(tenant_id)
    installed_at = (await installations.route_of_tenant(tenant_id)).installed_at
    if installed_at is not None and happened_at <= installed_at < happened_at + timedelta(seconds=1):
        return await _ask_slack(tenant_id, installed_at, installations, slack, kind)
    if await installations.end(tenant_id, event_time=happened_at, reason=kind):
        log.info("The app was removed; its tokens are deleted")
        return Outcome("done", kind)
    return Outcome("done", "ended before, or older than the installation")


async def _ask_slack(
    tenant_id: UUID, installed_at: datetime, installations: Installations, slack: SlackClients, kind: str
) -> Outcome:
    """Slack tells whole seconds: within the second of the installation only Slack knows which of the two came last."""
    try:
        credentials = await installations.bot(tenant_id)
    except NotInstalled:
        # Paused, because its token was found dead before this event came; nobody waits for a new one any more.
        await installations.end(tenant_id, event_time=installed_at, reason=kind)
        return Outcome("done", kind)
    try:
        await slack.for_workspace(token=credentials.token, team_id=credentials.team_id).auth_test()
    except SlackTokenDead:
        await installations.end(tenant_id, event_time=credentials.installed_at, reason=kind)
        return Outcome("done", kind)
    return Outcome("done", "older than the installation")


def _concerns_bot(event: OpenedEvent) -> bool:
    """Whether the bot's token is among the revoked ones, which Slack names by their users."""
    tokens = event.inner.get("tokens")
    bots = tokens.get("bot") if isinstance(tokens, dict) else None
    if not isinstance(bots, list) or not bots:
        return False
    return event.route.bot_user_id is None or event.route.bot_user_id in bots


def _happened_at(event: OpenedEvent) -> datetime:
    stamp = event.envelope.get("event_time")
    if isinstance(stamp, int) and 0 < stamp < 1 << 33:
        return datetime.fromtimestamp(stamp, UTC)
    return event.row.received_at
