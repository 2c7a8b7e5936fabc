"""Socket Mode: the same events through a connection that we open, for a machine without a public address.

Development only: Slack's Marketplace does not admit apps that use it. An envelope is acknowledged once what it holds is
stored, as over HTTP; whatever is not acknowledged within three seconds Slack sends again.
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import aiohttp

from enablebot.api.slack.acceptance import Acceptance, Acknowledgement
from enablebot.api.slack.payloads import read_object
from enablebot.api.slack.reading import Refused
from enablebot.shared.errors import BadRequest, SlackError, SlackRateLimited, SlackRefused, SlackTokenDead
from enablebot.shared.metrics import Metrics

log = logging.getLogger(__name__)

Dial = Callable[[], Awaitable[aiohttp.ClientWebSocketResponse]]

_HELLO_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 30.0
# A connection that ends sooner counts as a failure, or two ends that dislike each other would never stop.
_STEADY_SECONDS = 10.0
# Slack closes a connection about 10 s after its warning; by then it was read to its end.
_RETIRED_SECONDS = 30.0
_REASONS = frozenset({"warning", "refresh_requested", "link_disabled", "too_many_websockets"})


class SocketListener:
    """Keeps one connection open, takes over to a new one before Slack ends it, and hands on what arrives.

    `dial` gives a connection on which Slack has not said hello yet, or raises SlackError.
    """

    def __init__(
        self,
        dial: Dial,
        acceptance: Acceptance,
        *,
        metrics: Metrics,
        first_pause_seconds: float = 0.5,
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.0),  # noqa: S311 - spreads load, hides nothing
    ) -> None:
        self._dial = dial
        self._acceptance = acceptance
        self._metrics = metrics
        self._first_pause = first_pause_seconds
        self._jitter = jitter
        self._leaving = asyncio.Event()
        self._connections: set[_Connection] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._keeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, and stay connected, in the background."""
        self._keeping = asyncio.create_task(self._keep_connected())
        self._keeping.add_done_callback(_tell_of_a_fault)

    async def aclose(self) -> None:
        """Take nothing new, acknowledge what is under way, and disconnect; safe to repeat."""
        self._leaving.set()
        if self._keeping is not None:
            # It may be waiting for Slack to answer.
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*(connection.part() for connection in tuple(self._connections)))

    async def _keep_connected(self) -> None:
        failures = 0
        while not self._leaving.is_set():
            try:
                connection = await self._connect()
            except SlackError as error:
                self._complain(error)
                failures += 1
                await self._rest(failures, at_least=error.retry_after if isinstance(error, SlackRateLimited) else 0.0)
                continue
            began = time.monotonic()
            await self._until_any(connection.ended(), connection.replaced.wait())
            failures = 0 if time.monotonic() - began >= _STEADY_SECONDS else failures + 1
            self._retire(connection)
            # The first time at once: until the next connection, people wait.
            await self._rest(failures - 1)

    async def _connect(self) -> "_Connection":
        socket = await self._dial()
        connection = _Connection(socket, self._take, self._metrics)
        self._connections.add(connection)
        await self._until_any(connection.ended(), connection.greeted.wait(), seconds=_HELLO_SECONDS)
        if connection.greeted.is_set() or self._leaving.is_set():
            return connection
        self._retire(connection, seconds=0)
        raise SlackRefused("Slack did not greet the connection.", method="apps.connections.open", slack_code="no_hello")

    async def _take(self, envelope: Mapping[str, Any]) -> Acknowledgement:
        """Accept what an envelope holds, as the HTTP endpoints would; raises Refused or BadRequest."""
        payload = envelope.get("payload")
        if not isinstance(payload, dict):
            raise BadRequest("The envelope holds no payload.")
        try:
            # Escaped throughout, so that a lone surrogate can be written too.
            body = json.dumps(payload, separators=(",", ":")).encode()
        except RecursionError as error:
            raise BadRequest("The envelope is nested too deeply.") from error
        match envelope.get("type"):
            case "events_api":
                return await self._acceptance.event(payload, body)
            case "interactive":
                return await self._acceptance.interaction(payload, body)
            case _:
                return Acknowledgement("unknown_type")

    def _retire(self, connection: "_Connection", *, seconds: float = _RETIRED_SECONDS) -> None:
        task = asyncio.create_task(self._see_off(connection, seconds))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _see_off(self, connection: "_Connection", seconds: float) -> None:
        # Slack may still send into it, and closes it itself.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await connection.ended()
        await connection.part()
        self._connections.discard(connection)

    async def _rest(self, failures: int, *, at_least: float = 0.0) -> None:
        pause = 0.0 if failures < 1 else min(self._first_pause * 2.0 ** min(failures - 1, 20), _LONGEST_PAUSE_SECONDS)
        await self._until_any(seconds=max(pause * self._jitter(), at_least))

    async def _until_any(self, *others: Awaitable[object], seconds: float | None = None) -> None:
        """Wait for the first of these, for leaving, or for so many seconds."""
        tasks = [asyncio.ensure_future(other) for other in (self._leaving.wait(), *others)]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    def _complain(self, error: SlackError) -> None:
        self._metrics.socket_endings.labels("not_opened").inc()
        if isinstance(error, SlackTokenDead | SlackRefused):
            log.error(
                "Slack opens no socket (%s). Check SLACK_APP_TOKEN (it starts with xapp- and has connections:write), "
                "and that Socket Mode is on in the app's settings.",
                error.slack_code,
            )
        else:
            log.warning("Slack's socket is out of reach, trying again: %s", error.message)


