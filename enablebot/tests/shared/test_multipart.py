"""Forms as browsers, curl and nobody decent send them."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enablebot.shared.errors import BadRequest, TooLarge
from enablebot.shared.multipart import SentParts

pytestmark = pytest.mark.anyio

BOUNDARY = "a-boundary-of-the-tests"
KIND = f"multipart/form-data; boundary={BOUNDARY}"
BROKEN = "This is no form."


def part(head: str, body: bytes = b"", *more: str) -> bytes:
    lines = [f"Content-Disposition: form-data; {head}", *more]
    return f"--{BOUNDARY}\r\n".encode() + "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


async def sent(body: bytes, *, at_once: int = 65536) -> AsyncIterator[bytes]:
    for at in range(0, len(body), at_once):
        yield body[at : at + at_once]


async def read(body: bytes, kind: str | None = KIND, *, at_once: int = 65536) -> list[tuple[str, str | None, bytes]]:
    """Name, file name and content of every part."""
    form = SentParts(sent(body, at_once=at_once), kind, broken=BROKEN)
    found = []
    while (one := await form.next()) is not None:
        found.append((one.name, one.file_name, b"".join([piece async for piece in one.content()])))
    return found


FORM = part('name="title"', "Über".encode()) + part('name="file"; filename="a.txt"', b"\x00\xff\r\n--no\r\n" * 40) + END


@pytest.mark.parametrize("at_once", [1, 2, 7, 61, 65536])
async def test_a_form_is_the_same_however_it_is_cut(at_once: int) -> None:
    assert await read(FORM, at_once=at_once) == [
        ("title", None, "Über".encode()),
        ("file", "a.txt", b"\x00\xff\r\n--no\r\n" * 40),
    ]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=3000).filter(lambda content: BOUNDARY.encode() not in content), st.integers(1, 500))
async def test_every_content_comes_through_as_it_was(content: bytes, at_once: int) -> None:
    form = part('name="file"; filename="f"', content) + END
    assert await read(form, at_once=at_once) == [("file", "f", content)]


@pytest.mark.parametrize("at_once", [1, 65536])
async def test_a_form_that_breaks_off_anywhere_is_refused(at_once: int) -> None:
    # The last line's end is all that may be missing.
    for length in range(len(FORM) - 2):
        with pytest.raises(BadRequest, match=BROKEN):
            await read(FORM[:length], at_once=at_once)


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=x",
        "application/json",
        "multipart/form-data; boundary=" + "b" * 5000,
        "multipart/form-data; boundary=\x00",
    ],
)
async def test_what_says_it_is_something_else_is_refused(kind: str | None) -> None:
    with pytest.raises(BadRequest, match=BROKEN):
        await read(FORM, kind)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"hello",
        b'{"file": 1}',
        b"--another\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--another--\r\n",
        part("nameless") + END,
        part("") + END,
        f"--{BOUNDARY}\r\n\r\nno headers\r\n".encode() + END,
        f"--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nno disposition\r\n".encode() + END,
        f"--{BOUNDARY}\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n".encode() + END,
        f"--{BOUNDARY}\r\nno colon here\r\n\r\nx\r\n".encode() + END,
        part('name="a"', b"", *(f"X-{n}: 1" for n in range(9))) + END,
        part(f'name="{"n" * 70_000}"') + END,
        part('name="a"') + f"--{BOUNDARY}garbage\r\n".encode(),
    ],
)
async def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match=BROKEN):
        await read(body)


async def test_an_empty_form_has_no_parts() -> None:
    assert await read(END) == []


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ('name="file"; filename="../../etc/passwd"', "../../etc/passwd"),
        ('name="file"; filename="C:\\\\temp\\\\a.txt"', "a.txt"),
        ('name="file"; filename=""', ""),
        ('name="file"; filename="a%22b%0D%0A.txt"', 'a"b\r\n.txt'),
        ("name=file; filename=bare.txt", "bare.txt"),
        ('name="file"; filename="' + "n" * 10_000 + '"', "n" * 10_000),
        ('name="file"; filename="r\xc3\xa9sum\xc3\xa9.txt"', "résumé.txt"),
        ('name="file"; filename="bad\xff.txt"', "bad�.txt"),
    ],
)
async def test_a_file_keeps_the_name_that_was_sent(head: str, name: str) -> None:
    [(_, found, _)] = await read(part(head, b"x") + END)
    assert found == name


async def test_what_is_unread_of_a_part_is_skipped() -> None:
    body = part('name="file"; filename="a"', b"x" * 200_000) + part('name="title"', b"after") + END
    form = SentParts(sent(body, at_once=1000), KIND, broken=BROKEN)
    first = await form.next()
    assert first is not None
    assert await anext(first.content())
    second = await form.next()
    assert second is not None
    assert (second.name, await second.value()) == ("title", "after")
    assert await form.next() is None


async def test_nothing_is_read_ahead_of_what_is_asked_for() -> None:
    taken = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal taken
        async for chunk in sent(part('name="file"; filename="a"', b"x" * 1_000_000) + END, at_once=1000):
            taken += len(chunk)
            yield chunk

    form = SentParts(counted(), KIND, broken=BROKEN)
    one = await form.next()
    assert one is not None
    received = 0
    async for piece in one.content():
        received += len(piece)
        assert taken - received <= 3000
    assert received == 1_000_000


async def test_a_field_too_long_and_one_that_is_no_text_are_refused() -> None:
    for content, error in ((b"x" * 5000, TooLarge), (b"\xff\xfe", BadRequest)):
        form = SentParts(sent(part('name="title"', content) + END), KIND, broken=BROKEN)
        one = await form.next()
        assert one is not None
        with pytest.raises(error):
            await one.value()
