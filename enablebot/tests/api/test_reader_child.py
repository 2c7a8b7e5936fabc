"""The reader child from outside: what leaves it, what it may not do, and that it always ends."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from enablebot.api.knowledge import child
from enablebot.api.knowledge.child import CannotRead, ReadPassage, Said
from enablebot.reader import walls
from enablebot.shared.knowledge.terms import weigh
from enablebot.shared.models.document import MOST_BYTES
from enablebot.shared.models.passage import Place, in_context
from enablebot.tests.reader import intruder
from enablebot.tests.reader.asking import TENANT, children_alive, hear, pieces, resident_bytes, seconds_spent

pytestmark = pytest.mark.anyio

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="seccomp and /proc are Linux's")
MB = 1024 * 1024
_ROOT = str(Path(child.__file__).resolve().parents[3])


@pytest.fixture
def taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader's place is taken by one whose parser an intruder holds."""
    monkeypatch.setattr(child, "_READER", Path(intruder.__file__))


@pytest.fixture
def targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """What an intruder would go for: a secret, a listener, a socket as Postgres has one."""
    monkeypatch.setenv("ENCRYPTION_KEYS", "a-secret-of-the-parent")
    secret, victim, local = tmp_path / "keys.json", tmp_path / "victim", tmp_path / ".s.PGSQL.5432"
    secret.write_text("secret")
    victim.write_text("victim")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(local))
        unix.listen()
        tcp.setblocking(False)
        unix.setblocking(False)
        yield {
            "secret": str(secret),
            "victim": str(victim),
            "written": str(tmp_path / "written"),
            "port": tcp.getsockname()[1],
            "socket": str(local),
        }
        for listener in (tcp, unix):
            with pytest.raises(BlockingIOError):
                listener.accept()
    assert (secret.read_text(), victim.read_text()) == ("secret", "victim")
    assert not (tmp_path / "written").exists()


async def attempted(task: dict[str, object]) -> dict[str, str]:
    heard = await hear(json.dumps(task).encode(), "text")
    lines = [line for line in heard.text.splitlines() if ": " in line]
    return dict(line.split(": ", 1) for line in lines)


@ON_LINUX
async def test_from_inside_nothing_can_be_reached(taken_over: None, targets: dict[str, object]) -> None:
    outcomes = await attempted(targets)
    assert outcomes.pop("environment") == "empty"
    assert outcomes.pop("open") == "0 1 2"
    assert set(outcomes) == set(intruder.attempts(targets))
    assert set(outcomes.values()) == {"EPERM"}, outcomes


@ON_LINUX
async def test_without_the_walls_the_same_attempts_get_through(taken_over: None, tmp_path: Path) -> None:
    """Or the test above would prove nothing."""
    victim, secret = tmp_path / "victim", tmp_path / "secret"
    victim.write_text("")
    secret.write_text("")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "s"))
        unix.listen()
        outcomes = await attempted(
            {
                "bare": True,
                "secret": str(secret),
                "victim": str(victim),
                "written": str(tmp_path / "written"),
                "port": tcp.getsockname()[1],
                "socket": str(tmp_path / "s"),
            }
        )
    done = {name for name, outcome in outcomes.items() if outcome == "done"}
    assert done >= {
        "read a secret file", "list a directory", "write a file", "remove a file", "fork", "spawn", "connect by TCP",
        "connect to a socket", "send by UDP", "signal the parent", "make a file of memory", "raise its limits",
        "make memory executable",
    }  # fmt: skip
    assert sorted(os.listdir(tmp_path)) == ["s", "secret", "written"]  # noqa: PTH208 async


@ON_LINUX
def test_the_filter_names_the_same_calls_for_both_architectures() -> None:
    for machine, (column, architecture) in walls._ARCHITECTURES.items():
        code = walls._filter(column, architecture)
        assert len(code) % 8 == 0, machine
        assert len(code) // 8 < 256, "jumps reach no further"
        numbers = [numbers[column] for numbers in (*walls._CALLS.values(), *walls._MEMORY_CALLS.values())]
        assert len(set(numbers)) == len(numbers), machine


async def test_walls_are_found_to_hold_by_trying() -> None:
    assert (await child.missing_walls() is None) == (sys.platform == "linux")


