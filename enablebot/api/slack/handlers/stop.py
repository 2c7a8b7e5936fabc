"""The stop button: Slack has ended the streams already, the rest of the session is ours to end."""

import logging

from enablebot.api.slack.handlers.messages import Answering
from enablebot.api.slack.handlers.opened import OpenedEvent
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import SlackError, SlackTokenDead
from enablebot.shared.installations import BotCredentials
from enablebot.shared.models.question import Outcome
from enablebot.shared.slack.client import SlackClients

log = logging.getLogger(__name__)


async def stop_answer(event: OpenedEvent, database: Database, answering: Answering) -> Outcome:
    """Stop the answer being written there: here at once, in another process at its next look."""
    conversation = _conversation(event)
    if conversation is None:
        return Outcome("dropped", "it names no conversation")
    channel, thread_ts = conversation
    if not answering.stop(event.row.tenant_id, channel=channel, thread_ts=thread_ts):
        await database.signal_answers(
            tenant_id=event.row.tenant_id, channel=channel, thread_ts=thread_ts, signal="stop"
        )
    return Outcome("done", "stopped by a person")


async def show_idle(event: OpenedEvent, credentials: BotCredentials, slack: SlackClients) -> Outcome:
    """Show the session as idle again, where it was stopped."""
    conversation = _conversation(event)
    if conversation is not None:
        channel, thread_ts = conversation
        client = slack.for_workspace(token=credentials.token, team_id=credentials.team_id)
        try:
            await client.set_status(channel=channel, thread_ts=thread_ts, status="active")
        except SlackTokenDead:
            raise
        except SlackError as error:
            # Slack itself ends the display within the hour; nobody waits for this.
            log.info("Could not show the session as idle: %s", error.message)
    return Outcome("done")


def _conversation(event: OpenedEvent) -> tuple[str, str] | None:
    channel, thread_ts = event.inner.get("channel"), event.inner.get("thread_ts")
    return (channel, thread_ts) if isinstance(channel, str) and isinstance(thread_ts, str) else None
