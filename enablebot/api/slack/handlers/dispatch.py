"""Which surface an event belongs to, and what a dead token means whichever surface met it."""

import logging
from collections.abc import Awaitable, Callable
from typing import assert_never

from enablebot.api.slack.handlers.interactions import answer_again, give_up_again
from enablebot.api.slack.handlers.lifecycle import end_installation
from enablebot.api.slack.handlers.messages import Answering, answer_message, give_up_message
from enablebot.api.slack.handlers.opened import OpenedEvent, open_event
from enablebot.api.slack.handlers.stop import stop_answer
from enablebot.shared.database.models import ClaimedEventRow
from enablebot.shared.errors import SlackTokenDead
from enablebot.shared.installations import BotCredentials, Installations, NotInstalled
from enablebot.shared.models.question import Outcome
from enablebot.shared.slack.client import SlackClients

log = logging.getLogger(__name__)


class Dispatch:
    """Hands each claimed event to its surface."""

    def __init__(self, installations: Installations, slack: SlackClients, answering: Answering) -> None:
        self._installations = installations
        self._slack = slack
        self._answering = answering

    async def handle(self, claimed: ClaimedEventRow) -> Outcome:
        """Do what the event asks for; BodyUnreadable when it does not open."""
        event = await open_event(claimed, self._installations)
        match claimed.kind:
            case "mention" | "message":
                return await self._speak(event, lambda bot: answer_message(event, bot, self._answering))
            case "interaction":
                return await self._speak(event, lambda bot: answer_again(event, bot, self._slack, self._answering))
            case "stop":
                return await self._speak(event, lambda bot: stop_answer(event, bot, self._slack, self._answering))
            case "lifecycle":
                return await end_installation(event, self._installations, self._slack)
            case _:
                assert_never(claimed.kind)

    async def give_up(self, claimed: ClaimedEventRow, reason: str) -> Outcome:
        """Tell whoever waits for this event that nothing more will be tried."""
        event = await open_event(claimed, self._installations)
        match claimed.kind:
            case "mention" | "message":
                return await self._speak(event, lambda bot: give_up_message(event, bot, self._answering, reason))
            case "interaction":
                return await self._speak(
                    event, lambda bot: give_up_again(event, bot, self._slack, self._answering, reason)
                )
            case "stop" | "lifecycle":
                return Outcome("failed", reason)
            case _:
                assert_never(claimed.kind)

    async def _speak(self, event: OpenedEvent, act: Callable[[BotCredentials], Awaitable[Outcome]]) -> Outcome:
        """Act with the workspace's token, and end the installation when Slack says that the token is dead."""
        try:
            credentials = await self._installations.bot(event.row.tenant_id)
        except NotInstalled:
            return Outcome("dropped", "not installed any more")
        try:
            return await act(credentials)
        except NotInstalled:
            return Outcome("dropped", "not installed any more")
        except SlackTokenDead as error:
            reason = f"{error.method}: {error.slack_code}"
            if await self._installations.end_with_dead_token(credentials, reason=reason):
                log.warning("Slack no longer accepts a workspace's token (%s); the installation is ended", reason)
                return Outcome("dropped", reason)
            # A newer installation has replaced the token meanwhile, or somebody else ended this one.
            return Outcome("retry", reason)
