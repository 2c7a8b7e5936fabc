"""Agent sessions: one status and one title for each thread, shared with the older assistant calls."""

from __future__ import annotations

from enablebot.sandbox.changes import Changes
from enablebot.sandbox.clock import Clock
from enablebot.sandbox.world import Session, World

STATUSES = ("active", "processing", "suspended", "closed")
_PROCESSING_SECONDS = 3600.0
_LINE_SECONDS = 120.0


class Sessions:
    """The sessions of all threads; a status that timed out reads as it would in Slack."""

    def __init__(self, *, world: World, clock: Clock, changes: Changes) -> None:
        self._world = world
        self._clock = clock
        self._changes = changes

    def find(self, channel: str, thread_ts: str) -> Session | None:
        session = self._world.sessions.get(f"{channel}:{thread_ts}")
        now = self._clock.now()
        if session and session.status_until and now >= session.status_until:
            session.status, session.status_until = "active", None
        if session and session.line_until and now >= session.line_until:
            session.line, session.line_until = "", None
        return session

    def set_status(self, *, channel: str, thread_ts: str, status: str, title: str = "", initiator: str = "") -> Session:
        """Sets the status, creating the session; a title and initiator count at creation only."""
        session = self._ensure(channel, thread_ts, title=title, initiator=initiator)
        session.status = status
        session.status_until = self._clock.now() + _PROCESSING_SECONDS if status == "processing" else None
        if status != "processing":
            session.line, session.line_until, session.loading_messages = "", None, []
        self._tell(session)
        return session

    def set_line(self, *, channel: str, thread_ts: str, line: str, loading_messages: list[str]) -> Session:
        """The older free text; it moves the session's status along."""
        session = self.set_status(channel=channel, thread_ts=thread_ts, status="processing" if line else "active")
        session.line, session.loading_messages = line, loading_messages if line else []
        session.line_until = self._clock.now() + _LINE_SECONDS if line else None
        self._tell(session)
        return session

    def rename(self, *, channel: str, thread_ts: str, title: str) -> Session:
        session = self._ensure(channel, thread_ts)
        session.title = title
        self._tell(session)
        return session

    def replied(self, *, channel: str, thread_ts: str | None) -> None:
        """The app answered in a thread: its older status line goes."""
        session = self.find(channel, thread_ts) if thread_ts else None
        if session and session.line:
            session.line, session.line_until, session.loading_messages = "", None, []
            self._tell(session)

    def _ensure(self, channel: str, thread_ts: str, *, title: str = "", initiator: str = "") -> Session:
        session = self.find(channel, thread_ts)
        if session is None:
            root = self._world.log(channel).visible(thread_ts)
            session = Session(channel, thread_ts, title=title, initiator=initiator or (root.user if root else ""))
            self._world.sessions[f"{channel}:{thread_ts}"] = session
        return session

    def _tell(self, session: Session) -> None:
        team = self._world.channels[session.channel].team
        self._changes.publish("status", team=team, channel=session.channel, thread_ts=session.thread_ts)
