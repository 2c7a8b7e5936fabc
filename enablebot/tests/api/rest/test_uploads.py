"""Bodies that are no document: what each is told, and that nothing of it stays (UP-1)."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from starlette.types import Message

from enablebot.api.rest import upload as upload_module
from enablebot.api.rest.turns import UploadTurns
from enablebot.shared.errors import DatabaseUnavailable
from enablebot.shared.models.document import MOST_BYTES
from enablebot.tests.api.rest.callers import TEXT, Caller, Rest, problem

pytestmark = pytest.mark.anyio

BOUNDARY = "of-the-tests"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
END = f"--{BOUNDARY}--\r\n".encode()


def part(head: str, body: bytes = b"") -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + body + b"\r\n"


def file(body: bytes, name: str = "a.txt") -> bytes:
    return part(f'name="file"; filename="{name}"', body)


@pytest.fixture
async def untouched(rest: Rest) -> AsyncIterator[None]:
    """Nothing more is stored after the test than before."""
    before = await rest.rows()
    yield
    assert await rest.rows() == before
    # Nor does anybody still wait for a turn.
    assert rest.turns._own == {}


async def sent(caller: Caller, body: bytes, *, kind: str = FORM) -> httpx.Response:
    return await caller.call("POST", "/v1/documents", content=body, headers={"Content-Type": kind})


# What is no form, or not the one that is asked for


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"file": "a"}'),
        ("application/x-www-form-urlencoded", b"file=a"),
        ("text/plain", b"hello"),
        ("multipart/mixed; boundary=x", b"--x--"),
        ("application/octet-stream", b"%PDF-1.7"),
        ("", b""),
    ],
)
async def test_what_is_no_form_is_of_the_wrong_kind(acme: Caller, kind: str, body: bytes) -> None:
    answer = problem(await sent(acme, body, kind=kind), 415, "unsupported_media_type")
    assert "curl -F file=@" in answer["detail"]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", file(b"x") + END),
        (FORM, b""),
        (FORM, b"no form at all"),
        (FORM, file(b"x")),
        (FORM, file(b"x")[:-10]),
        (FORM, file(b"x") + b"--of-the-tests"),
        (FORM, part('name="title"', b"x")),
        (FORM, part("nameless", b"x") + END),
        (FORM, file(b"x") + part('name="title"', b"\xff\xfe") + END),
        ("multipart/form-data; boundary=another", file(b"x") + END),
    ],
)
async def test_a_form_that_cannot_be_read_to_its_end_is_refused(acme: Caller, kind: str, body: bytes) -> None:
    problem(await sent(acme, body, kind=kind), 400, "bad_request")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (END, "There is no file."),
        (part('name="title"', b"x") + END, "There is no file."),
        (part('name="file"', b"text") + END, "`file` is text, not a file"),
        (file(b"one") + file(b"two") + END, "more than one file"),
        (file(b"one") + part('name="file"', b"two") + END, "`file` is text, not a file"),
        (part('name="upload"; filename="a"', b"x") + END, "There is no field `upload`."),
        (part('name="titel"', b"x") + file(b"x") + END, "There is no field `titel`."),
        (file(b"x") + part('name="tenant_id"', b"x") + END, "There is no field `tenant_id`."),
        (part('name="title"; filename="a"', b"x") + file(b"x") + END, "There is no field `title`."),
        (part('name="title"', b"a") + file(b"x") + part('name="title"', b"b") + END, "`title` is there twice"),
        (part('name="channels"', b"general") + file(b"x") + END, "Slack channel's id"),
        (file(b"x") + part('name="channels"', b"C1,C2") + END, "Slack channel's id"),
        (part('name="channels"', b"C1") * 101 + file(b"x") + END, "more than 100 channels"),
        (part('name="' + "n" * 1000 + '\x1b[2J"', b"x") + END, "There is no field `nnn"),
    ],
)
async def test_a_form_with_something_else_in_it_is_told_what(acme: Caller, body: bytes, words: str) -> None:
    answer = problem(await sent(acme, body), 422, "invalid_request")
    assert words in answer["detail"]
    assert len(answer["detail"]) < 300
    assert answer["detail"].isprintable()


@pytest.mark.usefixtures("untouched")
async def test_a_field_as_long_as_a_file_is_too_large(acme: Caller) -> None:
    problem(await sent(acme, file(b"x") + part('name="title"', b"t" * 5000) + END), 413, "too_large")


@pytest.mark.usefixtures("untouched")
async def test_an_empty_file_is_told_so(acme: Caller) -> None:
    for name in ("empty.txt", ""):
        answer = problem(await sent(acme, file(b"", name) + END), 422, "file_empty")
        assert "empty" in answer["detail"]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(100)),
        ("program.pdf", b"\x7fELF" + bytes(100)),
    ],
)
async def test_what_we_cannot_read_is_refused_by_its_bytes(acme: Caller, name: str, content: bytes) -> None:
    problem(await sent(acme, file(content, name) + END), 415, "unsupported_format")


# How much


@pytest.mark.parametrize("announced", [True, False], ids=["with a length", "without a length"])
async def test_twenty_megabytes_are_taken_and_one_byte_more_is_not(rest: Rest, announced: bool) -> None:
    caller = await rest.caller()
    line = b"All work and no play makes Jack a dull boy. %07d\n"
    whole = b"".join(line % n for n in range(MOST_BYTES // 52 + 1))[:MOST_BYTES]
    before = await rest.rows()

    async def status(content: bytes) -> httpx.Response:
        body = file(content, f"jack-{announced}.txt") + END
        return await caller.call(
            "POST",
            "/v1/documents",
            content=body if announced else _cut(body),
            headers={"Content-Type": FORM},
        )

    too_large = problem(await status(whole + b"x"), 413, "too_large")
    assert "20 MB" in too_large["detail"]
    assert await rest.rows() == before
    taken = await status(whole)
    assert taken.status_code == 202
    assert taken.json()["size_bytes"] == MOST_BYTES
    assert (await caller.call("DELETE", f"/v1/documents/{taken.json()['id']}")).status_code == 204


@pytest.mark.usefixtures("untouched")
async def test_a_body_beyond_any_document_is_refused_before_it_is_read(acme: Caller) -> None:
    reading = Body([file(b"x" * 1000) + END])
    told = await reading.post(acme, headers={"Content-Length": str(2**31)})
    assert told.status == 413
    assert told.problem["code"] == "too_large"
    assert reading.asked == 0


@pytest.mark.usefixtures("untouched")
async def test_a_body_without_an_end_is_refused_at_the_limit(acme: Caller) -> None:
    def endless() -> Iterator[bytes]:
        yield file(b"")[:-2]
        while True:
            yield b"x" * 65536

    reading = Body(endless())
    told = await reading.post(acme)
    assert (told.status, told.problem["code"]) == (413, "too_large")
    assert reading.given <= upload_module.MOST_FORM_BYTES + 65536


async def test_an_upload_never_lies_whole_in_memory(rest: Rest) -> None:
    caller = await rest.caller()

    def large() -> Iterator[bytes]:
        yield file(b"", "memory.txt")[:-2]
        for n in range(19 * 16):
            yield b"%063d\n" % n * 1024
        yield b"\r\n" + END

    await (first := Body([file(b"warm", "memory.txt") + END])).post(caller)
    assert first.given
    tracemalloc.start()
    try:
        told = await Body(large()).post(caller)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert told.status == 202, told.body
    assert peak < 12 * 1024 * 1024, f"{peak / 1024 / 1024:.1f} MB"


# Senders that lie, hesitate and leave


@dataclass
class Told:
    status: int
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Body:
    """A request's body as a server hands it on, and what came back."""

    def __init__(self, chunks: Any, *, at_end: Message | Callable[[], Awaitable[Message]] | None = None) -> None:
        self._chunks = iter(chunks)
        self._at_end = at_end
        self.asked = 0
        self.given = 0

    async def receive(self) -> Message:
        self.asked += 1
        chunk = next(self._chunks, None)
        if chunk is not None:
            self.given += len(chunk)
            return {"type": "http.request", "body": chunk, "more_body": True}
        if callable(self._at_end):
            return await self._at_end()
        return self._at_end or {"type": "http.request", "body": b"", "more_body": False}

    async def post(self, caller: Caller, *, headers: dict[str, str] | None = None) -> Told:
        answered: list[Message] = []

        async def send(message: Message) -> None:
            answered.append(message)

        given = {"authorization": f"Bearer {caller.key}", "content-type": FORM, **(headers or {})}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/v1/documents",
            "raw_path": b"/v1/documents",
            "query_string": b"",
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 1),
            "server": ("api.test", 80),
        }
        await caller.api(scope, self.receive, send)
        return Told(answered[0]["status"], b"".join(message.get("body", b"") for message in answered[1:]))


