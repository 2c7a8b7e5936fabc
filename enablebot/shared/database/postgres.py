"""The transport straight to Postgres: asyncpg, one prepared statement per function."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import asyncpg
import orjson

from enablebot.shared.database import errors
from enablebot.shared.database.connections import Connection, Connections
from enablebot.shared.database.transport import Argument, Json
from enablebot.shared.errors import DatabaseError

_CONNECT_SECONDS = 5.0
_FOREIGN_OPTIONS = frozenset({"pgbouncer", "connection_limit", "pool_timeout", "supa"})
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, ValueError)


class PostgresTransport:
    """Calls functions over a few connections; nothing is ever sent twice."""

    def __init__(
        self,
        connections: Connections,
        *,
        timeout_seconds: float,
        on_close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._connections = connections
        self._timeout = timeout_seconds
        self._on_close = on_close
        self._statements: dict[tuple[str, ...], str] = {}

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        pool_size: int = 10,
        timeout_seconds: float = 10.0,
        on_close: Callable[[], Awaitable[None]] | None = None,
    ) -> Self:
        """Open the first of `pool_size` connections, so that a wrong address shows at once.

        `timeout_seconds` bounds a call with its wait for a free connection. `on_close` runs after the last connection
        is closed. Raises DatabaseError and its kinds.
        """

        async def open_connection() -> Connection:
            connection = await asyncpg.connect(
                without_foreign_options(url),
                timeout=_CONNECT_SECONDS,
                # A transaction pooler hands the next statement to another backend, which never saw it prepared.
                statement_cache_size=0 if is_transaction_pooler(url) else 100,
                max_cached_statement_lifetime=0,
            )
            await _decode_jsonb(connection)
            return connection

        transport = cls(
            Connections(open_connection, size=pool_size), timeout_seconds=timeout_seconds, on_close=on_close
        )
        await transport.ping()
        return transport

    async def call(self, function: str, arguments: Mapping[str, Argument]) -> Json:
        """Call a function in a transaction of its own."""
        return await self._fetch(function, self._statement(function, arguments), *arguments.values())

    async def ping(self) -> None:
        """Ask for nothing and wait for the answer."""
        await self._fetch("ping", "select null")

    async def aclose(self) -> None:
        """Close the connections; calls under way get as long as a call may take."""
        try:
            await self._connections.aclose(grace_seconds=self._timeout)
        finally:
            if self._on_close is not None:
                await self._on_close()

    async def _fetch(self, function: str, statement: str, *values: Argument) -> Json:
        try:
            async with asyncio.timeout(self._timeout), self._connections.lend() as connection:
                return await connection.fetchval(statement, *values)
        except _FAILURES as error:
            raise _translated(error, function) from error

    def _statement(self, function: str, arguments: Mapping[str, Argument]) -> str:
        key = (function, *arguments)
        if key not in self._statements:
            # Names come from the Database class; values travel as parameters, whose types Postgres knows from the
            # function, which has no overloads.
            named = ", ".join(f"{name} => ${place}" for place, name in enumerate(arguments, 1))
            self._statements[key] = f"select enablebot.{function}({named})"
        return self._statements[key]


def is_transaction_pooler(url: str) -> bool:
    """Say whether a URL leads to a pooler that gives every transaction another backend (Supabase's port 6543)."""
    parts = urlsplit(url)
    return parts.port == 6543 or ("pgbouncer", "true") in parse_qsl(parts.query)


def without_foreign_options(url: str) -> str:
    """Drop what providers add to connection strings for other clients; Postgres would refuse it as a setting."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query) if name not in _FOREIGN_OPTIONS]
    return urlunsplit(parts._replace(query=urlencode(kept, quote_via=quote)))


async def _decode_jsonb(connection: Connection) -> None:
    # The binary form is the text after one byte of version.
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(data[1:]),
    )


def _translated(error: Exception, function: str) -> DatabaseError:
    match error:
        case asyncpg.PostgresError():
            return errors.translate(error.sqlstate, function=function)
        case ValueError():
            return errors.refused(function)
        case _:
            return errors.unavailable(function)
