"""Events on their way to the app: signed, timed, repeated as Slack repeats them."""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin

import aiohttp
import orjson

from enablebot.sandbox.clock import Clock
from enablebot.sandbox.config import SandboxConfig
from enablebot.sandbox.ledger import Attempt, Delivery, Ledger
from enablebot.sandbox.manifest import APP_ID, VERIFICATION_TOKEN
from enablebot.sandbox.signing import signature_headers
from enablebot.sandbox.sockets import Sockets
from enablebot.sandbox.traffic import Traffic

# Seconds before the first, second and third repetition.
RETRY_SCHEDULE = (0.0, 60.0, 300.0)
_REDIRECTS_FOLLOWED = 2
# Below the five seconds after which uvicorn closes an idle connection, or a post could meet a closing one.
_KEEPALIVE_SECONDS = 2.0
USER_AGENT = "Slackbot 1.0 (+https://api.slack.com/robots)"


@dataclass(slots=True)
class AppUrls:
    """Where the app listens, as its settings at Slack say, and its further instances, which get their turn."""

    events_url: str
    interactions_url: str
    redirect_url: str
    more_events_urls: tuple[str, ...] = ()
    more_interactions_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the app said to one POST or envelope; `reason` is Slack's word for a failure, empty when it said yes."""

    status: int | None
    reason: str
    ms: float
    no_retry: bool = False
    body: bytes = b""


class TooManyRedirects(Exception):
    pass


