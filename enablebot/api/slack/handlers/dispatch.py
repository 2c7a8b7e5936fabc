"""Which surface an event belongs to, and what a dead token means whichever surface met it."""

import logging
from collections.abc import Awaitable, Callable
from typing import assert_never

from enablebot.api.slack.handlers.deletion import withdraw_deleted
from enablebot.api.slack.handlers.file_steps import TAKE, TELL, read_take, read_tell
from enablebot.api.slack.handlers.files import Files, is_question_of_its_own, shared_files
from enablebot.api.slack.handlers.interactions import answer_again, give_up_again
from enablebot.api.slack.handlers.lifecycle import end_installation
from enablebot.api.slack.handlers.messages import Answering, answer_message, give_up_message
from enablebot.api.slack.handlers.opened import OpenedEvent, open_event
from enablebot.api.slack.handlers.shortcut import add_by_shortcut
from enablebot.api.slack.handlers.stop import show_idle, stop_answer
from enablebot.api.slack.handlers.undo import undo_or_redo
from enablebot.api.slack.interactions import REDO_ACTION, UNDO_ACTION, action_of
from enablebot.shared.database.models import ClaimedEventRow
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import SlackTokenDead
from enablebot.shared.installations import BotCredentials, Installations, NotInstalled
from enablebot.shared.metrics import Metrics
from enablebot.shared.models.event import RunningSignal
from enablebot.shared.models.question import Outcome
from enablebot.shared.slack.client import SlackClients

log = logging.getLogger(__name__)


# Until an event whose workspace is between two installations is looked at again.
BETWEEN_TOKENS_SECONDS = 1.0


class Dispatch:
    """Hands each claimed event to its surface. Without `files`, shared files are only named in the question."""

    def __init__(
        self,
        database: Database,
        installations: Installations,
        slack: SlackClients,
        answering: Answering,
        *,
        metrics: Metrics,
        files: Files | None = None,
    ) -> None:
        self._files = files
        self._database = database
        self._installations = installations
        self._slack = slack
        self._answering = answering
        self._metrics = metrics

    async def handle(self, claimed: ClaimedEventRow) -> Outcome:
        """Do what the event asks for; BodyUnreadable when it does not open."""
        event = await open_event(claimed, self._installations)
        match claimed.kind:
            case "mention" | "message":
                files = self._files
                if files is not None and shared_files(event.inner) and not is_question_of_its_own(claimed.event_key):
                    return await self._speak(event, lambda bot: files.confirm(event, bot))
                return await self._speak(event, lambda bot: answer_message(event, bot, self._answering))
            case "interaction":
                return await self._speak(event, lambda bot: self._interact(event, bot))
            case "stop":
                outcome = await stop_answer(event, self._database, self._answering)
                await self._speak(event, lambda bot: show_idle(event, bot, self._slack))
                return outcome
            case "delete":
                return await withdraw_deleted(event, self._database, self._answering)
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
            case "interaction" if self._is_about_files(event):
                if self._files is not None and event.envelope.get("type") == TAKE:
                    return await self._files.give_up_taking(event, read_take(event.envelope))
                return Outcome("set_aside", reason)
            case "interaction":
                return await self._speak(
                    event, lambda bot: give_up_again(event, bot, self._slack, self._answering, reason)
                )
            case "stop" | "delete" | "lifecycle":
                return Outcome("set_aside", reason)
            case _:
                assert_never(claimed.kind)

    def signal(self, claimed: ClaimedEventRow, signal: RunningSignal) -> bool:
        """Pass on what a person wants of an answer that this process writes; another process heard it."""
        return self._answering.signal(claimed.tenant_id, claimed.id, signal)

    async def _interact(self, event: OpenedEvent, bot: BotCredentials) -> Outcome:
        files, payload = self._files, event.envelope
        if files is None or not self._is_about_files(event):
            return await answer_again(event, bot, self._slack, self._answering)
        match payload.get("type"):
            case "enablebot_take_files":
                return await files.take(event, read_take(payload), bot)
            case "enablebot_tell_files":
                return await files.tell(event, read_tell(payload), bot)
            case "message_action":
                return await add_by_shortcut(event, bot, files)
            case _:
                return await undo_or_redo(event, bot, files)

    def _is_about_files(self, event: OpenedEvent) -> bool:
        kind = event.envelope.get("type")
        is_button = action_of(event.envelope).get("action_id") in {UNDO_ACTION, REDO_ACTION}
        return kind in {TAKE, TELL, "message_action"} or is_button

    async def _speak(self, event: OpenedEvent, act: Callable[[BotCredentials], Awaitable[Outcome]]) -> Outcome:
        """Act with the workspace's token. A workspace whose token is dead waits for a new one, and loses nothing."""
        try:
            credentials = await self._installations.bot(event.row.tenant_id)
        except NotInstalled:
            return await self._without_token(event)
        try:
            return await act(credentials)
        except NotInstalled:
            return await self._without_token(event)
        except SlackTokenDead as error:
            reason = f"{error.method}: {error.slack_code}"
            if await self._installations.pause_with_dead_token(credentials, reason=reason):
                self._metrics.workspaces_paused.inc()
                log.warning(
                    "Slack no longer accepts a workspace's token (%s). The workspace is paused: its questions wait "
                    "until somebody adds the app again, or are dropped when it is removed",
                    reason,
                )
            return await self._without_token(event)

    async def _without_token(self, event: OpenedEvent) -> Outcome:
        """Whether the event still has somebody to speak for, asked of the database and not of what is remembered."""
        self._installations.forget(event.row.tenant_id)
        route = await self._installations.route_of_tenant(event.row.tenant_id)
        if route.status == "uninstalled":
            return Outcome("dropped", "not installed any more")
        # Paused, it is not claimed again before the workspace has a token; otherwise it has a new one already.
        return Outcome("release", "the workspace's token is dead", BETWEEN_TOKENS_SECONDS)
