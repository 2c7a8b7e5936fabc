"""Which words of a passage the question asked for, as the search itself cuts words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from enablebot.shared.knowledge.terms import cut_question

_WORD = re.compile(r"\S+")
# Scripts that write without spaces, of which the search compares pairs of characters.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+"
)
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of text, and whether the question asked for it."""

    text: str
    is_asked: bool


def marked(text: str, *, question: str) -> tuple[Stretch, ...]:
    """The text in pieces; put together again they are the text, character by character."""
    asked = frozenset(cut_question(question))
    stretches: list[Stretch] = []
    end = 0
    for start, stop in _merged(_found(text, asked)):
        if start > end:
            stretches.append(Stretch(text[end:start], is_asked=False))
        stretches.append(Stretch(text[start:stop], is_asked=True))
        end = stop
    if end < len(text):
        stretches.append(Stretch(text[end:], is_asked=False))
    return tuple(stretches)


def _found(text: str, asked: frozenset[str]) -> Iterator[tuple[int, int]]:
    known: dict[str, bool] = {}
    for match in _WORD.finditer(text):
        word, offset = match[0], match.start()
        runs = list(_UNSPACED.finditer(word))
        for run in runs:
            for start, stop in _pairs(run[0], asked):
                yield offset + run.start() + start, offset + run.start() + stop
        if runs:
            continue
        if word not in known:
            # Alone a word does not show its language: its stems in every one are compared.
            known[word] = not asked.isdisjoint(cut_question(word))
        if known[word]:
            bare = _EDGES.sub("", word) or word
            start = offset + word.index(bare)
            yield start, start + len(bare)


def _pairs(run: str, asked: frozenset[str]) -> list[tuple[int, int]]:
    """The pairs that were asked for; single characters only where there is no such pair."""
    pairs = [(at, at + 2) for at in range(len(run) - 1) if run[at : at + 2] in asked]
    return pairs or [(at, at + 1) for at, each in enumerate(run) if each in asked]


def _merged(spans: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    last: tuple[int, int] | None = None
    for start, stop in spans:
        if last is not None and start <= last[1]:
            last = (last[0], max(last[1], stop))
        else:
            if last is not None:
                yield last
            last = (start, stop)
    if last is not None:
        yield last
