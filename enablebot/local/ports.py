"""Free ports, and who is in the way of a wanted one."""

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import IO

# Below what Linux and macOS hand out by themselves, to servers on port 0 and to every outgoing connection.
_FIRST, _LAST = 20_000, 32_000

# The locks of the ports this process was given, held as long as it lives.
_ours: list[IO[bytes]] = []


class PortTaken(Exception):
    """Another process listens where a service of ours is to listen."""


def free_port() -> int:
    """A port of loopback that nobody listens on, and that no other call on this machine is given while we live.

    The port is used by a process started later. Were it one that the system hands out by itself, a connection or
    another server could have it by then.
    """
    folder = Path(tempfile.gettempdir()) / f"enablebot-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    start = random.SystemRandom().randrange(_LAST - _FIRST)
    for port in chain(range(_FIRST + start, _LAST), range(_FIRST, _FIRST + start)):
        lock = (folder / str(port)).open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _ours.append(lock)
        return port
    raise PortTaken(f"Every port from {_FIRST} to {_LAST - 1} is taken. End what listens there.")


def insist_free(ports: Iterable[tuple[str, int]]) -> None:
    """Raise PortTaken, naming every taken port at once."""
    taken = [f"{name} wants port {port}" for name, port in ports if _is_taken(port)]
    if taken:
        raise PortTaken(
            f"Another process is in the way: {', '.join(taken)}. "
            "Perhaps EnableBot is already running; stop it, "
            "or choose other ports with API_PORT, WEB_PORT and --sandbox-port."
        )


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
