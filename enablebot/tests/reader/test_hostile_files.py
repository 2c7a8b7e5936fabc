"""Bombs, XML attacks, broken PDFs and mislabelled files (UP-1 to UP-4): each ends with a reason, and harms nobody."""

import re
import resource
import socket
from collections.abc import Iterator

import pytest

from enablebot.api.knowledge.child import MEMORY, CannotRead
from enablebot.tests.faults.scale import FULL
from enablebot.tests.reader.asking import children_alive, hear, resident_bytes, seconds_spent
from enablebot.tests.reader.hostile_files import Hostile, hostile_files

pytestmark = pytest.mark.anyio

MB = 1024 * 1024
_SECONDS = 10  # of processor time, and less than that is what the child may have
# Each costs a process, and some the ten seconds: the suite has every fourth, `make test-faults` has all.
_NAMES = [hostile.name for hostile in hostile_files()][:: 1 if FULL else 4]


@pytest.fixture(scope="module")
def listener() -> Iterator[str]:
    """Somebody whom no document may call."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.fault
@pytest.mark.parametrize("name", _NAMES)
async def test_a_hostile_file_ends_with_a_reason_and_harms_nobody(name: str, listener: str) -> None:
    hostile = next(hostile for hostile in hostile_files(listener) if hostile.name == name)
    content = hostile.make()
    memory, spent = resident_bytes(), seconds_spent()
    ended = await _outcome(hostile, content)
    assert ended in hostile.ends
    assert seconds_spent() - spent < _SECONDS + 6 * len(content) / MB
    assert resident_bytes() - memory < 50 * MB
    # The largest child of this process so far: no child ever held more than its limit.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 <= MEMORY
    assert not children_alive()


def test_there_are_at_least_sixty_of_them_and_each_has_a_name_of_its_own() -> None:
    names = [hostile.name for hostile in hostile_files()]
    assert len(set(names)) == len(names) >= 60


async def _outcome(hostile: Hostile, content: bytes) -> str:
    refusal = None
    try:
        heard = await hear(content, hostile.format, name="hostile")
    except CannotRead as refused:
        refusal = refused
    if refusal is None:
        assert not re.search("root:|\0", heard.text)
        return "read"
    assert re.fullmatch(r"[A-Z].{20,250}\.", refusal.reason)
    return refusal.why
