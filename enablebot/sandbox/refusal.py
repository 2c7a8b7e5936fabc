"""How the played Slack says no."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """An answer `{"ok": false, "error": …}`; `extra` joins the body."""

    def __init__(self, error: str, **extra: Any) -> None:
        super().__init__(error)
        self.error = error
        self.extra = extra


class RateLimited(Refused):
    """HTTP 429 with `Retry-After`, in whole seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("ratelimited")
        self.retry_after = retry_after


def invalid_arguments(*messages: str) -> Refused:
    """Slack's complaint about arguments, with its reasons."""
    return Refused("invalid_arguments", response_metadata={"messages": [f"[ERROR] {text}" for text in messages]})
