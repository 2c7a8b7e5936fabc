"""A real PgBouncer in front of a test server, in the mode a test asks for, on an address of its own."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NoReturn
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from enablebot.local.ports import free_port
from enablebot.shared.database.unprivileged import find_unprivileged
from enablebot.tests.database import LOGINS, PASSWORD, PostgresServer

Mode = Literal["transaction", "session"]

_CONFIG = """[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = {address}
listen_port = {listen_port}
unix_socket_dir =
auth_type = plain
auth_file = {users}
pool_mode = {mode}
default_pool_size = {pool_size}
max_client_conn = 200
# As poolers do in front of Postgres for clients that send it.
ignore_startup_parameters = extra_float_digits
server_login_retry = 1
# No connection twice in a row, where the default would hand out the same one as long as nobody else asks.
server_round_robin = 1
logfile =
pidfile =
"""


class Pooler:
    """A pooler's address, and URLs that lead through it."""

    def __init__(self, address: str, port: int) -> None:
        """Take where it listens."""
        self.address, self.port = address, port

    def url(self, database: str, *, login: str = "postgres", options: str = "") -> str:
        """Return the URL of a database for a login, with `options` behind it as providers write them."""
        return f"postgresql://{login}:{PASSWORD}@{self.address}:{self.port}/{quote(database)}{options}"


@contextmanager
def pgbouncer(
    server: PostgresServer, folder: Path, *, mode: Mode, port: int | None = None, pool_size: int = 3
) -> Iterator[Pooler]:
    """Run PgBouncer with `pool_size` connections to a server; `port` is taken on a loopback address of its own."""
    binary = _pgbouncer_binary()
    # Any of 127/8 is this machine, so runs side by side may each have a port 6543.
    address = "127.0.0.1" if port is None else f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250)}.77"
    pooler = Pooler(address, port or free_port())
    users, config = folder / "users.txt", folder / "pgbouncer.ini"
    users.write_text("".join(f'"{login}" "{PASSWORD}"\n' for login in ("postgres", *LOGINS)))
    behind = urlsplit(server.admin_url)
    config.write_text(
        _CONFIG.format(
            host=behind.hostname or parse_qs(behind.query)["host"][0],
            port=behind.port or 5432,
            address=pooler.address,
            listen_port=pooler.port,
            users=users,
            mode=mode,
            pool_size=pool_size,
        )
    )
    unprivileged = find_unprivileged()
    for path in (config, users):
        unprivileged.take_over(path)
    process = subprocess.Popen(
        [*unprivileged.prefix, binary, str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        user=unprivileged.user,
        group=unprivileged.user,
    )
    try:
        _wait_until_open(process, pooler)
        yield pooler
    finally:
        # At once, whoever is connected: SIGINT would wait for them.
        process.terminate()
        process.communicate()


def _pgbouncer_binary() -> str:
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        _missing("pgbouncer is not installed (on Debian and Ubuntu: apt install pgbouncer)")
    return found


def _missing(why: str) -> NoReturn:
    message = f"NO PGBOUNCER, poolers in front of Postgres are not proven: {why}"
    if os.environ.get("ENABLEBOT_REQUIRE_PGBOUNCER") == "1":
        pytest.fail(message)
    pytest.skip(message)


def _wait_until_open(process: subprocess.Popen[bytes], pooler: Pooler) -> None:
    for _ in range(500):
        if process.poll() is not None:
            output = process.stdout.read().decode(errors="replace") if process.stdout else ""
            pytest.fail(f"PgBouncer ended at once: {output[-500:]}")
        with socket.socket() as asking:
            if asking.connect_ex((pooler.address, pooler.port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail("PgBouncer did not open its port")
