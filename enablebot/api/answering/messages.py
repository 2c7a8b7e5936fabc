"""One Slack message while it is being written: streamed, or posted and then edited."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from enablebot.api.answering.calls import PatientCalls
from enablebot.api.answering.healing import Evidence, metadata_of, opened_once
from enablebot.api.answering.journal import Entry, Journal
from enablebot.shared.errors import SlackRateLimited, SlackRefused, SlackUnknownOutcome, SlackUnreachable
from enablebot.shared.models.question import Question
from enablebot.shared.slack.client import SlackClient

Send = Callable[[], Awaitable[str]]

# A stream that has to wait longer than this for its start is worth less than a post at once.
_STREAM_PATIENCE_SECONDS = 2.0

_TAKEN_AWAY = frozenset({"message_not_found", "stopped_by_user"})


class StreamingRefused(Exception):
    """No stream can be opened here; a post may."""


class StreamBroken(Exception):
    """This stream takes no more text, or it is unknown what it took."""


class EditRefused(Exception):
    """This message cannot be edited; what it shows stays."""


class StoppedByPerson(Exception):
    """A person pressed stop, or deleted the message."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What writing one answer into Slack takes."""

    client: SlackClient
    question: Question
    journal: Journal
    evidence: Evidence
    calls: PatientCalls

    async def open(self, entry: Entry, method: str, send: Send, *, patience: float | None = None) -> str:
        """Open a message exactly once and record it; returns its `ts`."""
        ts = await opened_once(entry, method, send, calls=self.calls, evidence=self.evidence, patience=patience)
        await self.journal.record(entry.part, "open", ts)
        return ts


class PostedMessage:
    """A message that is edited as the answer grows; `shown` is None while its content is unknown."""

    def __init__(self, desk: Desk, *, part: int, ts: str, shown: str | None) -> None:
        self._desk = desk
        self.part = part
        self.ts = ts
        self.shown = shown

    @classmethod
    async def open(cls, desk: Desk, *, part: int, text: str) -> "PostedMessage":
        """Post the message. Raises Unresolved and the SlackError tree."""
        entry = await desk.journal.intend(part, "post")
        ts = await desk.open(
            entry,
            "chat.postMessage",
            lambda: desk.client.post_message(
                channel=desk.question.channel,
                thread_ts=desk.question.thread_ts,
                markdown_text=text,
                metadata=metadata_of(desk.journal.answer_id, part),
            ),
        )
        return cls(desk, part=part, ts=ts, shown=text)

    async def show(self, text: str) -> None:
        """Make this the message's whole content. Raises EditRefused, StoppedByPerson and the SlackError tree."""
        if text == self.shown:
            return
        try:
            await self._edit(text)
        except SlackRefused as error:
            if error.slack_code == "streaming_state_conflict":
                await stop_quietly(self._desk, self.ts, part=self.part)
                await self._edit_again(text)
            else:
                raise _edit_refused(error) from error
        self.shown = text

    async def close(self, text: str) -> None:
        """Show the last of it and record that the message is whole."""
        await self.show(text)
        await self._desk.journal.record(self.part, "closed")

    async def _edit_again(self, text: str) -> None:
        try:
            await self._edit(text)
        except SlackRefused as error:
            raise _edit_refused(error) from error

    async def _edit(self, text: str) -> None:
        desk = self._desk
        await desk.calls.repeatably(
            "chat.update",
            lambda: desk.client.update_message(
                channel=desk.question.channel,
                ts=self.ts,
                markdown_text=text,
                metadata=metadata_of(desk.journal.answer_id, self.part),
            ),
        )


class StreamedMessage:
    """A message that grows by appended pieces; `shown` is what it surely holds."""

    def __init__(self, desk: Desk, *, part: int, ts: str, shown: str) -> None:
        self._desk = desk
        self.part = part
        self.ts = ts
        self.shown = shown

    @classmethod
    async def open(cls, desk: Desk, *, part: int, text: str) -> "StreamedMessage":
        """Start the stream with its first text. Raises StreamingRefused, Unresolved and the SlackError tree."""
        if desk.calls.left("chat.startStream") > _STREAM_PATIENCE_SECONDS:
            raise StreamingRefused
        question = desk.question
        entry = await desk.journal.intend(part, "stream")
        try:
            ts = await desk.open(
                entry,
                "chat.startStream",
                lambda: desk.client.start_stream(
                    channel=question.channel,
                    thread_ts=question.thread_ts,
                    recipient_user_id=question.asker,
                    recipient_team_id=question.asker_team or question.team_id,
                    markdown_text=text,
                ),
                patience=_STREAM_PATIENCE_SECONDS,
            )
        except (SlackRefused, SlackRateLimited) as error:
            raise StreamingRefused from error
        return cls(desk, part=part, ts=ts, shown=text)

    async def show(self, text: str) -> None:
        """Append what is new in `text`. Raises StreamBroken and StoppedByPerson."""
        rest = text[len(self.shown) :]
        if not rest:
            return
        desk = self._desk
        try:
            await desk.calls.once(
                "chat.appendStream",
                lambda: desk.client.append_stream(channel=desk.question.channel, ts=self.ts, markdown_text=rest),
            )
        except SlackRefused as error:
            if error.slack_code in _TAKEN_AWAY:
                raise StoppedByPerson from error
            raise StreamBroken from error
        # Never repeated: a piece that was appended twice cannot be taken back.
        except (SlackUnknownOutcome, SlackUnreachable, SlackRateLimited) as error:
            raise StreamBroken from error
        self.shown = text

    async def close(self, text: str) -> None:
        """Append the last of it, end the stream and record that the message is whole.

        Apart: only an append tells that a person has stopped the stream, and only a stop without text may be repeated.
        """
        await self.show(text)
        await stop_quietly(self._desk, self.ts, part=self.part)
        await self._desk.journal.record(self.part, "closed")

    async def stopped(self) -> PostedMessage:
        """End the stream with what it holds, and go on by editing the message."""
        await stop_quietly(self._desk, self.ts, part=self.part)
        return PostedMessage(self._desk, part=self.part, ts=self.ts, shown=None)


Message = PostedMessage | StreamedMessage


async def stop_quietly(desk: Desk, ts: str, *, part: int) -> None:
    """End a stream if it still is one, and mark it as ours, which its start could not."""
    metadata = metadata_of(desk.journal.answer_id, part)
    # A refusal says that it is not streaming any more, which is all we want.
    with suppress(SlackRefused):
        await desk.calls.repeatably(
            "chat.stopStream",
            lambda: desk.client.stop_stream(channel=desk.question.channel, ts=ts, metadata=metadata),
        )


def _edit_refused(error: SlackRefused) -> Exception:
    return StoppedByPerson() if error.slack_code in _TAKEN_AWAY else EditRefused()
