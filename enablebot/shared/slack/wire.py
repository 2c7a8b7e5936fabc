"""One call of Slack's Web API: how far it came, and what its failure means."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from enablebot.shared.errors import SlackError, SlackUnknownOutcome, SlackUnreachable
from enablebot.shared.slack.refusals import rate_limited, refusal

OnCall = Callable[[str, str], None]
MaySend = Callable[[], bool]

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(slots=True)
class _Exchange:
    """How far one request came. Whether Slack may have acted on it hangs on `sent`."""

    may_send: MaySend | None = None
    sent: bool = False
    status: int | None = None
    retry_after: str | None = None
    scopes: str | None = None


class _HeldBack(aiohttp.ClientError):
    """Whoever calls may not send any more; raised before a single byte has left."""


_exchange: ContextVar[_Exchange | None] = ContextVar("slack_exchange", default=None)


async def call(
    client: AsyncWebClient, method: str, *, on_call: OnCall | None, may_send: MaySend | None = None, **request: Any
) -> dict[str, Any]:
    """Slack's answer to one call, where it was `ok: true`.

    Raises the SlackError tree. `on_call(method, outcome)` is told of every call, a cancelled one included. `may_send`
    is asked at the last moment, when the connection stands: where it says no, nothing is sent (SlackUnreachable).
    """
    return (await call_with_scopes(client, method, on_call=on_call, may_send=may_send, **request))[0]


async def call_with_scopes(
    client: AsyncWebClient, method: str, *, on_call: OnCall | None, may_send: MaySend | None = None, **request: Any
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The same, with the scopes that the token holds by the header `x-oauth-scopes`."""
    exchange = _Exchange(may_send)
    previous = _exchange.set(exchange)
    outcome = "cancelled"
    try:
        data = (await client.api_call(method, **request)).data
        outcome = "ok" if isinstance(data, dict) else SlackUnknownOutcome.code
    # AttributeError: slack_sdk meets an answer that is JSON but no object, or text, and falls over it.
    except (SlackClientError, aiohttp.ClientError, OSError, ValueError, AttributeError) as error:
        translated = _translated(error, method=method, exchange=exchange)
        outcome = translated.code
        # `from None`: slack_sdk's messages quote whatever came back, which may be a message of a person.
        raise translated from None
    finally:
        _exchange.reset(previous)
        if on_call is not None:
            on_call(method, outcome)
    if not isinstance(data, dict):
        raise no_usable_answer(method)
    return data, tuple(filter(None, map(str.strip, (exchange.scopes or "").split(","))))


def _translated(error: Exception, *, method: str, exchange: _Exchange) -> SlackError:
    if not exchange.sent:
        return SlackUnreachable(
            f"Slack could not be reached for {method} ({type(error).__name__}). Nothing was sent.", method=method
        )
    if exchange.status == 429:
        return rate_limited(method=method, retry_after=exchange.retry_after)
    data = _answered(error)
    slack_code = data.get("error")
    if (
        exchange.status is not None
        and exchange.status < 500
        and data.get("ok") is False
        and isinstance(slack_code, str)
    ):
        needed = data.get("needed")
        return refusal(
            method=method,
            slack_code=slack_code,
            retry_after=exchange.retry_after,
            needed=needed if isinstance(needed, str) else None,
        )
    return no_usable_answer(method, because=type(error).__name__, status=exchange.status)


def _answered(error: Exception) -> dict[str, Any]:
    response = error.response if isinstance(error, SlackApiError) else None
    data = response.data if isinstance(response, AsyncSlackResponse) else None
    return data if isinstance(data, dict) else {}


def no_usable_answer(method: str, *, because: str = "no object", status: int | None = None) -> SlackUnknownOutcome:
    """The error for a request that left, and came back with nothing to rely on."""
    seen = f"status {status}" if status is not None else because
    return SlackUnknownOutcome(
        f"Slack gave no usable answer to {method} ({seen}); it may have taken effect.", method=method
    )


def trace() -> aiohttp.TraceConfig:
    """What a session needs so that `call` knows how far a request came."""

    async def note_sent(
        session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        if exchange := _exchange.get():
            # aiohttp tells this just before it writes, with no step of the loop in between.
            if exchange.may_send is not None and not exchange.may_send():
                raise _HeldBack
            exchange.sent = True

    async def note_answer(
        session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        if exchange := _exchange.get():
            exchange.status = params.response.status
            exchange.retry_after = params.response.headers.get("Retry-After")
            exchange.scopes = params.response.headers.get("x-oauth-scopes")

    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(note_sent)
    config.on_request_end.append(note_answer)
    return config


def proxy_for(url: str) -> str | None:
    """The environment's proxy for `url`, unless NO_PROXY or a loopback address says otherwise."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in _LOOPBACK or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)
