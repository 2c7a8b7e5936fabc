"""An answer on its way into Slack: takes text as it comes, and shows it at the pace Slack and readers allow.

`run` is the only place that calls Slack; `add`, `end`, `start_over` and `stop` only tell it what is new, so that the
model goes on while Slack makes us wait.
"""

import asyncio
import re
from collections.abc import Sequence

from enablebot.api.answering.messages import (
    Desk,
    EditRefused,
    Message,
    PostedMessage,
    StoppedByPerson,
    StreamBroken,
    StreamedMessage,
    StreamingRefused,
)
from enablebot.api.answering.pace import Pace
from enablebot.api.answering.reasons import SURPLUS_PART
from enablebot.api.answering.split import SOFT_LIMIT, Cut, cut, cut_at

_MANY_CHARACTERS = 200
_FIRST_PIECES = 10
_SENTENCE = re.compile(r"[.!?:]\s|[。！？]|\n")
_SEAM = re.compile(r"\n\n|[.!?]\s|\s")


class Reply:
    """One answer's messages. `adopted` are those an earlier attempt left behind: they get the whole text at the end."""

    def __init__(self, desk: Desk, *, pace: Pace, streams: bool, adopted: Sequence[PostedMessage] = ()) -> None:
        self._desk = desk
        self._pace = pace
        self._streams = streams and not adopted
        self._messages: list[Message] = list(adopted)
        self._current = 0
        # Half a message that is replaced piece by piece would shrink before it grows.
        self._held = bool(adopted)
        self._text = ""
        self._start = 0
        self._reopening = ""
        self._sent_to = 0
        self._pieces = 0
        self._last_sent = 0.0
        self._opened_at = 0.0
        self._first_text_at: float | None = None
        self._ended = False
        self._over = False
        self._stopping = False
        self._news = asyncio.Event()

    @property
    def text(self) -> str:
        """All text so far."""
        return self._text

    @property
    def shown(self) -> str:
        """The text that has reached Slack."""
        return self._text[: self._sent_to]

    @property
    def stopped(self) -> bool:
        """Whether a person ended this answer; what was shown then is all of it."""
        return self._stopping

    def add(self, text: str) -> None:
        """More text, already guarded."""
        if text:
            if self._first_text_at is None:
                self._first_text_at = asyncio.get_running_loop().time()
            self._text += text
            self._news.set()

    def end(self) -> None:
        """No more text will come: `run` shows the rest and returns."""
        self._ended = True
        self._news.set()

    def start_over(self) -> None:
        """Forget the text. What was shown is replaced by the new text once that is whole."""
        self._text = ""
        self._first_text_at = None
        self._over = True
        self._news.set()

    def stop(self) -> None:
        """A person wants no more of this answer."""
        self._stopping = True
        self._news.set()

    async def run(self) -> None:
        """Show the text until its end. Raises Unresolved and the SlackError tree; cancelling leaves it to be healed."""
        try:
            while True:
                await self._until_due()
                if self._stopping:
                    break
                if self._over:
                    await self._rewind()
                elif await self._step():
                    await self._cover_surplus()
                    return
        except StoppedByPerson:
            self._stopping = True
        await self._leave()

    async def _step(self) -> bool:
        """Show what is new; True once all of it is shown."""
        ended, text = self._ended, self._text
        body = self._reopening + text[self._start :]
        found = cut(body) or self._rollover(body)
        if found is not None:
            if await self._deliver(body[: found.end] + found.closing, whole=True):
                self._start += found.end - len(self._reopening)
                self._reopening = found.reopening
                self._sent_to = self._start
                self._current += 1
            return False
        if not ended:
            # What lies beyond may still have to go into the next message, and a stream takes nothing back.
            if await self._deliver(body[:SOFT_LIMIT], whole=False):
                self._sent_to = len(text)
            return False
        if body[len(self._reopening) :].strip():
            if not await self._deliver(body, whole=True):
                return False
            self._current += 1
        self._sent_to = len(text)
        return not self._over

    async def _deliver(self, body: str, *, whole: bool) -> bool:
        """Bring the current message to `body`; False where it takes no more and the next one has to."""
        if self._current >= len(self._messages):
            self._messages.append(await self._open(body))
            self._opened_at = asyncio.get_running_loop().time()
            if not whole:
                self._note_sent()
                return True
        message = self._messages[self._current]
        try:
            await (message.close(body) if whole else message.show(body))
        except StreamBroken:
            assert isinstance(message, StreamedMessage)
            self._streams = False
            posted = await message.stopped()
            self._messages[self._current] = posted
            await (posted.close(body) if whole else posted.show(body))
        except EditRefused:
            await self._freeze(message, body)
            return False
        self._note_sent()
        return True

    async def _open(self, body: str) -> Message:
        part = len(self._messages)
        if self._streams:
            try:
                return await StreamedMessage.open(self._desk, part=part, text=body)
            except StreamingRefused:
                self._streams = False
        return await PostedMessage.open(self._desk, part=part, text=body)

    async def _freeze(self, message: Message, body: str) -> None:
        """A message that cannot be edited keeps what it shows; the rest follows in another one, when it is whole."""
        await self._desk.journal.record(message.part, "closed")
        shown = message.shown
        if shown is not None and body.startswith(shown):
            self._start += max(0, len(shown) - len(self._reopening))
            self._reopening = ""
        self._current += 1
        self._held = True

    def _rollover(self, body: str) -> Cut | None:
        """Where to end a stream that gets too old, while something of it is still unsent."""
        message = self._messages[self._current] if self._current < len(self._messages) else None
        if not isinstance(message, StreamedMessage) or self._ended:
            return None
        if asyncio.get_running_loop().time() - self._opened_at < self._pace.rollover:
            return None
        seams = [found.end() for found in _SEAM.finditer(body, len(message.shown))]
        return cut_at(body, seams[-1] if seams else len(body))

    async def _rewind(self) -> None:
        """Turn every message into one that is replaced when the new text is whole."""
        self._over = False
        for place, message in enumerate(self._messages):
            if isinstance(message, StreamedMessage):
                self._messages[place] = await message.stopped()
            else:
                message.shown = None
            # A message that was whole holds words of another answer now.
            await self._desk.journal.reopen(message.part)
        self._held = bool(self._messages)
        self._streams = self._streams and not self._messages
        self._current = self._start = self._sent_to = self._pieces = 0
        self._reopening = ""

    async def _cover_surplus(self) -> None:
        """Messages of an earlier attempt that the new text does not need."""
        for message in self._messages[self._current :]:
            if isinstance(message, PostedMessage):
                try:
                    await message.close(SURPLUS_PART)
                except (EditRefused, StoppedByPerson):
                    await self._desk.journal.record(message.part, "closed")

    async def _leave(self) -> None:
        """End what is open, and leave every message as it is."""
        for message in self._messages:
            if isinstance(message, StreamedMessage):
                await message.stopped()
            await self._desk.journal.record(message.part, "closed")

    def _note_sent(self) -> None:
        self._pieces += 1
        self._last_sent = asyncio.get_running_loop().time()

    async def _until_due(self) -> None:
        while not (self._ended or self._over or self._stopping):
            self._news.clear()
            wait = self._wait()
            if wait is not None and wait <= 0:
                return
            try:
                async with asyncio.timeout(wait):
                    await self._news.wait()
            except TimeoutError:
                continue

    def _wait(self) -> float | None:
        """Seconds until something should be shown; None while there is nothing to show."""
        unsent = len(self._text) - self._sent_to
        if self._held or unsent <= 0:
            return None
        now = asyncio.get_running_loop().time()
        pace = self._pace
        if self._current >= len(self._messages):
            text = self._text[self._start :]
            if not text.strip():
                return None
            if self._streams or self._current > 0 or _SENTENCE.search(text):
                return 0.0
            return (self._first_text_at or now) + pace.first_post - now
        if isinstance(self._messages[self._current], StreamedMessage):
            interval = pace.append if self._pieces < _FIRST_PIECES else pace.append_later
            if unsent >= _MANY_CHARACTERS:
                interval /= 2
            return max(self._last_sent + interval - now, self._desk.calls.left("chat.appendStream"))
        return max(self._last_sent + pace.edit - now, self._desk.calls.left("chat.update"))
