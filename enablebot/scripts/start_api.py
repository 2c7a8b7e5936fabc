"""`python -m enablebot.scripts.start_api`: the api service, until SIGTERM."""

import sys
from pathlib import Path

if __package__ in {None, ""}:  # run as a file: the package lies two directories up, and is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from enablebot.api.knowledge.undumpable import refuse_dumps
from enablebot.api.main import create_app
from enablebot.config.settings import load_settings
from enablebot.scripts.serve import serve
from enablebot.shared.errors import EnableBotError
from enablebot.shared.logging import configure_logging


def main() -> None:
    """Settings in, app, serve; what is wrong at the start is said once, without a traceback."""
    refuse_dumps()  # the readers of strangers' files are processes of the same user
    try:
        settings = load_settings(service="api")
        configure_logging(settings.logging, secrets=settings.secret_values())
        serve(
            create_app(settings),
            host=settings.http.api_host,
            port=settings.http.api_port,
            drain_seconds=settings.worker.drain_seconds,
        )
    except EnableBotError as error:
        sys.exit(error.message)


if __name__ == "__main__":
    main()