class AppDelivery:
    """The sender; each event is a task of its own, so that nothing promises an order."""

    def __init__(self, config: SandboxConfig, *, urls: AppUrls, sockets: Sockets, clock: Clock, ledger: Ledger) -> None:
        self._config = config
        self._urls = urls
        self._sockets = sockets
        self._clock = clock
        self._ledger = ledger
        self.traffic = Traffic(enforced=config.rate_limits)
        self._http: aiohttp.ClientSession | None = None
        self._bodies: OrderedDict[str, tuple[dict[str, Any], bytes]] = OrderedDict()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._turn = 0
        self._chance = random.Random()  # noqa: S311 - decides nothing but an order

    def send(self, envelope: dict[str, Any]) -> Delivery:
        """Starts the delivery of one event and returns its ledger entry; above Slack's limits it is only noted."""
        body = orjson.dumps(envelope)
        for _ in range(self._chance.randrange(max(1, self._config.copies))):
            self._send(envelope, body)
        return self._send(envelope, body)

    def _send(self, envelope: dict[str, Any], body: bytes) -> Delivery:
        event_id = str(envelope.get("event_id", ""))
        self._bodies[event_id] = (envelope, body)
        while len(self._bodies) > self._config.kept:
            self._bodies.popitem(last=False)
        event = envelope.get("event")
        inner = event if isinstance(event, dict) else {}
        entry = Delivery(
            event_id=event_id,
            type=str(inner.get("type") if isinstance(event, dict) else envelope.get("type")),
            team=envelope.get("team_id"),
            at=self._clock.now(),
            channel=str(inner.get("channel") or ""),
            ts=str(inner.get("ts") or ""),
            user=str(inner.get("user") or ""),
            subtype=str(inner.get("subtype") or ""),
        )
        verdict = self.traffic.admit(str(entry.team), now=entry.at)
        entry.finished = verdict != "send"
        self._ledger.opened(entry)
        if verdict == "send":
            self._start(self._deliver(entry, body))
        elif verdict == "announce":
            self._announce_limit(entry)
        return entry

    def redeliver(self, event_id: str) -> Delivery | None:
        """Sends a known event again, byte for byte; None when it is not known."""
        known = self._bodies.get(event_id)
        return self.send(known[0]) if known else None

    async def interact(self, payload: dict[str, Any]) -> Answer:
        """Sends an interaction and waits for its acknowledgement; Slack never repeats these."""
        if self._sockets.is_on:
            reason, ms = await self._sockets.deliver("interactive", payload, answerable=True)
            answer = Answer(None, reason, ms)
        else:
            body = urlencode({"payload": orjson.dumps(payload).decode()}).encode()
            answer = await self._post(
                self._in_turn(self._urls.interactions_url, self._urls.more_interactions_urls),
                body,
                "application/x-www-form-urlencoded",
                {},
            )
        entry = Delivery(
            event_id=str(payload.get("trigger_id", "")),
            type=str(payload.get("type")),
            team=(payload.get("team") or {}).get("id"),
            at=self._clock.now(),
            attempts=[Attempt(answer.status, answer.ms, answer.reason)],
            acknowledged=not answer.reason,
            finished=True,
        )
        self._ledger.opened(entry)
        self._blame(entry, answer)
        return answer

    async def challenge(self) -> bool:
        """Verifies the events URL as Slack does when it is entered: the app must echo the challenge.

        A verified URL gets events again, after Slack had switched them off.
        """
        challenge = f"challenge-{time.monotonic_ns()}"
        body = orjson.dumps({"token": VERIFICATION_TOKEN, "challenge": challenge, "type": "url_verification"})
        answer = await self._post(self._urls.events_url, body, "application/json", {})
        verified = not answer.reason and challenge.encode() in answer.body
        if verified:
            self.traffic.enable()
        return verified

    @property
    def under_way(self) -> int:
        """How many events are not finished yet."""
        return len(self._tasks)

    async def settled(self) -> None:
        """Returns when no delivery is under way any more, repetitions included."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http:
            await self._http.close()
            self._http = None

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, entry: Delivery, body: bytes) -> None:
        if self._config.scatter_ms:
            await asyncio.sleep(self._chance.uniform(0, self._config.scatter_ms / 1000))
        reason = ""
        for retry in range(len(RETRY_SCHEDULE) + 1):
            if retry:
                await asyncio.sleep(RETRY_SCHEDULE[retry - 1] * self._config.time_scale)
            answer = await self._attempt(body, retry, reason)
            entry.attempts.append(Attempt(answer.status, answer.ms, answer.reason))
            reason = answer.reason
            entry.acknowledged = not reason
            self._blame(entry, answer)
            now = self._clock.now()
            if self.traffic.attempted(failed=bool(reason), now=now):
                detail = "more than 95 % of at least 1,000 deliveries in an hour failed; verify the events URL again"
                self._ledger.violated("events_disabled", detail, at=now)
            if entry.acknowledged or answer.no_retry:
                break
            self._ledger.touch()
        entry.finished = True
        self._ledger.touch()

    async def _attempt(self, body: bytes, retry: int, reason: str) -> Answer:
        if self._sockets.is_on:
            reason, ms = await self._sockets.deliver("events_api", orjson.loads(body), retry=(retry, reason))
            return Answer(None, reason, ms)
        headers = {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": reason} if retry else {}
        url = self._in_turn(self._urls.events_url, self._urls.more_events_urls)
        return await self._post(url, body, "application/json", headers)

    def _in_turn(self, first: str, more: tuple[str, ...]) -> str:
        self._turn += 1
        return (first, *more)[self._turn % (1 + len(more))]

    def _announce_limit(self, over: Delivery) -> None:
        """One POST a minute, without an envelope, says that events of a workspace are held back."""
        notice = {
            "token": VERIFICATION_TOKEN,
            "type": "app_rate_limited",
            "team_id": over.team,
            "minute_rate_limited": int(over.at // 60) * 60,
            "api_app_id": APP_ID,
        }
        entry = Delivery(event_id="", type="app_rate_limited", team=over.team, at=over.at)
        self._ledger.opened(entry)
        self._start(self._deliver(entry, orjson.dumps(notice)))

    def _blame(self, entry: Delivery, answer: Answer) -> None:
        if answer.reason in ("http_timeout", "timeout"):
            detail = f"{entry.type} {entry.event_id} was not answered within {self._config.ack_seconds:g} s"
            self._ledger.violated("late_acknowledgement", detail, at=self._clock.now())

    async def _post(self, url: str, body: bytes, content_type: str, extra: dict[str, str]) -> Answer:
        headers = {"Content-Type": content_type, "User-Agent": USER_AGENT, "Accept": "*/*"}
        # Real time, not the clock that tests move: the app compares it with its own.
        headers |= signature_headers(secret=self._config.signing_secret, body=body, now=time.time()) | extra
        started = time.perf_counter()
        status: int | None = None
        said, no_retry = b"", False
        try:
            async with asyncio.timeout(self._config.ack_seconds):
                status, no_retry, said = await self._follow(url, body, headers)
            reason = "" if 200 <= status < 300 else "http_error"
        except TimeoutError:
            reason = "http_timeout"
        except TooManyRedirects:
            reason = "too_many_redirects"
        except aiohttp.ClientSSLError:
            reason = "ssl_error"
        except (aiohttp.ClientConnectionError, OSError):
            reason = "connection_failed"
        except (aiohttp.ClientError, ValueError):
            reason = "unknown_error"
        return Answer(status, reason, (time.perf_counter() - started) * 1000, no_retry, said)

    async def _follow(self, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, bool, bytes]:
        if self._http is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_SECONDS)
            self._http = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        for _ in range(_REDIRECTS_FOLLOWED + 1):
            async with self._http.post(url, data=body, headers=headers, allow_redirects=False) as response:
                said = await response.read()
                if response.status in (301, 302) and "Location" in response.headers:
                    url = urljoin(url, response.headers["Location"])
                    continue
                return response.status, response.headers.get("X-Slack-No-Retry") == "1", said
        raise TooManyRedirects
