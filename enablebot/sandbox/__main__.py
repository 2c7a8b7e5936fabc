"""`python -m enablebot.sandbox`: Slack and OpenAI played on this machine."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from enablebot.sandbox.config import SandboxConfig
from enablebot.sandbox.server import serve


def configured(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[SandboxConfig, int]:
    """The settings and the port that a command line and an environment ask for."""
    usual = SandboxConfig()
    parser = argparse.ArgumentParser(prog="python -m enablebot.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=8002)
    parser.add_argument("--data-dir", type=Path, help="keeps workspaces and messages there; without it, in memory")
    parser.add_argument("--client-id", default=environment.get("SANDBOX_CLIENT_ID") or usual.client_id)
    parser.add_argument("--client-secret", default=environment.get("SANDBOX_CLIENT_SECRET") or usual.client_secret)
    parser.add_argument("--signing-secret", default=environment.get("SANDBOX_SIGNING_SECRET") or usual.signing_secret)
    parser.add_argument(
        "--app-token",
        default=environment.get("SANDBOX_APP_TOKEN") or usual.app_token,
        help="an xapp-… token; turns Socket Mode on, and delivery by HTTP off",
    )
    parser.add_argument(
        "--events-url", action="append", help="more than once for several instances, which get their turn"
    )
    parser.add_argument("--interactions-url", action="append", help="the same")
    parser.add_argument("--redirect-url", default=usual.redirect_url)
    parser.add_argument("--time-scale", type=float, default=usual.time_scale)
    parser.add_argument("--model-delay-ms", type=float, default=usual.model_delay_ms)
    parser.add_argument("--history-cap", action="store_true", help="15 messages, once a minute")
    parser.add_argument("--without-slack", action="store_true")
    parser.add_argument("--without-openai", action="store_true")
    parser.add_argument("--without-rate-limits", action="store_true", help="for load tests of the app itself")
    parser.add_argument("--kept", type=int, default=usual.kept, help="entries of each kind that the ledger remembers")
    parser.add_argument("--stream-seconds", type=float, default=usual.stream_seconds, help="a stream's life, unscaled")
    parser.add_argument("--copies", type=int, default=usual.copies, help="each event comes once to that many times")
    parser.add_argument("--scatter-ms", type=float, default=usual.scatter_ms, help="events overtake each other")
    given = parser.parse_args(arguments)
    events_url, *more_events_urls = given.events_url or [usual.events_url]
    interactions_url, *more_interactions_urls = given.interactions_url or [usual.interactions_url]
    if given.without_slack and given.without_openai:
        parser.error("--without-slack and --without-openai together leave nothing to play")
    config = SandboxConfig(
        client_id=given.client_id,
        client_secret=given.client_secret,
        signing_secret=given.signing_secret,
        app_token=given.app_token,
        events_url=events_url,
        interactions_url=interactions_url,
        more_events_urls=tuple(more_events_urls),
        more_interactions_urls=tuple(more_interactions_urls),
        redirect_url=given.redirect_url,
        data_dir=given.data_dir,
        time_scale=given.time_scale,
        model_delay_ms=given.model_delay_ms,
        history_cap=given.history_cap,
        kept=given.kept,
        stream_seconds=given.stream_seconds,
        copies=given.copies,
        scatter_ms=given.scatter_ms,
        rate_limits=not given.without_rate_limits,
        with_slack=not given.without_slack,
        with_openai=not given.without_openai,
    )
    return config, given.port


def main() -> None:
    config, port = configured(sys.argv[1:], os.environ)
    played = " and ".join(
        name for name, wanted in (("Slack", config.with_slack), ("OpenAI", config.with_openai)) if wanted
    )
    print(f"{played} played at http://localhost:{port} (sandbox, everything in it is made up)", flush=True)
    # uvicorn raises the signal again once it has shut down; being asked to leave is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with suppress(KeyboardInterrupt):
            serve(config, host="127.0.0.1", port=port)
    except OSError as error:
        raise SystemExit(f"Port {port} cannot be used: {error.strerror}. Choose another one with --port.") from error


if __name__ == "__main__":
    main()
