"""Offers so many requests a second whatever comes back: `python -m benchmarks.accepting.open_loop`.

The schedule is drawn before it begins (random gaps, as independent workspaces make them) and never waits for an answer:
a request that finds no free connection waits for one, and every answer is timed from when its request was due, so
that a server that stalls pays for all that came meanwhile. Prints one line of JSON.
"""

import argparse
import json
import random
import select
import socket
import threading
import time
from collections import deque
from pathlib import Path
from urllib.parse import urlsplit

CONNECTIONS = 128
PATIENCE_SECONDS = 10.0


class Driver:
    """Sends from one thread by the clock, hears the answers in another."""

    def __init__(self, address: tuple[str, int], requests: list[bytes], dues: list[float]) -> None:
        self._requests = requests
        self._dues = dues
        self._free: deque[socket.socket] = deque(_connected(address) for _ in range(CONNECTIONS))
        self._sockets = {sock.fileno(): sock for sock in self._free}
        self._underway: dict[int, int] = {}
        self._heard: dict[int, bytes] = {}
        self._backlog: deque[int] = deque()
        self._lock = threading.Lock()
        self._left = len(dues)
        self.seconds: list[float | None] = [None] * len(dues)
        self.lateness: list[float] = []
        self.statuses: dict[int, int] = {}

    def drive(self) -> None:
        """Keep the schedule, then wait for what is left, but not for ever."""
        self._began = time.perf_counter() + 0.1
        hearing = threading.Thread(target=self._hear, daemon=True)
        hearing.start()
        for number, due in enumerate(self._dues):
            wait = self._began + due - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            self.lateness.append(time.perf_counter() - self._began - due)
            with self._lock:
                self._backlog.append(number)
                self._send_waiting()
        hearing.join(PATIENCE_SECONDS)

    def _send_waiting(self) -> None:
        while self._backlog and self._free:
            number, sock = self._backlog.popleft(), self._free.popleft()
            self._underway[sock.fileno()] = number
            sock.sendall(self._requests[number])

    def _hear(self) -> None:
        poll = select.epoll()
        for descriptor in self._sockets:
            poll.register(descriptor, select.EPOLLIN)
        while self._left:
            for descriptor, _ in poll.poll(1.0):
                self._receive(descriptor)

    def _receive(self, descriptor: int) -> None:
        answer = self._heard.pop(descriptor, b"") + self._sockets[descriptor].recv(65536)
        head, end, body = answer.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not end or len(body) < int(length or 0):
            self._heard[descriptor] = answer
            return
        now = time.perf_counter()
        with self._lock:
            number = self._underway.pop(descriptor)
            self.seconds[number] = now - self._began - self._dues[number]
            status = int(head[9:12])
            self.statuses[status] = self.statuses.get(status, 0) + 1
            self._left -= 1
            self._free.append(self._sockets[descriptor])
            self._send_waiting()


def schedule(per_second: float, seconds: float) -> list[float]:
    """When each request is due, in seconds from the start; the same every time."""
    gaps, at, dues = random.Random(7), 0.0, []
    while (at := at + gaps.expovariate(per_second)) < seconds:
        dues.append(at)
    return dues


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of them lies."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def _connected(address: tuple[str, int]) -> socket.socket:
    sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def main() -> None:
    """Drive as told and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("requests", type=Path)
    parser.add_argument("--bytes", type=int, required=True)
    parser.add_argument("--per-second", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm-up", type=float, default=3.0, help="seconds at the start that are not counted")
    options = parser.parse_args()
    dues = schedule(options.per_second, options.warm_up + options.seconds)
    with options.requests.open("rb") as file:
        requests = [file.read(options.bytes) for _ in dues]
    parts = urlsplit(options.url)
    driver = Driver((parts.hostname or "127.0.0.1", parts.port or 80), requests, dues)
    driver.drive()
    counted = [(took, due) for took, due in zip(driver.seconds, dues, strict=True) if due >= options.warm_up]
    # An answer that never came took at least as long as anybody waited for it.
    seconds = [PATIENCE_SECONDS if took is None else took for took, _ in counted]
    print(
        json.dumps(
            {
                "offered": len(counted),
                "acknowledged": driver.statuses.get(200, 0),
                "sent": len(dues),
                "p50_ms": percentile(seconds, 0.5) * 1000,
                "p99_ms": percentile(seconds, 0.99) * 1000,
                "driver_p99_ms": percentile(driver.lateness, 0.99) * 1000,
            }
        )
    )


if __name__ == "__main__":
    main()
