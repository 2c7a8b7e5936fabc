"""The transport through Supabase's Data API: a function is an rpc of PostgREST."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import httpx

from enablebot.shared.database import errors
from enablebot.shared.database.transport import Argument, Json
from enablebot.shared.errors import DatabaseError

if TYPE_CHECKING:
    from postgrest import AsyncPostgrestClient

# Supabase's gateway closes idle connections without a word; ours are dropped sooner.
_KEEPALIVE_SECONDS = 30.0


class SupabaseTransport:
    """Calls functions of the exposed schema `enablebot`; nothing is ever sent twice."""

    def __init__(self, rest: "AsyncPostgrestClient", http: httpx.AsyncClient) -> None:
        self._rest = rest
        self._http = http

    @classmethod
    async def connect(cls, url: str, service_key: str, *, timeout_seconds: float = 10.0) -> Self:
        """Prepare a client for a project's URL and service key; nothing is sent yet."""
        # 250 ms and 50 MB that a process on DATABASE_URL should not pay.
        from supabase import AsyncClientOptions, acreate_client

        http = httpx.AsyncClient(
            # With HTTP/2 the client now and then reuses a connection that the gateway has ended.
            http2=False,
            timeout=timeout_seconds,
            limits=httpx.Limits(max_connections=50, keepalive_expiry=_KEEPALIVE_SECONDS),
        )
        options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False, persist_session=False)
        client = await acreate_client(url, service_key, options)
        return cls(client.schema("enablebot"), http)

    async def call(self, function: str, arguments: Mapping[str, Argument]) -> Json:
        """Call a function in a transaction of its own."""
        from postgrest import APIError

        try:
            # The client writes bytes as \x…, ids as text and times as ISO 8601, within lists too.
            rpc = self._rest.rpc(function, dict[str, Any](arguments))
            answer: Any = (await rpc.execute()).data
        except APIError as error:
            raise _translated(error.code, error.message, function) from error
        except httpx.HTTPError as error:
            raise errors.unavailable(function) from error
        except ValueError as error:
            raise errors.refused(function) from error
        if isinstance(answer, str):
            # Functions return objects and lists; text is somebody's web page with status 200.
            raise errors.translate_status(200, function=function)
        return answer

    async def ping(self) -> None:
        """Ask the smallest question: which schema is installed."""
        await self.call("schema_version", {"p_functions": []})

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _translated(code: str | None, message: str | None, function: str) -> DatabaseError:
    """Tell apart PostgREST, which always has a code, and a gateway before it, which has words or a status."""
    if code is None:
        return errors.translate_status(401 if "api key" in (message or "").lower() else 503, function=function)
    if len(code) == 3 and code.isdigit():
        return errors.translate_status(int(code), function=function)
    return errors.translate(code, function=function)
