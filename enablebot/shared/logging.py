"""One log for everything in the process: lines of JSON, or text for a terminal, secrets taken out of both.

Redaction sits in the handler, behind every logger, so that libraries' records and tracebacks pass it too.
Libraries speak from WARNING on only: their DEBUG and INFO lines carry request bodies, which is what people wrote.
"""

import json
import logging
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from secrets import token_hex
from types import MappingProxyType, TracebackType
from typing import Protocol, TextIO

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enablebot.shared.redaction import Redactor
from enablebot.shared.tracebacks import format_error

_FIELDS_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_LONGEST_LINE = 16_384
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# JSON leaves these as they are, and some readers of logs break the line there.
_LINE_ENDS = re.compile("[\x7f-\x9f\u2028\u2029]")
_SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}

_bound: ContextVar[Mapping[str, str]] = ContextVar("enablebot_log_fields", default=MappingProxyType({}))


class LogOptions(Protocol):
    """The part of the settings that logging needs."""

    @property
    def format(self) -> str: ...

    @property
    def level(self) -> str: ...


@contextmanager
def bind(**fields: object) -> Iterator[None]:
    """Put fields such as request_id, event_id and tenant_id on every record logged inside the block."""
    token = _bound.set({**_bound.get(), **{name: str(value) for name, value in fields.items() if value is not None}})
    try:
        yield
    finally:
        _bound.reset(token)


def bound() -> Mapping[str, str]:
    """The fields bound here."""
    return _bound.get()


def configure_logging(options: LogOptions, *, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Send everything to one handler on stderr, uncaught exceptions included; may be called again.

    `secrets` are values this process holds; they are masked wherever they appear.
    """
    stream = stream or sys.stderr
    is_text = options.format == "text" or (options.format == "auto" and stream.isatty())
    redactor = Redactor(secrets)
    handler = _Handler(stream)
    handler.setFormatter(TextFormatter(redactor, colours=stream.isatty()) if is_text else JsonFormatter(redactor))
    handler.addFilter(_is_worth_saying)
    root = logging.getLogger()
    # Whatever else writes to a stream would write it unredacted.
    for old in [old for old in root.handlers if type(old) in (_Handler, logging.StreamHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(options.level)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


class RequestIdMiddleware:
    """Takes over a sane incoming X-Request-Id or makes one; handlers find it as `request.state.request_id`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given.decode("ascii") if _SANE_REQUEST_ID.fullmatch(given) else token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode("ascii"))]
            await send(message)

        with bind(request_id=request_id):
            await self._app(scope, receive, send_with_id)


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """Logging's own complaint would print the message and its arguments, unredacted."""
        kind = sys.exc_info()[0]
        fault = f"A log record of {record.name} was lost: {kind.__name__ if kind else 'it could not be written'}\n"
        try:
            self.stream.write(fault)
        except (OSError, ValueError):
            return


def _is_worth_saying(record: logging.LogRecord) -> bool:
    if record.levelno >= logging.WARNING:
        return True
    # `__main__` is one of ours started as a file or with -m.
    return record.name in {"enablebot", "__main__"} or record.name.startswith("enablebot.")


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("enablebot").critical("The process met an error that nothing handled", exc_info=error)


class _Formatter(logging.Formatter):
    """What both forms share: the parts of a record, each redacted."""

    shows_foreign_messages = False

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def message(self, record: logging.LogRecord) -> str:
        return self._clean(record.getMessage())

    def trace(self, record: logging.LogRecord) -> str:
        """The exception of a record and its stack, if it has them."""
        parts = []
        if record.exc_info and record.exc_info[1]:
            parts.append(format_error(record.exc_info[1], shows_foreign_messages=self.shows_foreign_messages))
        if record.stack_info:
            parts.append(record.stack_info)
        return self._clean("\n".join(parts))

    def fields(self, record: logging.LogRecord) -> dict[str, str | int | float | bool | None]:
        """What was bound around the record, and what was given as `extra`."""
        found: dict[str, str | int | float | bool | None] = dict(bound())
        for name, value in vars(record).items():
            if name not in _FIELDS_OF_EVERY_RECORD:
                is_plain = isinstance(value, bool | int | float) or value is None
                # Name and value together, because the name may be what tells that it is a secret.
                found[name] = value if is_plain else self._clean(f"{name}={value}").partition("=")[2]
        return found

    def _clean(self, text: str) -> str:
        text = self._redactor.redact(text).encode("utf-8", "replace").decode()
        return text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]}… ({len(text)} characters)"


class JsonFormatter(_Formatter):
    """One line of JSON a record."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": self.message(record),
        }
        line = {**line, **self.fields(record), **line}
        if trace := self.trace(record):
            line["exception"] = trace
        return _LINE_ENDS.sub(
            lambda found: f"\\u{ord(found[0]):04x}", json.dumps(line, ensure_ascii=False, default=repr)
        )


class TextFormatter(_Formatter):
    """For a developer's own terminal: time, level, message, then the fields."""

    shows_foreign_messages = True

    def __init__(self, redactor: Redactor, *, colours: bool) -> None:
        super().__init__(redactor)
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        # A line break or an escape sequence in a message must not look like a line of ours.
        message = _printable(self.message(record)).replace("\n", "\n    ")
        when = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = f"{record.levelname:<8}"
        fields = "  ".join(f"{name}={value}" for name, value in self.fields(record).items())
        where = record.name.removeprefix("enablebot.")
        fields = _printable(fields).replace("\n", " ")
        if self._colours:
            level = f"\x1b[{_COLOURS.get(record.levelname, '0')}m{level}\x1b[0m"
            where, fields = f"\x1b[2m{where}\x1b[0m", f"\x1b[2m{fields}\x1b[0m" if fields else ""
        line = f"{when} {level} {where}: {message}" + (f"  {fields}" if fields else "")
        trace = _printable(self.trace(record))
        return f"{line}\n    {trace}".replace("\n", "\n    ") if trace else line


def _printable(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
