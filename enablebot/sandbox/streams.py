"""Messages written while people watch: in_progress, then completed, stopped_by_user or expired, and never back."""

from __future__ import annotations

import asyncio
from typing import Any

from enablebot.sandbox.announcing import Announcer
from enablebot.sandbox.changes import Changes
from enablebot.sandbox.clock import Clock
from enablebot.sandbox.messages import Block, Message
from enablebot.sandbox.refusal import Refused
from enablebot.sandbox.sessions import Sessions
from enablebot.sandbox.world import Stream, World

Chunk = dict[str, Any]


class Streams:
    """Starts, feeds and ends streams; a stream's age is looked at on every touch, and by a timer for live pages."""

    def __init__(
        self,
        *,
        world: World,
        clock: Clock,
        changes: Changes,
        announcer: Announcer,
        sessions: Sessions,
        lifetime: float,
    ) -> None:
        self._world = world
        self._clock = clock
        self._changes = changes
        self._announcer = announcer
        self._sessions = sessions
        self._lifetime = lifetime
        self._timers: dict[str, asyncio.Handle] = {}

    def watch(self) -> None:
        """Sets the timers of the streams that an earlier start left running."""
        for stream in self._world.streams.values():
            if stream.state == "in_progress":
                self._set_timer(stream)

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def start(self, message: Message, chunks: list[Chunk], *, recipient: str | None) -> None:
        """Takes a message just made as the beginning of a stream."""
        stream = Stream(message.channel, message.ts, message.team, self._clock.now(), recipient)
        self._world.streams[_key(message.channel, message.ts)] = stream
        self._set_timer(stream)
        message.streaming_state = "in_progress"
        message.markdown = True
        _write(message, chunks)
        if message.thread_ts:
            self._sessions.set_status(channel=message.channel, thread_ts=message.thread_ts, status="processing")

    def writable(self, message: Message) -> Stream:
        """The running stream of a message; refuses when there is none."""
        stream = self._world.streams.get(_key(message.channel, message.ts))
        if stream is None or self._aged(stream).state in ("completed", "expired"):
            raise Refused("message_not_in_streaming_state")
        return stream

    def is_running(self, message: Message) -> bool:
        stream = self._world.streams.get(_key(message.channel, message.ts))
        return stream is not None and self._aged(stream).state == "in_progress"

    def append(self, message: Message, chunks: list[Chunk]) -> None:
        if self.writable(message).state == "stopped_by_user":
            raise Refused("stopped_by_user")
        _write(message, chunks)
        self._changes.publish("changed", team=message.team, **_where(message))

    def stop(
        self,
        message: Message,
        chunks: list[Chunk],
        *,
        blocks: list[Block] | None,
        metadata: dict[str, Any] | None,
        session_status: str,
    ) -> None:
        """Ends a stream for good; `blocks` go below what was written."""
        stream = self.writable(message)
        if stream.state == "stopped_by_user":
            raise Refused("message_not_in_streaming_state")
        before = self._announcer.picture(message)
        _write(message, chunks)
        if blocks:
            message.blocks = [*(message.blocks or []), *blocks]
        message.metadata = metadata or message.metadata
        self._end(stream, message, before, state="completed", shown="completed", status=session_status)

    def stop_by_user(self, channel: str, thread_ts: str) -> list[str]:
        """A person's stop button: ends the thread's streams, leaves the session's status to the app."""
        stopped = []
        for stream in list(self._world.streams.values()):
            message = self._world.log(stream.channel).visible(stream.ts)
            if stream.channel != channel or message is None or thread_ts not in (message.thread_ts, message.ts):
                continue
            if self._aged(stream).state == "in_progress":
                before = self._announcer.picture(message)
                self._end(stream, message, before, state="stopped_by_user", shown="completed", status=None)
                stopped.append(stream.ts)
        return stopped

    def age(self) -> None:
        """Ends the streams that outlived their time."""
        for stream in list(self._world.streams.values()):
            self._aged(stream)

    def _set_timer(self, stream: Stream) -> None:
        left = stream.started_at + self._lifetime - self._clock.now()
        timer = asyncio.get_running_loop().call_later(max(0.001, left), self._ring, stream)
        self._timers[_key(stream.channel, stream.ts)] = timer

    def _ring(self, stream: Stream) -> None:
        self._timers.pop(_key(stream.channel, stream.ts), None)
        # The loop's clock and ours differ by a little, and ours can be moved.
        if self._aged(stream).state == "in_progress":
            self._set_timer(stream)

    def _aged(self, stream: Stream) -> Stream:
        if stream.state == "in_progress" and self._clock.now() - stream.started_at >= self._lifetime:
            message = self._world.log(stream.channel).visible(stream.ts)
            if message is None:
                stream.state = "expired"
            else:
                before = self._announcer.picture(message)
                self._end(stream, message, before, state="expired", shown="errored", status="active")
        return stream

    def _end(
        self, stream: Stream, message: Message, before: dict[str, Any], *, state: Any, shown: str, status: str | None
    ) -> None:
        stream.state = state
        message.streaming_state = shown
        if message.thread_ts and status:
            self._sessions.set_status(channel=message.channel, thread_ts=message.thread_ts, status=status)
        self._announcer.changed(message, previous=before)
        self._changes.publish("changed", team=message.team, **_where(message))


def _key(channel: str, ts: str) -> str:
    return f"{channel}:{ts}"


def _where(message: Message) -> dict[str, Any]:
    return {"channel": message.channel, "ts": message.ts, "thread_ts": message.thread_ts}


def _write(message: Message, chunks: list[Chunk]) -> None:
    for chunk in chunks:
        if chunk["type"] == "markdown_text":
            message.text += chunk["text"]
        elif chunk["type"] == "task_update":
            _write_task(message, chunk)
        elif chunk["type"] == "plan_update":
            message.plan = chunk["title"]
        else:
            message.blocks = [*(message.blocks or []), *chunk["blocks"]]


def _write_task(message: Message, chunk: Chunk) -> None:
    """`title`, `status` and `sources` replace, `details` grows, `output` is written once."""
    card = next((card for card in message.tasks if card["task_id"] == chunk["id"]), None)
    if card is None:
        card = {"task_id": chunk["id"]}
        message.tasks.append(card)
    for name in ("title", "status", "sources"):
        if chunk.get(name):
            card[name] = chunk[name]
    if chunk.get("details"):
        card["details"] = card.get("details", "") + chunk["details"]
    if chunk.get("output"):
        card.setdefault("output", chunk["output"])
