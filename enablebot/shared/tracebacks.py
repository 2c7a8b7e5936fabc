"""Exceptions as text for the log: where it happened and what kind it was, without what people wrote.

A foreign exception's message may quote its input: a query's argument, a model's answer, a line of a document.
So a message is shown when it is ours, or of a kind that only ever speaks of code and sockets.
"""

import traceback
from collections.abc import Iterator

from enablebot.shared.errors import EnableBotError

WITHHELD = "(message withheld; LOG_FORMAT=text shows it)"

_ABOUT_CODE = (AttributeError, ImportError, NameError, NotImplementedError, RecursionError)
_MOST_FRAMES = 60


def format_error(error: BaseException, *, shows_foreign_messages: bool) -> str:
    """The traceback with its causes, the first one first, as Python would print it."""
    return "\n".join(_chain(error, shows_foreign_messages, seen=set()))


def _chain(error: BaseException, shows_all: bool, *, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    earlier, link = error.__cause__, "which led to"
    if earlier is None and not error.__suppress_context__:
        earlier, link = error.__context__, "while handling which"
    if earlier is not None and id(earlier) not in seen:
        yield from _chain(earlier, shows_all, seen=seen)
        yield f"-- {link}:"
    yield "".join(traceback.extract_tb(error.__traceback__, limit=-_MOST_FRAMES).format()).rstrip() or "  (not raised)"
    yield f"{_name(type(error))}: {_message(error, shows_all)}".rstrip(": ")
    if isinstance(error, BaseExceptionGroup):
        for number, inner in enumerate(error.exceptions, start=1):
            if id(inner) not in seen:
                yield f"-- part {number} of {len(error.exceptions)}:"
                yield from _chain(inner, shows_all, seen=seen)


def _name(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException, shows_all: bool) -> str:
    if shows_all or isinstance(error, (EnableBotError, *_ABOUT_CODE)):
        try:
            return str(error)
        except Exception as broken:
            return f"(its message cannot be shown: {_name(type(broken))})"
    if isinstance(error, OSError) and error.strerror:
        return f"[Errno {error.errno}] {error.strerror}"
    return WITHHELD if error.args else ""
