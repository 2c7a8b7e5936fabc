"""Which addresses that Slack names may be called: exactly Slack's own hosts, or exactly the one it is played at."""

from collections.abc import Collection
from urllib.parse import urlsplit

SLACK = "https://slack.com"

Origin = tuple[str, str, int]


def origin_of(address: str) -> Origin | None:
    """Scheme, host and port of an address that names no user; None for any other."""
    # What one reader of addresses skips, another one reads: https://files.slack.com\\@evil.example.
    if any(character.isspace() or not character.isprintable() or character == "\\" for character in address):
        return None
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port if port is not None else (443 if parts.scheme == "https" else 80)


class KnownHosts:
    """Slack's hosts for one purpose; with a `base_url` that is not Slack's, its origin and nothing else."""

    def __init__(self, base_url: str, hosts: Collection[str]) -> None:
        is_slack = base_url.rstrip("/") == SLACK
        self._origins = {("https", host, 443) for host in hosts} if is_slack else {origin_of(base_url)} - {None}

    def know(self, address: str) -> bool:
        """Whether this address lies there."""
        return origin_of(address) in self._origins
