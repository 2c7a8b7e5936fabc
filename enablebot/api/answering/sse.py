"""Server-sent events out of the pieces in which they arrive."""

from collections.abc import AsyncGenerator, AsyncIterable

# The last event of an answer repeats the whole of it; nothing honest is longer than this.
_LONGEST_LINE = 16_000_000


async def event_data(pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """The data of each whole event, one that the stream breaks off in left out; ValueError for an endless line.

    Lines end with a line feed, or with both; other marks are ignored, for `data` names its own kind.
    """
    rest, data = b"", list[bytes]()
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise ValueError("a line without an end")
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[5:].removesuffix(b"\r").removeprefix(b" "))
            elif line in (b"", b"\r") and data:
                yield b"\n".join(data)
                data = []
