"""The transport straight to Postgres: an asyncpg pool, one prepared statement per function."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Self
from urllib.parse import parse_qs, urlsplit

import asyncpg
import orjson

from enablebot.shared.database import errors
from enablebot.shared.database.transport import Argument, Json

_CONNECT_SECONDS = 5.0


class PostgresTransport:
    """Calls functions over a pool of connections; a connection lost is replaced at the next call."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        *,
        timeout_seconds: float,
        on_close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._pool = pool
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
        """Open a pool and one connection, so that a wrong address shows at once; raises DatabaseError and its kinds.

        `timeout_seconds` bounds both the wait for a free connection and the call itself.
        """
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=pool_size,
                timeout=_CONNECT_SECONDS,
                command_timeout=timeout_seconds,
                # A transaction pooler hands the next statement to another backend, which never saw it prepared.
                statement_cache_size=0 if is_transaction_pooler(url) else 100,
                max_cached_statement_lifetime=0,
                init=_decode_jsonb,
                reset=_keep,
            )
        except Exception as error:
            raise _translated(error, "connect") from error
        return cls(pool, timeout_seconds=timeout_seconds, on_close=on_close)

    async def call(self, function: str, arguments: Mapping[str, Argument]) -> Json:
        """Call a function in a transaction of its own."""
        return await self._fetch(function, self._statement(function, arguments), *arguments.values())

    async def ping(self) -> None:
        """Ask for nothing and wait for the answer."""
        await self._fetch("ping", "select null")

    async def aclose(self) -> None:
        """Close the pool; calls under way get as long as a call may take."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()
        finally:
            if self._on_close is not None:
                await self._on_close()

    async def _fetch(self, function: str, statement: str, *values: Argument) -> Json:
        try:
            async with self._pool.acquire(timeout=self._timeout) as connection:
                return await connection.fetchval(statement, *values)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
            raise _translated(error, function) from error

    def _statement(self, function: str, arguments: Mapping[str, Argument]) -> str:
        key = (function, *arguments)
        if key not in self._statements:
            # Identifiers come from the Database class, values only as parameters.
            named = ", ".join(f"{name} => ${place}" for place, name in enumerate(arguments, 1))
            self._statements[key] = f"select enablebot.{function}({named})"
        return self._statements[key]


def is_transaction_pooler(url: str) -> bool:
    """Say whether a URL leads to a pooler that gives every transaction another backend (Supabase's port 6543)."""
    parts = urlsplit(url)
    return parts.port == 6543 or parse_qs(parts.query).get("pgbouncer") == ["true"]


async def _decode_jsonb(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    # The binary form is the text after one byte of version.
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(data[1:]),
    )


async def _keep(_connection: object) -> None:
    """Give a connection back as it is: no call sets anything that outlives its transaction."""


def _translated(error: Exception, function: str) -> Exception:
    match error:
        case asyncpg.PostgresError() if error.sqlstate:
            return errors.translate(error.sqlstate, function=function)
        case asyncpg.DataError() | UnicodeError() | OverflowError():
            return errors.refused(function)
        case asyncpg.InterfaceError() | OSError() | asyncpg.PostgresError():
            return errors.unavailable(function)
        case _:
            return errors.refused(function)
