"""Files people share: confirmed at once, taken in, and told about when they are read. Three events, one after another.

The message itself is only confirmed ("Reading …", exactly once, as every reply). What follows lies in the inbox as
steps of ours before the message is settled: *take* fetches and adds, *tell* waits for the reading and edits the
confirmation. Each may come again after a crash, and comes to the same end.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol
from uuid import UUID

from enablebot.api.knowledge.fetch import CannotFetch, SharedFile, SlackFiles
from enablebot.api.slack.handlers import file_words as words
from enablebot.api.slack.handlers.file_steps import QUESTION_KEY, Notice, Queued, Steps, Taken, TakeStep, TellStep
from enablebot.api.slack.handlers.messages import read_question
from enablebot.api.slack.handlers.opened import OpenedEvent
from enablebot.api.slack.interactions import UNDO_ACTION
from enablebot.api.slack.managers import Managers
from enablebot.shared.errors import (
    FileEmpty,
    NotFound,
    OverQuota,
    SlackRefused,
    TooLarge,
    UnsupportedFormat,
)
from enablebot.shared.installations import BotCredentials
from enablebot.shared.knowledge.library import DocumentGone, Library
from enablebot.shared.knowledge.names import clean_name
from enablebot.shared.models.document import Added, AddOutcome, Document
from enablebot.shared.models.question import Outcome, Question
from enablebot.shared.slack.client import SlackClient, SlackClients

log = logging.getLogger(__name__)

MOST_FILES = 20
# How soon to look again whether a document is read, by how long it has been waited for.
_LOOKS = ((10.0, 0.5), (60.0, 1.0), (600.0, 5.0))
_RARE_LOOK_SECONDS = 30.0
# An event that waits longer looks to an operator as if nothing went on: another one takes its place.
_ROUND_SECONDS = 60.0
# Between two edits that only say how far the reading is.
_PROGRESS_SECONDS = 3.0
_MOST_SHOWN = 1_000

_WILL_NOT_HELP = (CannotFetch, FileEmpty, TooLarge, UnsupportedFormat, OverQuota)


class Saying(Protocol):
    """The answering room, as far as confirmations need it."""

    async def say(
        self, question: Question, text: str, *, reason: str, on_shown: Callable[[str | None], Awaitable[None]]
    ) -> Outcome:
        """Bring words of our own into the conversation, exactly once."""


class Files:
    """What becomes of shared files, for all workspaces of the process. `wake` lets the reading of documents begin."""

    def __init__(
        self,
        steps: Steps,
        slack: SlackClients,
        answering: Saying,
        *,
        library: Library,
        slack_files: SlackFiles,
        managers: Managers,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.steps = steps
        self.library = library
        self.managers = managers
        self._slack = slack
        self._answering = answering
        self._slack_files = slack_files
        self._wake = wake
        # What this process showed last of each notice, so that it is not edited into what it says already.
        self._shown: dict[tuple[str, int], tuple[str, float]] = {}

    def client(self, credentials: BotCredentials) -> SlackClient:
        """The workspace's client."""
        return self._slack.for_workspace(token=credentials.token, team_id=credentials.team_id)

    @property
    def slack(self) -> SlackClients:
        """Slack for all workspaces: response URLs need no token."""
        return self._slack

    async def confirm(self, event: OpenedEvent, credentials: BotCredentials) -> Outcome:
        """Confirm a message that shares files; the steps to come, and its question, are in the inbox before its end."""
        question, files = read_question(event, credentials), shared_files(event.inner)
        lane = None if await self._may_manage(question, credentials) else question.lane
        names = [clean_name(file.name, fallback="a file") for file, _ in files]
        key = f"take:{question.channel}:{question.ts}"

        async def go_on(ts: str | None) -> None:
            notice = Notice(channel=question.channel, thread_ts=question.thread_ts, ts=ts)
            step = TakeStep(notice=notice, user=question.asker, lane=lane, files=tuple(given for _, given in files))
            queued: list[Queued] = [(key, f"files:{question.channel}:{question.ts}", "interaction", _as_body(step))]
            if question.text:
                # Behind this message in its conversation, and beside the taking in.
                asked = json.dumps(dict(event.envelope)).encode()
                queued.insert(0, (f"{QUESTION_KEY}{question.channel}:{question.ts}", question.lane, "message", asked))
            await self.steps.queue_all(event.route, queued)

        said = replace(question, text=f"(shared {', '.join(names)})", file_names=())
        text = words.reading_words(names, only_here=lane is not None)
        return await self._answering.say(said, text, reason="files", on_shown=go_on)

    async def take(self, event: OpenedEvent, step: TakeStep, credentials: BotCredentials) -> Outcome:
        """Fetch and add everything, then let it be told. Raises what may be over at the next attempt."""
        taken: list[Taken] = []
        if step.words is not None:
            content = step.words.text.encode("utf-8", "replace")
            taken.append(await self._add(event, step, name=step.words.name, title=step.words.title, content=content))
        # One after another: several files of 20 MB at once would be held several times.
        taken += [await self._take_file(event, step, given, credentials) for given in step.files[:MOST_FILES]]
        left_out = len(step.files) - MOST_FILES
        if left_out > 0:
            taken.append(Taken(name=f"{left_out} more", reason=f"I take {MOST_FILES} files of one message"))
        self._wake()
        await self._tell_later(event, step, taken, key=f"tell:{event.row.event_key}")
        return Outcome("done")

    async def give_up_taking(self, event: OpenedEvent, step: TakeStep) -> Outcome:
        """Say of every file that it could not be had; what was added before is told by its own document."""
        reason = "I tried several times and could not get it from Slack. Send it again later"
        names = [file.name for given in step.files if (file := SharedFile.read(given)) is not None]
        if step.words is not None:
            names.insert(0, step.words.name)
        untaken = [Taken(name=clean_name(name), reason=reason) for name in names]
        # A key of its own: whoever replays the event has to be told what came of that, too.
        await self._tell_later(event, step, untaken, key=f"untaken:{event.row.event_key}")
        return Outcome("set_aside", "files could not be taken in")

    async def tell(self, event: OpenedEvent, step: TellStep, credentials: BotCredentials) -> Outcome:
        """Say what became of the files once all are read; until then come back."""
        found = [(taken, await self._document(event, taken)) for taken in step.taken]
        reading = [
            state
            for taken, document in found
            if document is not None and (state := words.state_of(document, taken.version)).state == "reading"
        ]
        if reading:
            names = [taken.name for taken in step.taken]
            progress = min(state.progress for state in reading)
            await self._show_progress(event, step, credentials, names=names, progress=progress)
            return await self._wait_on(event, step)
        await self._show(step.notice, _told(step, found), credentials)
        self._shown.pop((str(event.row.tenant_id), event.row.id), None)
        return Outcome("done")

    async def show(self, notice: Notice, report: words.Report, credentials: BotCredentials) -> None:
        """Bring a report to where its notice is."""
        await self._show(notice, report, credentials)

    async def _take_file(
        self, event: OpenedEvent, step: TakeStep, given: Mapping[str, Any], credentials: BotCredentials
    ) -> Taken:
        file = SharedFile.read(given)
        if file is None:
            return Taken(name="A file", reason="Slack did not say what it is. Send it again")
        try:
            if file.is_stub and not file.is_external:
                file = SharedFile.read(await self.client(credentials).file_info(file=file.id)) or file
            content = self._slack_files.fetch(file, token=credentials.token)
            return await self._add(event, step, name=file.name, title=None, content=content)
        except SlackRefused as error:
            # Where the bot is not, its token sees no file; and an app that was added earlier may read none.
            is_unseen = error.slack_code in {"file_not_found", "not_visible", "access_denied", "file_deleted"}
            remedy = words.NOT_SEEN if is_unseen else words.NO_SCOPE if error.slack_code == "missing_scope" else None
            log.info("Slack does not show a file: %s", error.message)
            return Taken(name=clean_name(file.name), reason=remedy or "Slack does not show it to me. Send it again")
        except CannotFetch as error:
            return Taken(name=clean_name(file.name), reason=error.message)

    async def _add(
        self,
        event: OpenedEvent,
        step: TakeStep,
        *,
        name: str,
        title: str | None,
        content: AsyncIterator[bytes] | bytes,
    ) -> Taken:
        try:
            added = await self.library.add(
                event.row.tenant_id,
                name=name,
                title=title,
                content=content,
                source="slack",
                added_by=step.user,
                channels=step.channels,
                lane=step.lane,
            )
        except _WILL_NOT_HELP as error:
            return Taken(name=clean_name(name), reason=error.message)
        document = added.document
        newest = document.replacement
        return Taken(
            name=document.name,
            document_id=document.id,
            version=document.version if newest is None else newest.version,
            outcome=_outcome(added, event, step),
        )

    async def _document(self, event: OpenedEvent, taken: Taken) -> Document | None:
        if taken.document_id is None:
            return None
        try:
            return await self.library.get(event.row.tenant_id, taken.document_id, reach="conversations too")
        except (NotFound, DocumentGone):
            return None

    async def _tell_later(self, event: OpenedEvent, step: TakeStep, taken: list[Taken], *, key: str) -> None:
        told = TellStep(notice=step.notice, user=step.user, lane=step.lane, channels=step.channels, taken=tuple(taken))
        assert event.row.lane is not None
        await self.steps.queue(event.route, key=key, lane=event.row.lane, body=_as_body(told))

    async def _wait_on(self, event: OpenedEvent, step: TellStep) -> Outcome:
        """Come back for the same, soon at first and then more rarely."""
        if event.row.waited_seconds > _ROUND_SECONDS:
            later = step.model_copy(update={"round": step.round + 1})
            key = f"{event.row.event_key.partition('#')[0]}#{later.round}"
            assert event.row.lane is not None
            await self.steps.queue(event.route, key=key, lane=event.row.lane, body=_as_body(later))
            return Outcome("done", "its documents are still being read")
        pause = _pause_after(step.round * _ROUND_SECONDS + event.row.waited_seconds)
        return Outcome("release", "its documents are being read", pause)

    async def _show_progress(
        self, event: OpenedEvent, step: TellStep, credentials: BotCredentials, *, names: list[str], progress: int
    ) -> None:
        """Say how far the reading is, where there is a message that can say so."""
        now = asyncio.get_running_loop().time()
        key = (str(event.row.tenant_id), event.row.id)
        shown, shown_at = self._shown.get(key, ("", now))
        if len(self._shown) > _MOST_SHOWN:
            self._shown.clear()
        self._shown.setdefault(key, (shown, shown_at))
        if step.notice.ts is None or not progress or now - shown_at < _PROGRESS_SECONDS:
            return
        text = words.reading_words(names, only_here=step.lane is not None, progress=progress)
        if text != shown:
            self._shown[key] = (text, now)
            await self._show(step.notice, words.report([text]), credentials)

    async def _show(self, notice: Notice, report: words.Report, credentials: BotCredentials) -> None:
        text, blocks = report.text, report.blocks
        try:
            if notice.channel is None:
                assert notice.response_url is not None
                await self._slack.respond(notice.response_url, text=text, blocks=blocks)
            elif notice.ts is None:
                await self.client(credentials).post_message(
                    channel=notice.channel, thread_ts=notice.thread_ts, text=text, blocks=blocks
                )
            else:
                await self.client(credentials).update_message(
                    channel=notice.channel, ts=notice.ts, text=text, blocks=blocks
                )
        except SlackRefused as error:
            # The message was deleted, the channel is gone, or the response URL is used up: nobody is left to be told.
            log.info("What became of shared files could not be told: %s", error.message)

    async def _may_manage(self, question: Question, credentials: BotCredentials) -> bool:
        if question.channel_type != "im" or question.is_external:
            return False
        return await self.managers.may_manage(question.asker, team_id=None, credentials=credentials)


