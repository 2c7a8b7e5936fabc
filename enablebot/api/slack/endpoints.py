"""Where Slack posts: read within limits, verify, let it be accepted, acknowledge.

Plain ASGI, without a router or a request object: measured, a framework's route costs more here than durability does.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cache

from starlette.types import Receive, Scope, Send

from enablebot.api.deadlines import Deadlines
from enablebot.api.slack.acceptance import Acceptance, Acknowledgement
from enablebot.api.slack.intake import ACCEPT_SECONDS, Intake
from enablebot.api.slack.payloads import read_object, read_payload
from enablebot.api.slack.reading import Headers, Refused, SenderGone, read_body
from enablebot.shared.errors import BadRequest
from enablebot.shared.metrics import Metrics
from enablebot.shared.slack.verification import is_genuine

log = logging.getLogger(__name__)

READ_SECONDS = 2.0
# Anybody can send what is refused: one line tells the operator as much as a thousand.
_SECONDS_BETWEEN_COMPLAINTS = 10.0

_JSON: Headers = [
    (b"content-type", b"application/json"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]
_EMPTY: Headers = [(b"content-length", b"0")]


class SlackEndpoints:
    """The events and the interactions URL, each an ASGI callable."""

    def __init__(
        self,
        intake: Intake,
        *,
        signing_secrets: Sequence[str],
        metrics: Metrics,
        now: Callable[[], float] = time.time,
        read_seconds: float = READ_SECONDS,
        accept_seconds: float = ACCEPT_SECONDS,
    ) -> None:
        self._acceptance = Acceptance(intake, accept_seconds=accept_seconds)
        self._secrets = tuple(secret.encode() for secret in signing_secrets)
        self._metrics = metrics
        self._now = now
        self._reading = Deadlines(read_seconds)
        self._complained_at = float("-inf")
        # Looked up by its labels each time, a counter costs more than the count.
        self._count = cache(lambda verdict: metrics.events_received.labels(verdict).inc)

    async def events(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /slack/events: acknowledged once the event is stored, or known to be none of ours."""
        await self._serve(self._take_event, scope, receive, send)

    async def interactions(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /slack/interactions: our Retry button goes to the inbox, other interactions are acknowledged."""
        await self._serve(self._take_interaction, scope, receive, send)

    async def _serve(
        self, take: Callable[[bytes], Awaitable[Acknowledgement]], scope: Scope, receive: Receive, send: Send
    ) -> None:
        started = time.perf_counter()
        try:
            acknowledgement = await take(await self._read_verified(scope, receive))
        except SenderGone:
            self._count("hung_up")()
            return
        except BadRequest as error:
            refused = Refused(400, "malformed", error.code, error.message)
        except Refused as error:
            refused = error
        else:
            self._count(acknowledgement.verdict)()
            await _respond(send, 200, _JSON if acknowledgement.body else _EMPTY, acknowledgement.body)
            self._metrics.ack_seconds.observe(time.perf_counter() - started)
            return
        self._count(refused.verdict)()
        await _respond(send, refused.status, [*_JSON, *refused.headers], refused.body())

    async def _read_verified(self, scope: Scope, receive: Receive) -> bytes:
        body, stamps, signatures = await read_body(scope, receive, deadlines=self._reading)
        # Two of a header are two opinions on what was signed.
        if len(stamps) == len(signatures) == 1 and is_genuine(
            body=body, timestamp=stamps[0], signature=signatures[0], secrets=self._secrets, now=self._now()
        ):
            return body
        self._complain(stamps)
        raise Refused(401, "unverified", "unauthorized", "The request is not signed by Slack, or too long ago.")

    async def _take_event(self, body: bytes) -> Acknowledgement:
        return await self._acceptance.event(read_object(body), body)

    async def _take_interaction(self, body: bytes) -> Acknowledgement:
        payload, inner_body = read_payload(body)
        return await self._acceptance.interaction(payload, inner_body)

    def _complain(self, stamps: Sequence[bytes]) -> None:
        now = self._now()
        if now - self._complained_at < _SECONDS_BETWEEN_COMPLAINTS:
            return
        self._complained_at = now
        stamp = stamps[0] if len(stamps) == 1 and len(stamps[0]) <= 12 and stamps[0].isdigit() else None
        skew = (
            "it names no time" if stamp is None else f"its time is {int(stamp) - now:+.0f} s from this machine's clock"
        )
        log.warning("Refused a request that Slack did not sign (%s). Check SLACK_SIGNING_SECRET if it was Slack.", skew)


async def not_now(send: Send) -> None:
    """Before the start and after the end: Slack sends it again."""
    refused = Refused(503, "unavailable", "starting_or_leaving", "Not stored, send it again.")
    await _respond(send, refused.status, _JSON, refused.body())


async def _respond(send: Send, status: int, headers: Headers, body: bytes) -> None:
    if body:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
