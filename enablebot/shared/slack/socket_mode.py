"""The WebSocket of Socket Mode: connected only to where the Web API's own host is."""

from urllib.parse import urlsplit

import aiohttp

from enablebot.shared.errors import SlackUnreachable
from enablebot.shared.slack.wire import no_usable_answer, proxy_for

_METHOD = "apps.connections.open"
# A connection that answers no ping within half of this is lost; Slack would go on sending events into it.
_HEARTBEAT_SECONDS = 20.0
_FAREWELL_SECONDS = 2.0


async def dial(session: aiohttp.ClientSession, url: object, *, api_url: str) -> aiohttp.ClientWebSocketResponse:
    """Connect to the address that Slack gave; SlackUnreachable where nobody answers there.

    The address holds a ticket, so that it is neither logged nor quoted.
    """
    if not isinstance(url, str) or not _belongs_to_slack(url, api_url=api_url):
        raise no_usable_answer(_METHOD, because="an address that is not Slack's")
    try:
        return await session.ws_connect(
            url,
            heartbeat=_HEARTBEAT_SECONDS,
            timeout=aiohttp.ClientWSTimeout(ws_close=_FAREWELL_SECONDS),
            proxy=proxy_for(url.replace("ws", "http", 1)),
        )
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # `from None`: aiohttp's messages quote the address.
        raise SlackUnreachable(
            f"Slack's socket could not be opened ({type(error).__name__}).", method=_METHOD
        ) from None


def _belongs_to_slack(url: str, *, api_url: str) -> bool:
    """Whether `url` is as encrypted as the Web API, on its host or one below it."""
    try:
        there, here = urlsplit(url), urlsplit(api_url)
        there_port, here_port = there.port, here.port
    except ValueError:
        return False
    host, home = there.hostname or "", here.hostname or "-"
    return (
        there.scheme == ("wss" if here.scheme == "https" else "ws")
        and (host == home or host.endswith(f".{home}"))
        and there_port == here_port
        and there.username is None
    )
