"""A port chosen for a process that starts later is still free when it does."""

import socket
import subprocess
import sys

import pytest

from enablebot.local import ports
from enablebot.local.ports import PortTaken, free_port

_ASK = "from enablebot.local.ports import free_port; print(*(free_port() for _ in range(50))); input()"


def test_two_processes_are_never_given_the_same_port() -> None:
    asking = [
        subprocess.Popen([sys.executable, "-c", _ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    given: list[str] = []
    for process in asking:
        assert process.stdout is not None
        given += process.stdout.readline().split()
    for process in asking:
        process.communicate("over\n")
    assert len(given) == 200
    assert len(set(given)) == 200


def test_a_port_is_none_that_the_system_hands_out_by_itself() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert free_port() < server.getsockname()[1]


def test_a_port_that_somebody_listens_on_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        monkeypatch.setattr(ports, "_FIRST", taken)
        monkeypatch.setattr(ports, "_LAST", taken + 1)
        with pytest.raises(PortTaken):
            free_port()
