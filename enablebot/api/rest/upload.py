"""One file and what is said about it, from a form that is read while it arrives."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from hashlib import sha256

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from enablebot.shared.errors import BadRequest, EnableBotError, TooLarge
from enablebot.shared.models.document import MOST_BYTES
from enablebot.shared.multipart import Part, SentParts

# A form around a file: its fields, names and boundaries.
MOST_FORM_BYTES = MOST_BYTES + 256 * 1024
# A sender that falls silent for so long is gone, or holds a place that others wait for; one that trickles, too.
IDLE_SECONDS = 30.0
LONGEST_SECONDS = 300.0
MOST_CHANNELS = 100
_CHANNEL = re.compile(r"[CG][A-Z0-9]{1,31}")
_LONGEST_SHOWN = 50
_BROKEN = (
    "The body cannot be read: it is no multipart/form-data, or it broke off. Send the file as the field `file`, as "
    "`curl -F file=@handbook.pdf` does, with the length that the body has."
)


class FormWrong(EnableBotError):
    """The form can be read, but does not hold what it should."""

    code = "invalid_request"
    status = 422


class NoForm(EnableBotError):
    """The body is something else than a form."""

    code = "unsupported_media_type"
    status = 415


class SenderLeft(BadRequest):
    """Nobody hears the answer; it ends the request as any other error does."""

    code = "sender_left"


class TooSlow(BadRequest):
    """The sender fell silent."""

    code = "too_slow"
    status = 408


class Upload:
    """A form with one file. Fields may stand before the file and behind it: all are known once `content` has ended."""

    def __init__(self, request: Request, *, on_read: Callable[[], Awaitable[None]]) -> None:
        content_type = request.headers.get("content-type", "")
        if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
            raise NoForm(
                "A document is sent as multipart/form-data with the file as the field `file`, as "
                "`curl -F file=@handbook.pdf` does."
            )
        self._parts = SentParts(_arriving(request), content_type, broken=_BROKEN)
        self._on_read = on_read
        self._file: Part | None = None
        self._digest = sha256()
        self._size = 0
        self._title: str | None = None
        self._channels: list[str] = []

    async def open(self) -> str:
        """Read up to the file and return its name; FormWrong where there is none."""
        self._file = await self._next_file()
        if self._file is None:
            raise FormWrong("There is no file. Send it as the field `file`, as `curl -F file=@handbook.pdf` does.")
        return self._file.file_name or ""

    async def content(self) -> AsyncGenerator[bytes, None]:
        """Yield the file, then read what stands behind it."""
        assert self._file is not None, "open() comes first"
        async for piece in self._file.content():
            self._digest.update(piece)
            self._size += len(piece)
            await self._on_read()
            yield piece
        if await self._next_file() is not None:
            raise FormWrong("There is more than one file. Send one document at a time.")

    async def read_through(self) -> None:
        """Read the file and keep nothing, for its fingerprint."""
        async for _ in self.content():
            if self._size > MOST_BYTES:
                raise _too_large()

    def title(self) -> str | None:
        """What the document is to be called, if that was said."""
        return self._title

    def channels(self) -> tuple[str, ...]:
        """The channels that may see it; none: all of them."""
        return tuple(sorted(set(self._channels)))

    def fingerprint(self) -> bytes:
        """SHA-256 of all that was sent, however it was cut into parts."""
        said = [self._file.file_name or "" if self._file else "", self._title, *self.channels()]
        whole = sha256(self._digest.digest())
        for text in said:
            encoded = b"" if text is None else text.encode("utf-8", "surrogatepass")
            whole.update((-1 if text is None else len(encoded)).to_bytes(4, "big", signed=True) + encoded)
        return whole.digest()

    async def _next_file(self) -> Part | None:
        """Read fields up to the next file or the end."""
        while (part := await self._parts.next()) is not None:
            if part.name == "file" and part.file_name is not None:
                return part
            await self._take(part)
        return None

    async def _take(self, part: Part) -> None:
        match part.name:
            case "file":
                raise FormWrong("The field `file` is text, not a file: it has no file name. Send it as a file.")
            case "title" if part.file_name is None:
                if self._title is not None:
                    raise FormWrong("The field `title` is there twice. Send one.")
                self._title = await part.value()
            case "channels" if part.file_name is None:
                self._channels.append(_channel(await part.value()))
                if len(self._channels) > MOST_CHANNELS:
                    raise FormWrong(f"There are more than {MOST_CHANNELS} channels. Leave them out to mean all.")
            case _:
                shown = "".join(each if each.isprintable() else "�" for each in part.name[:_LONGEST_SHOWN])
                raise FormWrong(f"There is no field `{shown}`. A document has `file`, `title` and `channels`.")


def _channel(said: str) -> str:
    if _CHANNEL.fullmatch(said) is None:
        raise FormWrong("Each of `channels` is a Slack channel's id, such as C0123456789, in a field of its own.")
    return said


async def _arriving(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes. BadRequest at a sender's silence, TooLarge at a length no document has."""
    stream = request.stream()
    clock = asyncio.get_running_loop().time
    ends_at = clock() + LONGEST_SECONDS
    while True:
        try:
            async with asyncio.timeout_at(min(ends_at, clock() + IDLE_SECONDS)):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            raise TooSlow(
                f"The body stopped coming for {IDLE_SECONDS:g} s, or took longer than {LONGEST_SECONDS:g} s. "
                "Send it again over a better connection."
            ) from error
        except ClientDisconnect as error:
            raise SenderLeft("The sender left before the body had come whole. Nothing of it is kept.") from error
        except HTTPException as error:
            if error.status_code == 413:
                raise _too_large() from error
            raise
        if chunk is None:
            return
        if chunk:
            yield chunk


def _too_large() -> TooLarge:
    return TooLarge(
        f"This file is larger than {MOST_BYTES // 1024 // 1024} MB, the most one document may have. "
        "Split it, or save it with smaller images."
    )
