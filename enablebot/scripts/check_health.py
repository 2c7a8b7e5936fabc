"""`python -m enablebot.scripts.check_health 8001`: 0 when the service on this machine is alive, for Docker."""

import os
import sys
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException

PATIENCE_SECONDS = 4


def is_alive(port: int) -> bool:
    """Whether GET /health on loopback answers 200. A slow database does not count: a restart would not mend it."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Ask the port in PORT, which the service obeys first, else the one given."""
    given = environ.get("PORT", "").strip() or (argv[0] if argv else "")
    if not given.isdecimal():
        print("Name the port to ask: python -m enablebot.scripts.check_health 8001", file=sys.stderr)
        return 2
    if not is_alive(int(given)):
        print(f"Nothing answers 200 at http://127.0.0.1:{given}/health; the service's log says why.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
