"""`up`: the whole product on this machine, for as long as the terminal stays open."""

import os
import sys

from enablebot.config.settings import Settings
from enablebot.local.children import Say
from enablebot.local.database import database_at_home
from enablebot.local.household import Household, Ports, furnish
from enablebot.local.ports import insist_free
from enablebot.local.sandbox_credentials import sandbox_credentials
from enablebot.local.supervisor import Supervisor


async def run_up(settings: Settings, *, sandbox_port: int, say: Say) -> None:
    """Start everything, say where to go, and keep it alive until Ctrl-C.

    Raises PortTaken, NotReady, ChildBroken or an EnableBotError, each with a message for the person at the terminal.
    """
    ports = Ports(api=settings.http.api_port, web=settings.http.web_port, sandbox=sandbox_port)
    data_dir = settings.database.data_dir
    insist_free([("api", ports.api), ("web", ports.web), ("sandbox", ports.sandbox)])
    async with database_at_home(settings, data_dir=data_dir, say=say) as told:
        household = furnish(
            settings,
            environ=os.environ | ({"LOG_FORMAT": "text"} if sys.stdout.isatty() and not _names_format() else {}),
            database=told.shared,
            logins=told.logins,
            ports=ports,
            credentials=sandbox_credentials(data_dir),
            sandbox_dir=data_dir / "sandbox",
        )
        supervisor = Supervisor(household.children, say=say)

        async def welcome() -> None:
            say(welcome_text(household))
            await supervisor.until_stopped()

        await supervisor.run(then=welcome)
        say("Stopped.")


def welcome_text(household: Household) -> str:
    """Where to go and what to do first."""
    rows = [(household.web_url, "start here: add EnableBot to a workspace")]
    if household.installs_by_token:
        rows = [(household.web_url, "the web service")]
    if household.plays_slack and household.sandbox_url:
        rows.append((household.sandbox_url, "then talk to it: a played Slack, nothing leaves this machine"))
    rows.append((f"{household.api_url}/ready", "the api, where Slack's events arrive"))
    rows.append((f"{household.api_url}/v1", "the REST API: `python -m enablebot api-keys create` makes a key"))
    width = max(len(url) for url, _ in rows)
    played = [
        name for name, is_played in (("Slack", household.plays_slack), ("OpenAI", household.plays_openai)) if is_played
    ]
    lines = ["", "EnableBot is ready.", "", *(f"  {url:<{width}}   {what}" for url, what in rows), ""]
    if played:
        lines.append(f"  {' and '.join(played)} played by the sandbox: .env has no credentials for the real one.")
    if household.installs_by_token:
        lines.append("  Add your workspace: `python -m enablebot tenants add --bot-token -`. Then talk to it in Slack.")
    lines += ["  Ctrl-C stops all of it.", ""]
    return "\n".join(lines)


def _names_format() -> bool:
    return bool(os.environ.get("LOG_FORMAT"))
