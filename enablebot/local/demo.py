"""`demo`: the whole story, played by itself on a household of its own, and its transcript."""

import os
import shutil
import time

from enablebot.config.settings import Settings
from enablebot.local.children import Say
from enablebot.local.database import database_at_home
from enablebot.local.household import Ports, furnish
from enablebot.local.ports import free_port
from enablebot.local.sandbox_credentials import sandbox_credentials
from enablebot.local.story import StoryBroken, play
from enablebot.local.supervisor import Supervisor


async def run_demo(settings: Settings, *, say: Say, verbose: bool) -> None:
    """Play install, questions in channel, thread and DM, and uninstall, against real services and a played Slack.

    Its data lives in `<data dir>/demo` and starts empty; a database named in the settings is used as it is.
    Ports are free ones, so that it may run beside `up`. Raises StoryBroken when an act does not end as it must.
    """
    if settings.is_production:
        raise StoryBroken("The demo plays a made-up workspace; it does not run with ENVIRONMENT=production.")
    began = time.monotonic()
    data_dir = settings.database.data_dir / "demo"
    shutil.rmtree(data_dir / "sandbox", ignore_errors=True)
    whisper: Say = say if verbose else _silence
    async with database_at_home(settings, data_dir=data_dir, say=whisper) as told:
        household = furnish(
            settings,
            environ=os.environ | {"LOG_FORMAT": "text", "LOG_LEVEL": "INFO" if verbose else "WARNING"},
            database=told.shared,
            logins=told.logins,
            ports=Ports(api=free_port(), web=free_port(), sandbox=free_port()),
            credentials=sandbox_credentials(data_dir),
            sandbox_dir=data_dir / "sandbox",
            play_everything=True,
            model_delay_ms=10,
            time_scale=0.1,
        )

        async def story() -> None:
            await play(household, say=say)

        await Supervisor(household.children, say=whisper).run(then=story)
    say(f"The end: every act ended as it must, {time.monotonic() - began:.1f} s.")


def _silence(_: str) -> None:
    return None
