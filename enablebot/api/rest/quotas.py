"""How much a key may ask in a minute, and the headers that tell it.

Headers as draft-ietf-httpapi-ratelimit-headers-10 has them: `RateLimit-Policy: "uploads";q=1200;w=60` and
`RateLimit: "uploads";r=1199;t=1`, where `t` is when all of the quota is there again.
"""

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enablebot.api.rest.problems import TooManyRequests

MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Quota:
    """So many requests a minute, refilled evenly; a burst may take all of them at once."""

    name: str
    per_minute: int


UPLOADS = Quota("uploads", 1200)
REQUESTS = Quota("requests", 6000)
# For keys that are none, by address: whoever tries them out is slowed down to this.
FAILURES = Quota("requests without a valid key", 100)


@dataclass(slots=True)
class _Bucket:
    left: float
    filled_at: float


class Quotas:
    """Token buckets of one process: with several, each grants its own."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, most: int = MOST_REMEMBERED) -> None:
        self._clock = clock
        self._most = most
        self._buckets: dict[tuple[str, Hashable], _Bucket] = {}

    def take(self, quota: Quota, whose: Hashable) -> None:
        """Take one request from a quota; TooManyRequests at its end."""
        bucket = self._bucket(quota, whose)
        if bucket.left < 1:
            wait = math.ceil((1 - bucket.left) * 60 / quota.per_minute)
            raise TooManyRequests(
                f"More than {quota.per_minute} {quota.name} in a minute. Wait {wait} s, then go on more slowly.",
                retry_after=wait,
            )
        bucket.left -= 1

    def headers(self, quota: Quota, whose: Hashable) -> list[tuple[bytes, bytes]]:
        """What is left of a quota, as headers."""
        left = self._bucket(quota, whose).left
        whole_again = math.ceil((quota.per_minute - left) * 60 / quota.per_minute)
        return [
            (b"ratelimit-policy", f'"{quota.name}";q={quota.per_minute};w=60'.encode("ascii")),
            (b"ratelimit", f'"{quota.name}";r={max(0, math.floor(left))};t={whole_again}'.encode("ascii")),
        ]

    def _bucket(self, quota: Quota, whose: Hashable) -> _Bucket:
        now = self._clock()
        # Put at the end: the first is the one that was used longest ago.
        bucket = self._buckets.pop((quota.name, whose), None) or _Bucket(quota.per_minute, now)
        self._buckets[quota.name, whose] = bucket
        bucket.left = min(quota.per_minute, bucket.left + (now - bucket.filled_at) * quota.per_minute / 60)
        bucket.filled_at = now
        while len(self._buckets) > self._most:
            del self._buckets[next(iter(self._buckets))]
        return bucket


class QuotaHeaders:
    """Puts what `request.state.quota_headers` holds on the answer, whatever it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def send_with_quota(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *state.get("quota_headers", ())]
            await send(message)

        await self._app(scope, receive, send_with_quota)
