"""Which processes make up EnableBot on one machine, and with which environment each is started."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from enablebot.config.settings import Settings
from enablebot.local.children import Child
from enablebot.local.sandbox_credentials import SandboxCredentials

SANDBOX_APP_TOKEN = "xapp-1-A0ENABLEBOT-sandbox"  # noqa: S105 - opens nothing but the sandbox


@dataclass(frozen=True)
class Ports:
    """Where the three processes listen, on loopback."""

    api: int
    web: int
    sandbox: int


@dataclass(frozen=True)
class Household:
    """The children, in the order in which they are to be stopped last, and the addresses a person opens."""

    children: tuple[Child, ...]
    api_url: str
    web_url: str
    sandbox_url: str | None
    plays_slack: bool
    plays_openai: bool
    installs_by_token: bool = False


def has_openai(settings: Settings) -> bool:
    """Whether the settings name a real model: OpenAI's key, or a compatible server."""
    return settings.model.api_key is not None or settings.model.base_url is not None


def furnish(
    settings: Settings,
    *,
    environ: Mapping[str, str],
    database: Mapping[str, str],
    ports: Ports,
    credentials: SandboxCredentials,
    sandbox_dir: Path | None,
    logins: Mapping[str, str] = MappingProxyType({}),
    play_everything: bool = False,
    model_delay_ms: int = 30,
    time_scale: float = 1.0,
    sandbox_flags: Sequence[str] = (),
) -> Household:
    """Decide what the sandbox plays and give every child its environment.

    `database` is what both services are told about theirs, on top of `environ`, and `logins` each one's own
    DATABASE_URL; for a database named in the settings both are empty, the services read it themselves.
    Without `sandbox_dir` the sandbox lives in memory. `sandbox_flags` are options of `python -m enablebot.sandbox`.
    PORT is withheld: it names one service's port, and there are several here.
    """
    plays_slack = play_everything or not settings.slack.names_app
    plays_openai = play_everything or not has_openai(settings)
    sandbox_url = f"http://localhost:{ports.sandbox}"
    api_url, web_url = f"http://localhost:{ports.api}", f"http://localhost:{ports.web}"

    services = (
        dict(environ)
        | dict(database)
        | {
            "PORT": "",
            "API_PORT": str(ports.api),
            "WEB_PORT": str(ports.web),
            "ENABLEBOT_DATA_DIR": str(settings.database.data_dir),
            "PYTHONUNBUFFERED": "1",
        }
    )
    if plays_slack:
        services |= {
            "SLACK_BASE_URL": sandbox_url,
            "SLACK_CLIENT_ID": credentials.client_id,
            "SLACK_CLIENT_SECRET": credentials.client_secret,
            "SLACK_SIGNING_SECRET": credentials.signing_secret,
            "API_PUBLIC_URL": api_url,
            "WEB_PUBLIC_URL": web_url,
        }
        if settings.slack.app_token is not None:
            # Blank would mean `.env`'s, and a real token is no business of the sandbox.
            services["SLACK_APP_TOKEN"] = SANDBOX_APP_TOKEN
    if plays_openai:
        services |= {"OPENAI_BASE_URL": f"{sandbox_url}/openai/v1", "OPENAI_API_KEY": "sk-sandbox"}

    own = {name: {"DATABASE_URL": url} for name, url in logins.items()}
    children = [
        Child(name, _module(f"enablebot.scripts.start_{name}"), f"{url}/ready", services | own.get(name, {}))
        for name, url in (("api", api_url), ("web", web_url))
    ]
    if plays_slack or plays_openai:
        children.insert(
            0,
            _sandbox(
                environ,
                ports=ports,
                credentials=credentials,
                sandbox_dir=sandbox_dir,
                slack=plays_slack,
                by_socket=settings.slack.app_token is not None,
                openai=plays_openai,
                model_delay_ms=model_delay_ms,
                time_scale=time_scale,
                more_flags=sandbox_flags,
            ),
        )
    return Household(
        children=tuple(children),
        api_url=api_url,
        web_url=web_url,
        sandbox_url=sandbox_url if plays_slack or plays_openai else None,
        plays_slack=plays_slack,
        plays_openai=plays_openai,
        # Without the app's client there is no Add to Slack, as is usual with Socket Mode.
        installs_by_token=not plays_slack and settings.slack.client_id is None,
    )


def _sandbox(
    environ: Mapping[str, str],
    *,
    ports: Ports,
    credentials: SandboxCredentials,
    sandbox_dir: Path | None,
    slack: bool,
    by_socket: bool,
    openai: bool,
    model_delay_ms: int,
    time_scale: float,
    more_flags: Sequence[str],
) -> Child:
    flags = [
        "--port", str(ports.sandbox),
        "--events-url", f"http://localhost:{ports.api}/slack/events",
        "--interactions-url", f"http://localhost:{ports.api}/slack/interactions",
        "--redirect-url", f"http://localhost:{ports.web}/slack/oauth_redirect",
        "--model-delay-ms", str(model_delay_ms),
        "--time-scale", f"{time_scale:g}",
        *more_flags,
    ]  # fmt: skip
    if sandbox_dir is not None:
        flags += ["--data-dir", str(sandbox_dir)]
    if not slack:
        flags.append("--without-slack")
    if not openai:
        flags.append("--without-openai")
    secrets = {
        "SANDBOX_CLIENT_ID": credentials.client_id,
        "SANDBOX_CLIENT_SECRET": credentials.client_secret,
        "SANDBOX_SIGNING_SECRET": credentials.signing_secret,
        "SANDBOX_APP_TOKEN": SANDBOX_APP_TOKEN if by_socket else "",
        "PYTHONUNBUFFERED": "1",
    }
    return Child(
        "sandbox", (*_module("enablebot.sandbox"), *flags),
        f"http://localhost:{ports.sandbox}/sandbox/api/state", dict(environ) | secrets,
    )  # fmt: skip


def _module(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name)
