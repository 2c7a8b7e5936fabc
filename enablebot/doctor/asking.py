"""Asking other machines: one request with a deadline, its answer, and what time it is there."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from enablebot.doctor.findings import Finding
from enablebot.shared.slack.wire import proxy_for

_PATIENCE = aiohttp.ClientTimeout(total=8)


@dataclass(frozen=True)
class Answer:
    """`body` is what came as JSON, an empty object for anything else; `skew` is our clock minus theirs, in seconds."""

    status: int
    body: Mapping[str, Any]
    skew: float | None


class Silent(Exception):
    """Nobody answered; the message says how."""


async def ask(method: str, url: str, *, headers: Mapping[str, str] | None = None) -> Answer:
    """One request, redirects not followed; raises Silent."""
    try:
        async with (
            aiohttp.ClientSession(timeout=_PATIENCE) as session,
            session.request(
                method, url, headers=headers or {}, proxy=proxy_for(url), allow_redirects=False
            ) as response,
        ):
            came_at = datetime.now(UTC)
            try:
                body = await response.json(content_type=None)
            except ValueError:
                body = {}
            return Answer(
                response.status,
                body if isinstance(body, dict) else {},
                _skew(response.headers.get("Date"), came_at),
            )
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failure:
        raise Silent(
            "no answer in time" if isinstance(failure, asyncio.TimeoutError) else type(failure).__name__
        ) from failure


def unreachable(area: str, what: str, silence: Silent) -> Finding:
    """The finding for somebody who does not answer."""
    return Finding(
        area,
        "broken",
        f"{what} is not reachable ({silence})",
        "Look at the network and at the address in the settings.",
    )


def _skew(date: str | None, now: datetime) -> float | None:
    try:
        there = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return (now - there).total_seconds() if there.tzinfo else None
