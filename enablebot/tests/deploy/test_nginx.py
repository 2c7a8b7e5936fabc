"""nginx.conf's own promises, with played instances behind it."""

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from enablebot.local.ports import free_port
from enablebot.tests.deploy.nginx import nginx_binary, render


class Instance(ThreadingHTTPServer):
    """A played instance: says what it was sent, or breaks off after having read it."""

    daemon_threads = True

    def __init__(self, *, is_there: bool = True) -> None:
        self.breaks_off = False
        self.seen: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.connections: list[tuple[str, int]] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
                owner.seen.append((self.path, body))
                owner.connections.append(self.client_address)
                owner.headers.append({name.lower(): value for name, value in self.headers.items()})
                if owner.breaks_off:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            do_GET = do_POST  # noqa: N815 - http.server's spelling

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
                """Say nothing: the test's outcome says it."""

        # Bound and not listening is what an instance that is gone is like to its callers, and nobody takes the port.
        super().__init__(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.server_bind()
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        if is_there:
            self.come()

    def come(self) -> None:
        """Listen from now on."""
        self.server_activate()
        self._thread.start()

    def leave(self) -> None:
        """Close the port, whether it was listened on or not."""
        if self._thread.is_alive():
            self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection broken off on purpose is no news."""


class Fronts:
    """nginx with two played instances and one web."""

    def __init__(self, prefix: Path, *, has_first: bool = True) -> None:
        self.first, self.second, self.web = Instance(is_there=has_first), Instance(), Instance()
        self.api_port, self.web_port = free_port(), free_port()
        instances = {8001: self.first.server_port, 8011: self.second.server_port, 8000: self.web.server_port}
        nginx = render(prefix, api_front=self.api_port, web_front=self.web_port, instances=instances)
        self.process = subprocess.Popen(nginx.argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            for port in (self.api_port, self.web_port):
                self._wait_for(port)
        except BaseException:
            self.close()
            raise

    def _wait_for(self, port: int) -> None:
        for _ in range(1000):
            assert self.process.poll() is None, self.process.communicate()[0].decode()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("nginx does not listen")

    def send(
        self, path: str, *, body: str = "x", port: int | None = None, headers: dict[str, str] | None = None
    ) -> int:
        # From an address that is not nginx's own, so that the two cannot be mistaken.
        asked = HTTPConnection("127.0.0.1", port or self.api_port, timeout=10, source_address=("127.0.0.2", 0))
        asked.request("POST", path, body, headers or {})
        status = asked.getresponse().status
        asked.close()
        return status

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate()
        for instance in (self.first, self.second, self.web):
            instance.leave()


@pytest.fixture
def fronts(tmp_path: Path) -> Iterator[Fronts]:
    made = Fronts(tmp_path / "nginx")
    yield made
    made.close()


def test_an_event_that_broke_off_with_one_instance_reaches_the_other(fronts: Fronts) -> None:
    fronts.first.breaks_off = True
    assert [fronts.send("/slack/events", body=str(number)) for number in range(6)] == [200] * 6
    assert sorted(body for _, body in fronts.second.seen) == list("012345")
    assert fronts.first.seen, "nothing was sent to the one that breaks off, so this proves nothing"


def test_a_request_that_may_not_be_repeated_is_not(fronts: Fronts) -> None:
    fronts.first.breaks_off = True
    statuses = [fronts.send("/v1/answers", body=str(number)) for number in range(6)]
    assert sorted(statuses) == [200] * 3 + [502] * 3
    arrived = [body for _, body in fronts.first.seen + fronts.second.seen]
    assert sorted(arrived) == list("012345")


def test_only_what_may_be_repeated_travels_on_kept_connections(fronts: Fronts) -> None:
    for _ in range(2):
        assert [fronts.send("/slack/events") for _ in range(4)] == [200] * 4
        assert [fronts.send("/v1/answers") for _ in range(4)] == [200] * 4
    used: dict[str, set[tuple[int, int]]] = {"/slack/events": set(), "/v1/answers": set()}
    for instance in (fronts.first, fronts.second):
        for (path, _), connection in zip(instance.seen, instance.connections, strict=True):
            used[path].add((connection[1], instance.server_port))
    assert len(used["/slack/events"]) == 2
    assert len(used["/v1/answers"]) == 8
    assert not used["/slack/events"] & used["/v1/answers"]


def test_an_instance_that_is_gone_is_noticed_by_nobody_and_used_again_at_once(tmp_path: Path) -> None:
    fronts = Fronts(tmp_path / "nginx", has_first=False)
    try:
        for path in ("/slack/events", "/v1/answers"):
            assert [fronts.send(path) for _ in range(4)] == [200] * 4
        assert len(fronts.second.seen) == 8
        fronts.first.come()
        assert [fronts.send("/v1/answers") for _ in range(2)] == [200] * 2
        assert len(fronts.first.seen) == 1
    finally:
        fronts.close()


@pytest.mark.parametrize("door", ["/slack/events", "/v1/answers", "/dashboard"])
def test_the_caller_cannot_choose_the_address_the_services_believe(fronts: Fronts, door: str) -> None:
    port = fronts.web_port if door == "/dashboard" else fronts.api_port
    lies = {"X-Real-IP": "203.0.113.7", "X-Forwarded-For": "203.0.113.7"}
    assert fronts.send(door, port=port, headers=lies) == 200
    arrived = [headers for each in (fronts.first, fronts.second, fronts.web) for headers in each.headers]
    assert [headers.get("x-real-ip") for headers in arrived] == ["127.0.0.2"]
    assert "x-forwarded-for" not in arrived[0]


def test_figures_are_not_for_outside(fronts: Fronts) -> None:
    assert fronts.send("/metrics") == 404
    assert fronts.send("/metrics", port=fronts.web_port) == 404
    assert not fronts.first.seen + fronts.second.seen + fronts.web.seen


def test_nginx_accepts_the_file_with_https_as_it_is_handed_out(tmp_path: Path) -> None:
    nginx = render(
        tmp_path / "nginx",
        api_front=free_port(),
        web_front=free_port(),
        instances={8001: 8001, 8011: 8011, 8000: 8000},
        with_tls=True,
    )
    said = subprocess.run([*nginx.argv, "-t"], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "[warn]" not in said.stderr, said.stderr


@pytest.mark.parametrize(("required", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_without_nginx_nothing_is_passed_off_as_proven(
    monkeypatch: pytest.MonkeyPatch, required: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("ENABLEBOT_REQUIRE_NGINX", required)
    monkeypatch.setattr("enablebot.tests.deploy.nginx.shutil.which", lambda *_, **__: None)
    with pytest.raises(outcome, match="NO NGINX"):
        nginx_binary()
