"""Slack's request signature, version 0."""

from __future__ import annotations

import hashlib
import hmac


def signature_headers(*, secret: str, body: bytes, now: float) -> dict[str, str]:
    """The two headers that prove a request comes from Slack: HMAC-SHA256 over `v0:timestamp:body`."""
    timestamp = str(int(now))
    digest = hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": f"v0={digest}"}
