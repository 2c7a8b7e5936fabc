"""What the reader child says, line by line, checked as what comes from a stranger: it had the file in its hands."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from enablebot.shared.errors import EnableBotError
from enablebot.shared.models.passage import in_context

LONGEST_LINE = 256 * 1024


class CannotRead(EnableBotError):
    """A document could not be read: `reason` is for the person who sent it, `why` for programs.

    `transient` means that this machine had nothing left to read with, and that the file is not to blame.
    `where` is where in our code it came about, for the log; never content.
    """

    code = "cannot_read"
    status = 422

    def __init__(self, why: str, reason: str, *, transient: bool = False, where: str | None = None) -> None:
        super().__init__(reason)
        self.why = why
        self.reason = reason
        self.transient = transient
        self.where = where


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the child is with the file, in percent."""

    percent: int


@dataclass(frozen=True, slots=True)
class ReadPassage:
    """One passage. `place` says where it stands, `indexed` is what to embed: title, heading path and text."""

    position: int
    text: str
    heading: tuple[str, ...]
    place: dict[str, Any]
    tokens: int
    term_ids: tuple[int, ...]
    weights: tuple[float, ...]
    indexed: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end of the document: `pages` where the format has pages or slides."""

    pages: int | None
    title: str
    passages: int


Said = Progress | ReadPassage | Done

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def _storable(text: str) -> str:
    if _UNSTORABLE.search(text):
        raise ValueError("Postgres cannot store this")
    return text


_Text = Annotated[str, AfterValidator(_storable)]
_Short = Annotated[str, Field(max_length=1000), AfterValidator(_storable)]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class _Passage(_Line):
    position: int = Field(ge=0, le=1_000_000)
    text: _Text = Field(min_length=1, max_length=50_000)
    heading: tuple[_Short, ...] = Field(max_length=20)
    place: dict[_Short, int | _Short | tuple[int, int]] = Field(max_length=4)
    tokens: int = Field(ge=0, le=100_000)
    term_ids: tuple[Annotated[int, Field(ge=1, le=1_000_000_000)], ...] = Field(max_length=16_000)
    weights: tuple[Annotated[float, Field(gt=0, le=1000)], ...] = Field(max_length=16_000)


class _Done(_Line):
    pages: int | None = Field(ge=0, le=10_000_000)
    title: _Short
    passages: int = Field(ge=0, le=1_000_000)


class _Failed(_Line):
    code: Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]
    reason: _Short
    where: _Short | None = None


class _Said(_Line):
    title: _Short | None = None
    progress: Annotated[int, Field(ge=0, le=100)] | None = None
    passage: _Passage | None = None
    done: _Done | None = None
    failed: _Failed | None = None


class Sayings:
    """The lines of one child, in order; passages carry on from the title that came first."""

    broken: ClassVar[str] = "Reading this file broke off. It may be damaged: save it anew, and send it again."

    def __init__(self) -> None:
        self._title = ""
        self._passages = 0

    def hear(self, line: bytes) -> Said | None:
        """What one line says, None for nothing of interest; raises CannotRead for a failure and for nonsense."""
        try:
            said = _Said.model_validate_json(line)
        except ValidationError as nonsense:
            raise CannotRead("broken", self.broken, where="what the reader said") from nonsense
        if said.failed is not None:
            raise CannotRead(said.failed.code, said.failed.reason, where=said.failed.where)
        if said.passage is not None:
            return self._passage(said.passage)
        if said.done is not None:
            if said.done.passages != self._passages:
                raise CannotRead("broken", self.broken, where="the count of passages")
            return Done(said.done.pages, said.done.title, said.done.passages)
        if said.title is not None:
            self._title = said.title
        return None if said.progress is None else Progress(said.progress)

    def _passage(self, said: _Passage) -> ReadPassage:
        if said.position != self._passages or len(said.term_ids) != len(said.weights):
            raise CannotRead("broken", self.broken, where="the order of passages")
        self._passages += 1
        return ReadPassage(
            said.position,
            said.text,
            said.heading,
            dict(said.place),
            said.tokens,
            said.term_ids,
            said.weights,
            in_context(self._title, said.heading, said.text),
        )
