"""A form with files, read part by part while it arrives: nothing of a file is kept here."""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import NoReturn

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from enablebot.shared.errors import BadRequest, TooLarge

# A value of these forms is a token, an id or a title.
_LONGEST_VALUE = 4096
# A name of 10,000 characters is cut where it is stored, not refused here.
_LONGEST_HEADER = 64 * 1024
_MOST_HEADERS = 8
# What a browser writes for the three characters that would end a file's name in a header.
# Source: https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
_ESCAPED = (("%22", '"'), ("%0D", "\r"), ("%0A", "\n"))


@dataclass(slots=True)
class _Begun:
    """A part's headers are complete; what follows is its content, until the next one of these."""

    headers: dict[bytes, bytes] = field(default_factory=dict)


class Part:
    """One field of the form; `file_name` is None where it is no file."""

    def __init__(self, form: "SentParts", *, name: str, file_name: str | None) -> None:
        self._form = form
        self.name = name
        self.file_name = file_name

    async def content(self) -> AsyncIterator[bytes]:
        """What the part holds, as it arrives; once."""
        while (piece := await self._form.piece()) is not None:
            yield piece

    async def value(self) -> str:
        """The part as text. TooLarge beyond 4 kB, BadRequest where it is no UTF-8."""
        read = bytearray()
        async for piece in self.content():
            read += piece
            if len(read) > _LONGEST_VALUE:
                raise TooLarge("A field of this form is longer than 4 kB. Only the file may be that long.")
        try:
            return read.decode()
        except UnicodeDecodeError:
            self._form.refuse()


class SentParts:
    """The parts of one request, in order: what is unread of a part is skipped when the next one is asked for.

    `stream` is the request's body; `broken` is what a BadRequest says where that is no form, or breaks off.
    """

    def __init__(self, stream: AsyncIterator[bytes], content_type: str | None, *, broken: str) -> None:
        self._broken = broken
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            self.refuse()
        self._stream = stream
        self._arrived: deque[_Begun | bytes] = deque()
        self._coming = _Begun()
        self._header = bytearray()
        self._value = bytearray()
        self._is_ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part,
                    "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._on_header,
                    "on_headers_finished": lambda: self._arrived.append(self._coming),
                    "on_part_data": lambda data, start, end: self._arrived.append(data[start:end]),
                    "on_end": self._on_end,
                },
                max_header_count=_MOST_HEADERS,
                max_header_size=_LONGEST_HEADER,
            )
        except FormParserError:
            self.refuse()

    async def next(self) -> Part | None:
        """The next part, or None when the form has ended. BadRequest where it breaks off or is no form at all."""
        while (arrived := await self._next()) is not None:
            if isinstance(arrived, _Begun):
                return self._part(arrived)
        if not self._is_ended:
            self.refuse()
        return None

    async def piece(self) -> bytes | None:
        """What comes next of the part being read, None at its end; BadRequest where the form breaks off in it."""
        arrived = await self._next()
        if isinstance(arrived, _Begun):
            self._arrived.appendleft(arrived)
            return None
        if arrived is None and not self._is_ended:
            self.refuse()
        return arrived

    def refuse(self) -> NoReturn:
        """End the request: what was sent is not what was asked for."""
        raise BadRequest(self._broken)

    async def _next(self) -> _Begun | bytes | None:
        while not self._arrived:
            chunk = await anext(self._stream, b"")
            if not chunk:
                return None
            try:
                self._parser.write(chunk)
            except FormParserError:
                self.refuse()
        return self._arrived.popleft()

    def _on_part(self) -> None:
        self._coming = _Begun()

    def _on_header(self) -> None:
        self._coming.headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _on_end(self) -> None:
        self._is_ended = True

    def _part(self, begun: _Begun) -> Part:
        kind, options = parse_options_header(begun.headers.get(b"content-disposition"))
        if kind != b"form-data" or b"name" not in options:
            self.refuse()
        file_name = options.get(b"filename")
        return Part(
            self,
            name=options[b"name"].decode(errors="replace"),
            file_name=None if file_name is None else _unescaped(file_name.decode(errors="replace")),
        )


def _unescaped(file_name: str) -> str:
    for written, meant in _ESCAPED:
        file_name = file_name.replace(written, meant)
    return file_name
