"""One document from its bytes to its passages, told line by line, behind the walls."""

import codecs
import importlib
import json
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, BinaryIO, NoReturn
from uuid import UUID

from enablebot.reader.blocks import Block, Blocks, Break, Heading, Pages, Passed, Titled
from enablebot.reader.chunking import Passage, chunk
from enablebot.reader.cleaning import one_line
from enablebot.reader.unreadable import Unreadable
from enablebot.reader.walls import WallsMissing, raise_walls, set_limits
from enablebot.shared.knowledge.terms import weigh
from enablebot.shared.models.passage import in_context

_MODULES = {
    "pdf": "pdf",
    "docx": "word",
    "pptx": "slides",
    "xlsx": "sheets",
    "csv": "separated",
    "html": "webpage",
    "markdown": "marked",
    "text": "plain",
}

# A text of the permitted size says less than this; what says more was packed to do so.
_MOST_CHARACTERS = 24_000_000
_MOST_PASSAGES = 100_000
_LONGEST_TITLE = 300

# Processor time: what any document takes, and what each megabyte of it may take beyond that.
_SECONDS, _SECONDS_A_MEGABYTE = 8, 6
_LONGEST_HEADER = 64 * 1024

# What parsers ask for once nothing can be loaded any more.
_ENCODINGS = ("ascii", "latin-1", "cp437", "cp1252", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")

_BROKEN = "This file could not be read: it is damaged, or not what its name says. Save it anew, and send it again."
_EMPTY = "This file is empty. Send the one that has something in it."
_TOO_LARGE = "This file is larger than {0} MB. Split it, and send its parts."
_TOO_LONG = "This file unpacks to more text than any document should have. Split it, and send its parts."
_TOO_MUCH_MEMORY = (
    "Reading this file takes more memory than any document should. Split it, or save it in a simpler form."
)
_NO_TEXT = "There is no text in this file. If it shows pictures of text, send a version with the text itself."
_NO_WALLS = "This server cannot read files safely ({0}). Ask whoever runs it to look at `python -m enablebot doctor`."


@dataclass(frozen=True, slots=True)
class _Task:
    format: str
    name: str
    title: str | None
    tenant_id: UUID
    most_bytes: int
    memory: int
    without_walls: bool


def answer(source: BinaryIO, sink: BinaryIO) -> NoReturn:
    """Read one document from `source`: a JSON line, then its bytes; say on `sink` what is in it, line by line.

    Ends the process at once: what a broken parser left behind is not tidied up.
    """
    try:
        try:
            _answer(source, sink)
        except Unreadable as unreadable:
            _say(sink, failed={"code": unreadable.code, "reason": unreadable.reason})
        except MemoryError:
            _say(sink, failed={"code": "too_much_memory", "reason": _TOO_MUCH_MEMORY})
        except BrokenPipeError:
            raise
        except Exception as failure:  # a parser may raise anything; what it was goes into the log
            _say(sink, failed={"code": "damaged", "reason": _BROKEN, "where": _where(failure)})
    finally:
        os._exit(0)


def _answer(source: BinaryIO, sink: BinaryIO) -> None:
    header = json.loads(source.readline(_LONGEST_HEADER))
    task = _Task(**{**header, "tenant_id": UUID(header["tenant_id"])})
    module = importlib.import_module(f"enablebot.reader.formats.{_MODULES[task.format]}")
    content = source.read(task.most_bytes + 1)
    if not content:
        raise Unreadable("empty", _EMPTY)
    if len(content) > task.most_bytes:
        raise Unreadable("too_large", _TOO_LARGE.format(task.most_bytes // (1024 * 1024)))
    module.prepare(content)
    for encoding in _ENCODINGS:
        codecs.lookup(encoding)
    weigh(task.tenant_id, "Once before the walls stand, so that what is imported late is there.")
    set_limits(memory=task.memory, seconds=_SECONDS + _SECONDS_A_MEGABYTE * len(content) // (1024 * 1024))
    try:
        raise_walls()
    except WallsMissing as missing:
        if not task.without_walls:
            raise Unreadable("no_walls", _NO_WALLS.format(missing)) from missing
    read: Callable[[bytes], Blocks] = module.read
    _tell(task, read(content), sink)


def _tell(task: _Task, said: Blocks, sink: BinaryIO) -> None:
    document = _Document(said, task)
    _say(sink, title=document.title)
    passages = 0
    for passage in chunk(document.blocks()):
        while document.news:
            _say(sink, progress=document.news.pop())
        _say(sink, passage=_weighed(passage, passages, task.tenant_id, document.title))
        passages += 1
        if passages > _MOST_PASSAGES:
            raise Unreadable("too_long", _TOO_LONG)
    if not passages:
        raise Unreadable("no_text", _NO_TEXT)
    _say(sink, done={"pages": document.pages, "title": document.title, "passages": passages})


class _Document:
    """A format's stream: its title first, then its blocks, and what else it says along the way."""

    def __init__(self, said: Blocks, task: _Task) -> None:
        self.pages: int | None = None
        self.news: list[int] = []
        self._said = said
        self._first: Block | Heading | Break | None = None
        self.title = self._title(task)

    def blocks(self) -> Iterator[Block | Heading | Break]:
        """What is to be chunked, counted: a packed file may have no end."""
        left = _MOST_CHARACTERS
        for block in self._structure():
            if not isinstance(block, Break):
                left -= len(block.text)
                if left < 0:
                    raise Unreadable("too_long", _TOO_LONG)
            yield block

    def _structure(self) -> Iterator[Block | Heading | Break]:
        if self._first is not None:
            yield self._first
        for said in self._said:
            if isinstance(said, Block | Heading | Break):
                yield said
            else:
                self._note(said)

    def _title(self, task: _Task) -> str:
        own = ""
        for said in self._said:
            if isinstance(said, Titled):
                own = one_line(said.text)
            elif isinstance(said, Block | Heading | Break):
                self._first = said
                break
            else:
                self._note(said)
        stem = one_line(PurePath(task.name).stem)
        return (one_line(task.title or "") or own or stem or "Untitled")[:_LONGEST_TITLE]

    def _note(self, said: Titled | Pages | Passed) -> None:
        if isinstance(said, Pages):
            self.pages = said.count
        elif isinstance(said, Passed):
            self.news = [said.percent]


def _weighed(passage: Passage, position: int, tenant_id: UUID, title: str) -> dict[str, object]:
    weighed = weigh(tenant_id, in_context(title, passage.heading, passage.text))
    return {
        "position": position,
        "text": passage.text,
        "heading": passage.heading,
        "place": passage.place,
        "tokens": passage.tokens,
        "term_ids": weighed.ids,
        "weights": weighed.weights,
    }


def _say(sink: BinaryIO, **said: Any) -> None:
    sink.write(json.dumps(said).encode() + b"\n")
    sink.flush()


def _where(failure: Exception) -> str:
    """Which error, and where in the code: its message may quote the document."""
    frames: Iterable[traceback.FrameSummary] = traceback.extract_tb(failure.__traceback__)[-1:]
    return type(failure).__name__ + "".join(
        f" {'/'.join(PurePath(frame.filename).parts[-2:])}:{frame.lineno}" for frame in frames
    )
