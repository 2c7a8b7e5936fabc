"""A Postgres server of a test's own: to be struck down, filled up, or looked at through a proxy."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from enablebot.shared.database.embedded import EmbeddedPostgres, Version
from enablebot.tests.database import PostgresServer, from_sync
from enablebot.tests.faults.proxy import Target

# What was committed outlives the server; nothing here has to outlive the machine.
_SETTINGS = {"synchronous_commit": "on", "fsync": "off", "autovacuum": "off", "max_connections": "100"}
LOGIN = "enablebot_test_services"


@dataclass(frozen=True)
class OwnPostgres:
    """A server that no other test shares, with a migrated database."""

    embedded: EmbeddedPostgres
    server: PostgresServer
    database: str

    @property
    def services_url(self) -> str:
        """For a login that is a member of both services' roles and nothing else."""
        return self.server.url(self.database, login=LOGIN)

    @property
    def admin_url(self) -> str:
        """For the superuser."""
        return self.server.url(self.database)

    @property
    def socket(self) -> Target:
        """Where a proxy finds the server."""
        return Target(path=str(self.embedded.socket_dir / ".s.PGSQL.5432"))

    def strike(self) -> None:
        """End the server at once, as a crash does: nothing is flushed, nobody is told."""
        pid = self.embedded.postmaster_pid()
        assert pid is not None, "the server does not run"
        os.kill(pid, signal.SIGQUIT)
        while self.embedded.postmaster_pid() is not None:
            time.sleep(0.005)

    def revive(self) -> None:
        """Start it again; it recovers from its log."""
        self.embedded.start()


@contextmanager
def own_postgres(
    home: Path, *, version: Version = 18, settings: Mapping[str, str] | None = None
) -> Iterator[OwnPostgres]:
    """A server under `home`, gone afterwards; `settings` go into its configuration."""
    with EmbeddedPostgres(home, version=version, settings=_SETTINGS | dict(settings or {})) as embedded:
        server = PostgresServer(embedded.url(), is_ours=False)
        from_sync(server.prepare())
        with server.migrated() as database:
            yield OwnPostgres(embedded, server, database)
            # A server that a test left down is started once more, for the database to be dropped.
            embedded.start()


def through(port: int, url: str) -> str:
    """The same database behind a proxy on a port of loopback."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit((parts.scheme, f"{login}@127.0.0.1:{port}", parts.path, "", ""))
