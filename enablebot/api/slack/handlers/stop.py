"""The stop button: Slack has ended the streams already, the rest of the session is ours to end."""

import logging
from typing import Any

from enablebot.api.slack.handlers.messages import Answering
from enablebot.api.slack.handlers.opened import OpenedEvent
from enablebot.shared.errors import SlackError, SlackTokenDead
from enablebot.shared.installations import BotCredentials
from enablebot.shared.models.question import Outcome
from enablebot.shared.slack.client import SlackClients

log = logging.getLogger(__name__)


async def stop_answer(
    event: OpenedEvent, credentials: BotCredentials, slack: SlackClients, answering: Answering
) -> Outcome:
    """Stop the answer being written there, and show the session as idle again.

    An answer that another process writes learns of the stop from its next append.
    """
    channel: Any = event.inner.get("channel")
    thread_ts: Any = event.inner.get("thread_ts")
    if not isinstance(channel, str) or not isinstance(thread_ts, str):
        return Outcome("dropped", "it names no conversation")
    answering.stop(event.row.tenant_id, channel=channel, thread_ts=thread_ts)
    client = slack.for_workspace(token=credentials.token, team_id=credentials.team_id)
    try:
        await client.set_status(channel=channel, thread_ts=thread_ts, status="active")
    except SlackTokenDead:
        raise
    except SlackError as error:
        # Slack itself ends the display within the hour; nobody waits for this.
        log.info("Could not show the session as idle: %s", error.message)
    return Outcome("done", "stopped by a person")
