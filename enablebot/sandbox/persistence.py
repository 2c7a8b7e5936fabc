"""The world in one file, so that a second start still knows who installed the app."""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from enablebot.sandbox.messages import Message, MessageLog
from enablebot.sandbox.world import Channel, File, Install, Session, Stream, Team, Token, User, World

_QUIET_SECONDS = 0.2
_TABLES: dict[str, Any] = {
    "teams": Team,
    "users": User,
    "channels": Channel,
    "installs": Install,
    "tokens": Token,
    "files": File,
    "streams": Stream,
    "sessions": Session,
}


def dump(world: World) -> dict[str, Any]:
    """The world as JSON values."""
    picture: dict[str, Any] = {
        table: {key: asdict(row) for key, row in getattr(world, table).items()} for table in _TABLES
    }
    picture["messages"] = {channel: [asdict(m) for m in log.by_ts.values()] for channel, log in world.logs.items()}
    picture["prompts"], picture["views"] = world.prompts, world.views
    return picture


def load(picture: dict[str, Any]) -> World:
    """The world a file describes; raises TypeError or KeyError when it describes none."""
    world = World()
    for table, row_type in _TABLES.items():
        # A world written before there were files has none.
        rows = picture.get(table, {}) if table == "files" else picture[table]
        setattr(world, table, {key: row_type(**row) for key, row in rows.items()})
    for channel, messages in picture["messages"].items():
        log = world.logs[channel] = MessageLog()
        for message in messages:
            log.add(Message(**message))
    world.prompts, world.views = picture["prompts"], picture["views"]
    return world


class WorldFile:
    """`world.json` in the data directory, always whole: written beside, synced, then renamed."""

    def __init__(self, data_dir: Path | None) -> None:
        self._path = data_dir / "world.json" if data_dir else None
        self._pending: asyncio.TimerHandle | None = None

    def read(self) -> World | None:
        """What an earlier start left, or None."""
        if self._path is None or not self._path.exists():
            return None
        try:
            return load(orjson.loads(self._path.read_bytes()))
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise SystemExit(
                f"{self._path} is not a sandbox's world ({error}). Delete it to start with fresh workspaces."
            ) from error

    def write(self, world: World) -> None:
        """Writes now; nothing when the sandbox lives in memory."""
        if self._pending:
            self._pending.cancel()
            self._pending = None
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=self._path.parent, prefix=".world-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(orjson.dumps(dump(world)))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            Path(draft).unlink()
            raise
        Path(draft).replace(self._path)

    def write_soon(self, world: World) -> None:
        """Writes once the talk pauses, so that a stream does not write the file at each word."""
        if self._path is not None and self._pending is None:
            self._pending = asyncio.get_running_loop().call_later(_QUIET_SECONDS, self.write, world)
