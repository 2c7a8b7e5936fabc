"""What a played Slack and OpenAI are told before they start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """The sandbox's settings; every value is fake and none opens anything outside this machine.

    `time_scale` shortens Slack's retry schedule and a stream's lifetime, never the three seconds an app has to answer.
    `data_dir` keeps workspaces, installs and messages over a restart; None keeps them in memory.
    `app_token` turns Socket Mode on: events go through the app's sockets, and nothing is posted to its addresses.
    `history_cap` plays the 15 messages, once a minute rule for apps outside Slack's Marketplace.
    `more_events_urls` and `more_interactions_urls` are further instances of the app, posted to in turn with the
    first, as a load balancer would. `kept` is how many deliveries, calls and violations the ledger remembers.
    With `copies` each event is delivered once to that many times, side by side; with `scatter_ms` each delivery
    begins up to that much later, so that events overtake each other.
    """

    client_id: str = "sandbox-client-id"
    client_secret: str = "sandbox-client-secret"  # noqa: S105 - opens nothing but this sandbox
    signing_secret: str = "sandbox-signing-secret"  # noqa: S105 - the same
    app_token: str | None = None
    events_url: str = "http://localhost:8001/slack/events"
    interactions_url: str = "http://localhost:8001/slack/interactions"
    redirect_url: str = "http://localhost:8000/slack/oauth_redirect"
    more_events_urls: tuple[str, ...] = ()
    more_interactions_urls: tuple[str, ...] = ()
    data_dir: Path | None = None
    time_scale: float = 1.0
    with_slack: bool = True
    with_openai: bool = True
    model_delay_ms: float = 30.0
    rate_limits: bool = True
    history_cap: bool = False
    ack_seconds: float = 3.0
    stream_seconds: float = 300.0
    post_burst: int = 5
    socket_seconds: float = 3600.0
    copies: int = 1
    scatter_ms: float = 0.0
    kept: int = 5000
