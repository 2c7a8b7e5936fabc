"""Free ports, and who is in the way of a wanted one."""

import socket
from collections.abc import Iterable


class PortTaken(Exception):
    """Another process listens where a service of ours is to listen."""


def free_port() -> int:
    """A port that nobody listens on at this moment, on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
