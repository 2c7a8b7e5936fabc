"""Slack and a model that never answer, so that the worker beside the door is as busy as it gets and stays so.

Whatever is asked hangs until the other end gives up: the worker's slots fill with questions that wait for their model,
as most of a real worker's time passes, and what is measured is the door. Only `auth.test` is answered, for Bolt.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_AUTH_TEST = (
    b'{"ok":true,"url":"https://a.slack.com/","team":"A","user":"b","team_id":"T0","user_id":"U0","bot_id":"B0"}'
)


@contextmanager
def slow_slack() -> Iterator[str]:
    """Run it in a thread of this process and yield its address."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(_answer, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if b"/api/auth.test" in head:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            % len(_AUTH_TEST)
            + _AUTH_TEST
        )
        await writer.drain()
        writer.close()
        return
    while await reader.read(65536):
        pass
    writer.close()