GONE: Message = {"type": "http.disconnect"}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "chunks",
    [[], [file(b"half of it")[:-7]], [file(b"x" * 3_000_000)[:-1]], [file(b"whole"), part('name="title"', b"a")]],
    ids=["at once", "in a small file", "in a large file", "in a field behind the file"],
)
async def test_a_sender_that_leaves_in_the_middle_leaves_nothing(
    acme: Caller, chunks: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    for headers in ({}, {"Idempotency-Key": "leaving"}):
        await Body(chunks, at_end=GONE).post(acme, headers=headers)
    # It is no fault of ours, and nobody's to look at.
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]


@pytest.mark.usefixtures("untouched")
async def test_a_sender_that_falls_silent_is_not_waited_for(acme: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silence() -> Message:
        await asyncio.sleep(3600)
        raise AssertionError

    monkeypatch.setattr(upload_module, "IDLE_SECONDS", 0.05)
    async with asyncio.timeout(10):
        told = await Body([file(b"half of it")[:-7]], at_end=silence).post(acme)
    assert (told.status, told.problem["code"]) == (408, "too_slow")


@pytest.mark.usefixtures("untouched")
async def test_a_sender_that_trickles_is_not_waited_for_for_ever(acme: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    async def a_byte() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    monkeypatch.setattr(upload_module, "LONGEST_SECONDS", 0.2)
    async with asyncio.timeout(20):
        told = await Body([file(b"")[:-2]], at_end=a_byte).post(acme)
    assert (told.status, told.problem["code"]) == (408, "too_slow")


@pytest.mark.usefixtures("untouched")
async def test_a_body_shorter_than_its_length_breaks_off(acme: Caller) -> None:
    body = file(b"hello") + END
    told = await Body([body[:-12]]).post(acme, headers={"Content-Length": str(len(body) - 12)})
    assert (told.status, told.problem["code"]) == (400, "bad_request")


@pytest.mark.usefixtures("untouched")
async def test_a_database_that_fails_in_the_middle_leaves_nothing_to_be_seen(rest: Rest, acme: Caller) -> None:
    failures = {"begin_document", "add_document_piece", "queue_document"}
    for function in failures:
        rest.observed.fails_in = {function: DatabaseUnavailable("The database does not answer. Try again.")}
        try:
            refused = await acme.upload(b"x" * 2_500_000, name="doomed.txt")
        finally:
            rest.observed.fails_in = {}
        problem(refused, 503, "database_unavailable")
        assert (await acme.call("GET", "/v1/documents?name=doomed")).json()["documents"] == []
    # What an upload left behind that was never queued, the upkeep clears away after an hour.
    for table in ("documents", "document_versions"):
        await rest.admin.execute(f"update enablebot.{table} set due_at = due_at - interval '2 hours'")
    await rest.api.services.library.purge()


# Turns


async def test_uploads_of_one_workspace_wait_for_each_other_and_not_for_another_s() -> None:
    turns = UploadTurns(at_once=5, of_one_workspace=2)
    acme, globex = UUID(int=1), UUID(int=2)
    running: list[UUID] = []
    leave = asyncio.Event()

    async def upload(tenant: UUID) -> None:
        async with turns.turn(tenant):
            running.append(tenant)
            await leave.wait()

    tasks = [asyncio.create_task(upload(tenant)) for tenant in (acme, acme, acme, acme, globex, globex)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert sorted(running, key=str) == [acme, acme, globex, globex]
    leave.set()
    await asyncio.gather(*tasks)
    assert len(running) == 6
    assert turns._own == {}


async def test_a_waiting_upload_that_is_given_up_frees_its_place() -> None:
    turns = UploadTurns(at_once=1, of_one_workspace=1)
    async with turns.turn(UUID(int=1)):
        for tenant in (UUID(int=1), UUID(int=2)):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01), turns.turn(tenant):
                    raise AssertionError
    assert turns._own == {}
    async with asyncio.timeout(5), turns.turn(UUID(int=2)):
        pass


async def test_hostile_names_end_up_harmless(rest: Rest, acme: Caller) -> None:
    for number, (name, shown) in enumerate(
        [
            ("../../etc/passwd.txt", "passwd.txt"),
            ("..%2f..%2fetc", "..%2f..%2fetc"),
            ("C:\\Windows\\win.txt", "win.txt"),
            ("a%0D%0Ab.txt", "a b.txt"),
            ("\u202etxt.exe.txt", "txt.exe.txt"),
            ("", "document"),
            ("...", "document"),
        ]
    ):
        answer = await sent(acme, file(TEXT % b"name %d" % number, name) + END)
        assert answer.status_code == 202, answer.text
        assert answer.json()["name"] == shown
    long = await sent(acme, file(TEXT % b"a long name", "n" * 10_000 + ".md") + END)
    assert len(long.json()["name"]) == 200
    assert long.json()["name"].endswith(".md")


async def _cut(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), 65536):
        yield body[at : at + 65536]
