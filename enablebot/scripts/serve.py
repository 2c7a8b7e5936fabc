"""Runs one app in this process until it is told to leave, and then leaves without dropping anybody."""

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enablebot.shared.errors import EnableBotError, SettingsError
from enablebot.shared.health import Pings
from enablebot.shared.longlived import keep_for_good

log = logging.getLogger(__name__)

_BACKLOG = 2048
_EVERYWHERE = frozenset({"", "*", "::"})
# Longer than the minute for which Railway's edge and most load balancers keep an idle connection.
KEEP_ALIVE_SECONDS = 65


def serve(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    drain_seconds: float,
    pings: Pings | None = None,
    notice_seconds: float = 0.5,
) -> None:
    """Serve until SIGTERM or SIGINT, then return within `drain_seconds`.

    On the signal /ready turns to 503 at once; drain hooks run while the door is still open, for at least
    `notice_seconds`, so that a load balancer can notice; then the door closes, running requests end,
    and the lifespan ends. A second SIGINT cuts it short. `pings` defaults to `app.state.pings`.
    SettingsError when the port cannot be had.
    """
    found = pings or getattr(getattr(app, "state", None), "pings", None) or Pings()
    sockets = listen(host, port)
    config = uvicorn.Config(
        _PlainStartErrors(app),
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    server = _DrainingServer(config, found, drain_seconds=drain_seconds, notice_seconds=notice_seconds)
    server.name = _address(host, sockets)
    try:
        server.run(sockets=sockets)
    finally:
        for each in sockets:
            each.close()


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets on which both IPv4 and IPv6 callers arrive, where the host has both.

    uvicorn alone would listen on one of them: `0.0.0.0` is IPv4 only, `::` IPv6 only.
    """
    try:
        if host in _EVERYWHERE:
            return [_everywhere(port)]
        if host == "localhost":
            return _loopback(port)
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return [socket.create_server((host, port), family=family, backlog=_BACKLOG)]
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            fault = f"Port {port} is taken. End what listens there, or choose another port."
        elif error.errno == errno.EACCES:
            fault = f"Port {port} is not for this user. Choose one from 1024 up."
        else:
            fault = f"{host} is no address to listen on here ({error.strerror}). Choose another host."
        raise SettingsError([fault]) from error


def _everywhere(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        with suppress(OSError):
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
    # Containers without IPv6, and the real reason when the port is taken.
    return socket.create_server(("0.0.0.0", port), backlog=_BACKLOG)  # noqa: S104 - being reachable is what was asked


def _loopback(port: int) -> list[socket.socket]:
    first = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
    try:
        second = socket.create_server(
            ("::1", first.getsockname()[1]), family=socket.AF_INET6, dualstack_ipv6=False, backlog=_BACKLOG
        )
    except OSError as error:
        # Browsers try ::1 first: whoever holds our port there would answer in our place.
        if error.errno == errno.EADDRINUSE:
            first.close()
            raise
        return [first]
    return [first, second]


def _address(host: str, sockets: list[socket.socket]) -> str:
    shown = "localhost" if host in _EVERYWHERE | {"localhost", "0.0.0.0"} else host  # noqa: S104 - shown, not bound
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{sockets[0].getsockname()[1]}"


class _PlainStartErrors:
    """Says in plain words why the app could not start, where Starlette would hand over a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_plainly(message: Message) -> None:
            error = sys.exc_info()[1]
            if message["type"] == "lifespan.startup.failed" and isinstance(error, EnableBotError):
                message = {**message, "message": error.message}
            await send(message)

        await self._app(scope, receive, send_plainly)


class _DrainingServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, pings: Pings, *, drain_seconds: float, notice_seconds: float) -> None:
        super().__init__(config)
        self.name = ""
        self._pings = pings
        self._drain_seconds = drain_seconds
        self._notice_seconds = min(notice_seconds, drain_seconds / 4)
        # What remains for requests and the lifespan when the hooks take all they can.
        self._reserve_seconds = min(5.0, drain_seconds * 0.4)
        self._deadline: float | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Like uvicorn's, but without raising the signal again at the end: leaving when asked is a success."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._deadline is not None:
            self.force_exit = self.force_exit or sig == signal.SIGINT
            return
        self._pings.begin_draining()
        self._set_deadline()
        self.should_exit = True
        # The last resort: a thread or a task that ignores its end must not keep the process.
        watchdog = threading.Timer(self._drain_seconds, _leave_now)
        watchdog.daemon = True
        watchdog.start()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(_log_loop_error)
        await super().startup(sockets)
        keep_for_good()
        if self.started:
            log.info("Listening on %s", self.name)

    def _set_deadline(self) -> None:
        # A moment less than granted, for the interpreter to end in.
        self._deadline = time.monotonic() + max(self._drain_seconds - 0.5, self._drain_seconds / 2)

    async def _drain(self) -> None:
        """Run the hooks with the door still open."""
        if self._deadline is None:
            self._set_deadline()
        assert self._deadline is not None
        log.info("Leaving: not ready any more, finishing what is under way")
        work = asyncio.gather(self._pings.drain(), asyncio.sleep(self._notice_seconds))
        until = self._deadline - self._reserve_seconds
        while not work.done() and not self.force_exit and time.monotonic() < until:
            await asyncio.wait([work], timeout=0.1)
        if not work.done():
            log.warning("Some work did not finish in time and was cut off")
            work.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait([work], timeout=0.5)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Here, not behind the main loop, which a signal during the start skips.
        await self._drain()
        remaining = max((self._deadline or 0) - time.monotonic(), 0.2)
        # uvicorn declares whole seconds and hands them to asyncio.wait_for, which takes fractions.
        self.config.timeout_graceful_shutdown = remaining * 0.6  # type: ignore[assignment]
        try:
            async with asyncio.timeout(remaining):
                await super().shutdown(sockets)
        except TimeoutError:
            log.warning("The process had to end before everything was closed")


def _log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """asyncio's own handler prints tasks whole, with what their exceptions quote."""
    log.error("%s", context.get("message", "An error in the event loop"), exc_info=context.get("exception"))


def _leave_now() -> None:
    log.critical("The process did not end in its time and is ended")
    os._exit(1)
