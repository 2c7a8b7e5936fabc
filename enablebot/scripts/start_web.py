"""`python -m enablebot.scripts.start_web`: the web service, until SIGTERM."""

import sys
from pathlib import Path

if __package__ in {None, ""}:  # run as a file: the package lies two directories up, and is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from enablebot.config.settings import load_settings
from enablebot.scripts.serve import serve
from enablebot.shared.errors import EnableBotError
from enablebot.shared.logging import configure_logging
from enablebot.web.main import create_app


def main() -> None:
    """Settings in, app, serve; what is wrong at the start is said once, without a traceback."""
    try:
        settings = load_settings(service="web")
        configure_logging(settings.logging, secrets=settings.secret_values())
        serve(
            create_app(settings),
            host=settings.http.web_host,
            port=settings.http.web_port,
            drain_seconds=settings.worker.drain_seconds,
        )
    except EnableBotError as error:
        sys.exit(error.message)


if __name__ == "__main__":
    main()
