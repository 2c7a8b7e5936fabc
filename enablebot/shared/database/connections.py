"""The connections of one process to Postgres: lent one call at a time, given back as they are.

asyncpg's own pool spends more than half of a small call on resetting sessions and on timers; our calls leave nothing
behind in a session that needs resetting.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# Firewalls and poolers forget quiet connections after some minutes, without telling either end.
_IDLE_SECONDS = 300.0
_FAREWELL_SECONDS = 5.0


class Connections:
    """At most `size` connections, the one used last lent first; a lost one is replaced when it is needed."""

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], *, size: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connect = connect
        self._size = size
        self._clock = clock
        self._places = asyncio.Semaphore(size)
        self._free: list[tuple[float, Connection]] = []
        self._lent: set[Connection] = set()
        self._farewells: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Connection]:
        """Lend a connection, waiting for one as long as the caller's deadline allows."""
        async with self._places:
            connection = self._pick() or await self._connect()
            self._lent.add(connection)
            try:
                yield connection
            except asyncpg.PostgresError:
                # The server answered, so the connection is as good as before.
                self._give_back(connection)
                raise
            except BaseException:
                # An unfinished call: asyncpg has asked the server to cancel it, and closing waits for that.
                self._part_with(connection)
                raise
            else:
                self._give_back(connection)

    async def aclose(self, *, grace_seconds: float) -> None:
        """Close everything; calls under way get some seconds to end."""
        try:
            async with asyncio.timeout(grace_seconds):
                for _ in range(self._size):
                    await self._places.acquire()
        except TimeoutError:
            for connection in self._lent:
                connection.terminate()
        while self._free:
            self._part_with(self._free.pop()[1])
        await asyncio.gather(*self._farewells)

    def _pick(self) -> "Connection | None":
        while self._free:
            since, connection = self._free.pop()
            if connection.is_closed():
                continue
            if self._clock() - since < _IDLE_SECONDS:
                return connection
            self._part_with(connection)
        return None

    def _give_back(self, connection: Connection) -> None:
        self._lent.discard(connection)
        if connection.is_closed():
            return
        now = self._clock()
        self._free.append((now, connection))
        # Those used least gather at the front.
        while now - self._free[0][0] >= _IDLE_SECONDS:
            self._part_with(self._free.pop(0)[1])

    def _part_with(self, connection: Connection) -> None:
        self._lent.discard(connection)
        if not connection.is_closed():
            farewell = asyncio.create_task(_close(connection))
            self._farewells.add(farewell)
            farewell.add_done_callback(self._farewells.discard)


async def _close(connection: Connection) -> None:
    try:
        await connection.close(timeout=_FAREWELL_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        # It was lost already, or does not answer; close() has cut it off.
        connection.terminate()
