"""`python -m enablebot.scripts.start`: the service that the platform's service name asks for, until SIGTERM.

Railway reads one `railway.toml`, and with it one start command, for both services; it tells them apart by name.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

if __package__ in {None, ""}:  # run as a file: the package lies two directories up, and is not on the path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from enablebot.shared.errors import SettingsError

ServiceName = Literal["api", "web"]
NAMES: tuple[ServiceName, ...] = ("api", "web")


def choose_service(environ: Mapping[str, str], *, default: ServiceName | None = None) -> ServiceName:
    """The service whose name is a word of RAILWAY_SERVICE_NAME; `default` where the platform names none.

    Raises SettingsError when the name says neither, or both: a guess would serve the wrong door.
    """
    given = environ.get("RAILWAY_SERVICE_NAME", "").strip()
    if not given and default is not None:
        return default
    words = set(re.split(r"[^a-z0-9]+", given.lower()))
    found = [name for name in NAMES if name in words]
    if len(found) == 1:
        return found[0]
    problem = "RAILWAY_SERVICE_NAME is missing" if not given else "RAILWAY_SERVICE_NAME says neither api nor web"
    if len(found) > 1:
        problem = "RAILWAY_SERVICE_NAME says both api and web"
    raise SettingsError(
        [
            f"{problem}, so it is not known which service to start. Rename the service to `api` or `web`, "
            "or give it the start command `python -m enablebot.scripts.start_api` or `…start_web`."
        ]
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Choose and start; what cannot be chosen is said once, without a traceback."""
    parser = argparse.ArgumentParser(prog="python -m enablebot.scripts.start", description=choose_service.__doc__)
    parser.add_argument("--default", choices=NAMES, help="the service to start where no name is given")
    arguments = parser.parse_args(argv)
    try:
        service = choose_service(os.environ, default=arguments.default)
    except SettingsError as error:
        sys.exit(error.message)
    _entrance(service)()


def _entrance(service: ServiceName) -> Callable[[], None]:
    # Inside: each service is spared the memory of the other's libraries.
    if service == "api":
        from enablebot.scripts.start_api import main as start
    else:
        from enablebot.scripts.start_web import main as start
    return start


if __name__ == "__main__":
    main()
