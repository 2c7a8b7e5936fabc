"""The ceiling: a bare ASGI endpoint that verifies, parses, and stores what gathered with one insert a commit.

No router, no tenants, no seal, no duplicates: what durability alone costs with this server, driver and database.
"""

import asyncio
import hmac
import time

import asyncpg
import orjson
from starlette.types import Receive, Scope, Send

from benchmarks.accepting.signed import SIGNING_SECRET

_INSERT = "insert into bare_events (event_id, body) select * from unnest($1::text[], $2::bytea[])"
_OK = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}
_END = {"type": "http.response.body", "body": b""}
_REFUSED = {"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]}


class Bare:
    """An ASGI app; the table it fills is made by whoever starts it."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._waiting: list[tuple[str, bytes, asyncio.Future[None]]] = []
        self._storing: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if not _is_genuine(dict(scope["headers"]), body):
            await send(_REFUSED)
            await send(_END)
            return
        event_id = orjson.loads(body)["event_id"]
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((event_id, body, future))
        if self._storing is None:
            self._storing = asyncio.create_task(self._store())
        await future
        await send(_OK)
        await send(_END)

    async def _store(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            await self._insert([event_id for event_id, _, _ in batch], [body for _, body, _ in batch])
            for _, _, future in batch:
                future.set_result(None)
        self._storing = None

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        connection = await asyncpg.connect(self._url)
        self._insert = (await connection.prepare(_INSERT)).fetch
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await connection.close()
        await send({"type": "lifespan.shutdown.complete"})


def _is_genuine(headers: dict[bytes, bytes], body: bytes) -> bool:
    stamp = headers.get(b"x-slack-request-timestamp", b"")
    if not stamp.isdigit():
        return False
    digest = hmac.digest(SIGNING_SECRET.encode(), b"v0:" + stamp + b":" + body, "sha256").hex()
    return abs(time.time() - int(stamp)) < 300 and hmac.compare_digest(
        f"v0={digest}".encode(), headers.get(b"x-slack-signature", b"")
    )