async def test_where_walls_are_missing_nothing_is_read_unless_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on macOS: the reader is started on a system that has no seccomp."""
    elsewhere = tmp_path / "elsewhere.py"
    elsewhere.write_text(
        f"import sys; sys.path.insert(0, {_ROOT!r})\n"
        "from enablebot.reader import __main__ as entrance, walls\n"
        "import enablebot.reader.reading\n"
        "sys.platform = 'darwin'\n"
        "entrance.main()\n"
    )
    monkeypatch.setattr(child, "_READER", elsewhere)
    missing = await child.missing_walls()
    assert missing is not None
    assert "seccomp" in missing
    with pytest.raises(CannotRead) as refused:
        await hear(b"Some words.", "text")
    assert refused.value.why == "no_walls"
    assert "doctor" in refused.value.reason
    reading = child.read(pieces(b"Some words."), format="text", name="a.txt", tenant_id=TENANT, without_walls=True)
    async with aclosing(reading) as said:
        heard = [saying async for saying in said]
    assert [saying.text for saying in heard if isinstance(saying, ReadPassage)] == ["Some words."]


@ON_LINUX
async def test_this_process_can_close_itself_to_others_of_its_user() -> None:
    script = (
        "import ctypes, sys; from enablebot.api.knowledge.undumpable import refuse_dumps; refuse_dumps(); "
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    asked = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, cwd=_ROOT
    )
    said, _ = await asked.communicate()
    assert said.strip() == b"0"


async def test_a_passage_carries_what_the_database_needs() -> None:
    text = "LEAVE POLICY\n\nEverybody has thirty days of leave.\n"
    heard = await hear(text.encode(), "text", name="Holidays 2026.txt")
    (passage,) = heard.passages
    assert passage.text == "Everybody has thirty days of leave."
    assert passage.heading == ("LEAVE POLICY",)
    assert Place.from_json(passage.place) == Place(line=3)
    assert heard.done is not None
    assert (heard.done.title, heard.done.passages, heard.done.pages) == ("Holidays 2026", 1, None)
    assert passage.indexed == in_context("Holidays 2026", passage.heading, passage.text)
    weighed = weigh(TENANT, passage.indexed)
    assert (passage.term_ids, passage.weights) == (weighed.ids, weighed.weights)
    assert passage.tokens > 0


async def test_a_title_given_by_its_uploader_wins() -> None:
    heard = await hear(b"---\ntitle: Own\n---\nWords.", "markdown", name="n.md", title="Given")
    assert heard.done is not None
    assert heard.done.title == "Given"
    assert heard.passages[0].indexed.startswith("Given\n")
    own = await hear(b"---\ntitle: Own\n---\nWords.", "markdown", name="n.md")
    assert own.done is not None
    assert own.done.title == "Own"


async def test_a_document_of_the_largest_size_is_read_and_one_byte_more_is_not() -> None:
    line = b"Some words that fill a line of a very long text.\n"
    largest = (line * (MOST_BYTES // len(line) // 16 + 1))[: MOST_BYTES // 16] + b"\n" * (MOST_BYTES - MOST_BYTES // 16)
    assert (await hear(largest, "text")).passages
    with pytest.raises(CannotRead) as refused:
        await hear(largest + b"x", "text")
    assert refused.value.why == "too_large"


@pytest.mark.parametrize("content", [b"", b" \n\n\t ", b"\xef\xbb\xbf"])
async def test_a_file_with_nothing_in_it_says_so(content: bytes) -> None:
    with pytest.raises(CannotRead) as refused:
        await hear(content, "text")
    assert refused.value.why in ("empty", "no_text")
    assert "Send" in refused.value.reason or "send" in refused.value.reason


def passage(**differing: object) -> str:
    """A passage as the child says it, but for something."""
    said = {"position": 0, "text": "x", "heading": [], "place": {}, "tokens": 1, "term_ids": [], "weights": []}
    return json.dumps({"passage": said | differing})


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("hang", "too_slow"),
        ("babble", "broken"),
        ("endless line", "broken"),
        ("nothing", "broken"),
        ("crash", "crashed"),
        ("grow", "too_much_memory"),
        ("grow outside Python", "crashed"),
        ("quote", "damaged"),
        ('{"progress": 101}', "broken"),
        ('{"surprise": 1}', "broken"),
        ('{"done": {"pages": null, "title": "x", "passages": 7}}', "broken"),
        ('{"failed": {"code": "UPPER; drop", "reason": "x"}}', "broken"),
        (passage(position=3), "broken"),
        (passage(text="a\x00b"), "broken"),
        (passage(text="\ud800"), "broken"),
        (passage(text="x" * 60_000), "broken"),
        (passage(term_ids=[5]), "broken"),
        (passage(term_ids=[0], weights=[1]), "broken"),
        (passage(heading=["\x00"]), "broken"),
        (passage(place={"page": [1, 2, 3]}), "broken"),
    ],
)  # fmt: skip
async def test_whatever_a_child_does_only_a_reason_comes_out(taken_over: None, how: str, why: str) -> None:
    before = resident_bytes()
    with pytest.raises(CannotRead) as refused:
        await hear(json.dumps({"then": how}).encode(), "text", timeout=20 if how != "hang" else 1)
    assert refused.value.why == why
    assert "own words" not in f"{refused.value} {refused.value.where}"
    assert refused.value.reason[0].isupper()
    assert resident_bytes() - before < 30 * MB
    assert not children_alive()


async def test_a_child_that_uses_up_its_processor_time_is_ended_by_the_kernel(taken_over: None) -> None:
    with pytest.raises(CannotRead) as refused:
        await hear(json.dumps({"then": "hang"}).encode(), "text")
    assert refused.value.why == "too_slow"
    assert refused.value.where == "SIGXCPU"


async def test_a_child_past_its_deadline_is_ended_at_once_and_not_left_to_the_kernel(taken_over: None) -> None:
    spent = seconds_spent()
    with pytest.raises(CannotRead) as refused:
        await hear(json.dumps({"then": "hang"}).encode(), "text", timeout=1)
    assert refused.value.where == "the clock"
    assert seconds_spent() - spent < 6  # of the eight that the kernel would leave it


async def test_stopping_early_ends_the_child() -> None:
    text = b"\n\n".join(b"Paragraph %d says something of its own." % number for number in range(200_000))
    reading = child.read(pieces(text), format="text", name="long.txt", tenant_id=TENANT)
    async with aclosing(reading) as said:
        async for saying in said:
            if isinstance(saying, ReadPassage):
                break
        assert children_alive()
    assert not children_alive()


async def test_a_cancelled_reading_ends_the_child(taken_over: None) -> None:
    reading = asyncio.create_task(hear(json.dumps({"then": "hang"}).encode(), "text"))
    while not children_alive():
        await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not children_alive()


@pytest.mark.parametrize("failure", [RuntimeError("the store is away"), ConnectionResetError("cut")])
async def test_what_the_source_raises_comes_through_and_nothing_is_read_of_half_a_document(failure: Exception) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"The first half of a document.\n" * 10_000
        await asyncio.sleep(0.2)
        raise failure

    heard: list[Said] = []

    async def read() -> None:
        async with aclosing(child.read(content(), format="text", name="a", tenant_id=TENANT)) as said:
            async for saying in said:
                heard.append(saying)  # noqa: PERF401 what came before it was raised, too

    with pytest.raises(type(failure), match=str(failure)):
        await read()
    assert not heard
    assert not children_alive()


async def test_no_room_for_a_process_is_nothing_the_document_is_to_blame_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", full)
    with pytest.raises(CannotRead) as refused:
        await hear(b"words", "text")
    assert refused.value.transient


class Clock:
    """The loop's clock, running late by as much as a test says."""

    def __init__(self, real: Callable[[], float]) -> None:
        self._real = real
        self.late = 0.0

    def __call__(self) -> float:
        return self._real() + self.late


async def test_a_slow_consumer_does_not_use_up_the_childs_time(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"\n\n".join(b"Paragraph %d says something of its own, at length." % number for number in range(5000))
    reading = child.read(pieces(text), format="text", name="a.txt", tenant_id=TENANT, timeout=20)
    clock = Clock(asyncio.get_running_loop().time)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", clock)
    passages = 0
    async with aclosing(reading) as said:
        async for saying in said:
            passages += isinstance(saying, ReadPassage)
            clock.late = 3600.0 * passages  # an hour goes by while each passage is stored
    assert passages > 10


async def test_several_children_read_side_by_side() -> None:
    documents = [f"Document {number} has words of its own.".encode() for number in range(6)]
    heard = await asyncio.gather(*(hear(document, "text") for document in documents))
    assert [one.text.encode() for one in heard] == documents
    assert os.getpid() not in children_alive()
