"""Where a long answer is cut into messages: between paragraphs, and never silently inside a code fence. Pure."""

import re
from dataclasses import dataclass

# Slack takes 12,000 characters of markdown a message; the rest is room for a fence that has to be closed and reopened.
SOFT_LIMIT = 9_000
HARD_LIMIT = 11_700

_FENCE = re.compile(r"^[ \t]*(`{3,})([^`\n]*)$", re.MULTILINE)
_PARAGRAPH = re.compile(r"\n[ \t]*\n+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")


@dataclass(frozen=True, slots=True)
class Cut:
    """One message ends at `end`; `closing` is added to it, `reopening` begins the next one."""

    end: int
    closing: str = ""
    reopening: str = ""


@dataclass(frozen=True, slots=True)
class _Fence:
    start: int
    end: int
    ticks: str
    opening: str


def cut(text: str, *, soft: int = SOFT_LIMIT, hard: int = HARD_LIMIT) -> Cut | None:
    """Where the first message of `text` ends, or None while the whole may stay in one.

    The same text gives the same cuts whether it is seen whole or growing: the first gap between paragraphs after
    `soft` characters; without one before `hard`, the last line, sentence or word, with an open fence closed.
    """
    if len(text) <= soft:
        return None
    fences = _fences(text)
    for gap in _PARAGRAPH.finditer(text, soft, min(len(text), hard)):
        # A gap at the very end may still be growing.
        if gap.end() < len(text) and gap.end() <= hard and _around(fences, gap.start()) is None:
            return Cut(gap.end())
    if len(text) <= hard:
        return None
    return cut_at(text, _last_seam(text, soft, hard))


def cut_at(text: str, end: int) -> Cut:
    """A cut at exactly `end`; a fence open there is closed, and opened again in the next message."""
    fence = _around(_fences(text), end)
    if fence is None:
        return Cut(end)
    newline = "" if text[:end].endswith("\n") else "\n"
    return Cut(end, closing=newline + fence.ticks, reopening=fence.opening + "\n")


def split(text: str, *, soft: int = SOFT_LIMIT, hard: int = HARD_LIMIT) -> list[str]:
    """The messages of a finished answer, each within `hard` characters and a closed fence."""
    pieces: list[str] = []
    rest = text
    while (found := cut(rest, soft=soft, hard=hard)) is not None:
        pieces.append(rest[: found.end] + found.closing)
        rest = found.reopening + rest[found.end :]
    return [*pieces, rest]


def _last_seam(text: str, low: int, high: int) -> int:
    """The end of the last line between two places, else of the last sentence, else of the last word."""
    line = text.rfind("\n", low, high)
    if line >= 0:
        return line + 1
    sentence = max((match.end() for match in _SENTENCE.finditer(text, low, high)), default=-1)
    if sentence >= 0:
        return sentence
    space = text.rfind(" ", low, high)
    return space + 1 if space >= 0 else high


def _fences(text: str) -> list[_Fence]:
    """Code fences; one that is never closed reaches to the end."""
    found: list[_Fence] = []
    opened: re.Match[str] | None = None
    for line in _FENCE.finditer(text):
        if opened is None:
            opened = line
        elif not line[2].strip() and len(line[1]) >= len(opened[1]):
            found.append(_Fence(opened.start(), line.end(), opened[1], opened[0]))
            opened = None
    if opened is not None:
        found.append(_Fence(opened.start(), len(text) + 1, opened[1], opened[0]))
    return found


def _around(fences: list[_Fence], place: int) -> _Fence | None:
    for fence in fences:
        # Just behind the opening line is inside, just behind the closing line is not.
        if fence.start < place < fence.end:
            return fence
    return None