def shared_files(message: Mapping[str, Any]) -> list[tuple[SharedFile, dict[str, Any]]]:
    """The files in a message, each with the object that described it."""
    files = message.get("files")
    listed = [file for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    return [(read, given) for given in listed if (read := SharedFile.read(given)) is not None]


def is_question_of_its_own(event_key: str) -> bool:
    """Whether an event is the question of a message whose files were confirmed before."""
    return event_key.startswith(QUESTION_KEY)


def _as_body(step: TakeStep | TellStep) -> bytes:
    return step.model_dump_json().encode("utf-8", "replace")


def _outcome(added: Added, event: OpenedEvent, step: TakeStep) -> AddOutcome:
    """What adding came to; what an attempt that died has added is new all the same."""
    document = added.document
    is_ours = document.source == "slack" and document.added_by == step.user
    if added.outcome == "same" and is_ours and document.added_at >= event.row.received_at:
        return "new"
    return added.outcome


def _told(step: TellStep, found: list[tuple[Taken, Document | None]]) -> words.Report:
    lines: list[str] = []
    undoable: list[UUID] = []
    for taken, document in found:
        if taken.document_id is None:
            lines.append(words.failed_line(taken.name, taken.reason))
        elif document is None:
            lines.append(words.gone_line(taken.name))
        else:
            state = words.state_of(document, taken.version)
            match state.state:
                case "failed":
                    lines.append(words.failed_line(taken.name, state.reason))
                case "superseded":
                    lines.append(words.superseded_line(taken.name))
                case _:
                    lines.append(words.added_line(document, taken.outcome, lane=step.lane, channels=step.channels))
                    if step.lane is None and taken.outcome != "same":
                        undoable.append(document.id)
    if step.lane is not None and any(taken.document_id is not None for taken in step.taken):
        lines.append(words.ONLY_HERE)
    return words.report(lines, action=UNDO_ACTION, documents=undoable)


def _pause_after(waited: float) -> float:
    return next((pause for until, pause in _LOOKS if waited < until), _RARE_LOOK_SECONDS)
