"""A question that was deleted takes its answer with it: what is shown of it is deleted, and nothing is said."""

import logging

from enablebot.api.answering.healing import Unresolved
from enablebot.api.answering.messages import Desk
from enablebot.shared.errors import SlackRefused

_log = logging.getLogger(__name__)


async def take_back(desk: Desk) -> None:
    """Delete every message of an answer, those in doubt included. Raises the SlackError tree."""
    for entry in desk.journal.entries:
        ts = entry.ts
        if ts is None:
            try:
                ts = await desk.evidence.find(entry)
            except Unresolved:
                _log.warning("a message under a deleted question may be left: nobody knows whether it was sent")
        if ts is not None:
            await _delete(desk, ts)


async def _delete(desk: Desk, ts: str) -> None:
    try:
        await desk.calls.repeatably(
            "chat.delete", lambda: desk.client.delete_message(channel=desk.question.channel, ts=ts)
        )
    except SlackRefused as error:
        # It is gone already, or Slack lets nobody take it away.
        if error.slack_code != "message_not_found":
            _log.warning("a message under a deleted question stays: %s", error.slack_code)