class _Connection:
    """One connection: reads frames, hands envelopes on side by side, acknowledges those that were accepted."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        take: Callable[[Mapping[str, Any]], Awaitable[Acknowledgement]],
        metrics: Metrics,
    ) -> None:
        self._socket = socket
        self._take = take
        self._metrics = metrics
        self._under_way: set[asyncio.Task[None]] = set()
        self._reason = "lost"
        self.greeted = asyncio.Event()
        self.replaced = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    async def ended(self) -> None:
        """Return once nothing more can be read."""
        await asyncio.wait({self._listening})

    async def part(self) -> None:
        """Read nothing more, acknowledge what was accepted, and close."""
        if not self._listening.done():
            self._reason = "left"
            self._listening.cancel()
            await self.ended()
        if self._under_way:
            await asyncio.wait(self._under_way)
        await self._socket.close()

    async def _listen(self) -> None:
        try:
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.ERROR:
                    break
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._hear(message.data)
        finally:
            if self.greeted.is_set():
                self._metrics.socket_connections.dec()
            self._metrics.socket_endings.labels(self._reason).inc()
            if self._reason == "lost":
                log.warning("The socket to Slack was lost; what was not acknowledged comes again")

    def _hear(self, frame: str) -> None:
        started = time.perf_counter()
        try:
            told = read_object(frame.encode())
        except BadRequest:
            self._metrics.events_received.labels("malformed").inc()
            return
        match told.get("type"):
            case "hello":
                self._greet(told)
            case "disconnect":
                reason = told.get("reason")
                self._reason = reason if isinstance(reason, str) and reason in _REASONS else "other"
                if self._reason in {"link_disabled", "too_many_websockets"}:
                    log.error("Slack ends the socket: %s", self._reason)
                self.replaced.set()
            case _ if isinstance(told.get("envelope_id"), str):
                task = asyncio.create_task(self._answer(told, started))
                self._under_way.add(task)
                task.add_done_callback(self._answered)

    def _greet(self, told: Mapping[str, Any]) -> None:
        if not self.greeted.is_set():
            self.greeted.set()
            self._metrics.socket_connections.inc()
            log.info("Connected to Slack by Socket Mode (%s connections of this app)", told.get("num_connections"))

    async def _answer(self, envelope: Mapping[str, Any], started: float) -> None:
        try:
            verdict = (await self._take(envelope)).verdict
        except BadRequest:
            self._metrics.events_received.labels("malformed").inc()
            return
        except Refused as refused:
            self._metrics.events_received.labels(refused.verdict).inc()
            if not refused.is_final:
                # Silence is how a socket says “send it again”.
                return
        else:
            self._metrics.events_received.labels(verdict).inc()
        try:
            await self._socket.send_str(json.dumps({"envelope_id": envelope["envelope_id"]}))
        except (aiohttp.ClientError, OSError):
            # It is stored; when it comes again through the next connection, it is a duplicate.
            log.info("An envelope was stored, and its acknowledgement lost with the socket")
            return
        self._metrics.ack_seconds.observe(time.perf_counter() - started)

    def _answered(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        _tell_of_a_fault(task)


def _tell_of_a_fault(task: "asyncio.Task[None]") -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("Socket Mode met an error it does not know", exc_info=error)
