"""Plain text: paragraphs between blank lines, and the few lines that can only be headings."""

import re
from collections.abc import Iterator

from enablebot.reader.blocks import Block, Blocks, Heading, Passed
from enablebot.reader.cleaning import clean, paragraph
from enablebot.reader.decoding import decode
from enablebot.reader.decoding import prepare as prepare

_UNDERLINES = {"=": 1, "-": 2, "~": 3}
_NUMBERED = re.compile(
    r"(?:\d{1,2}\.){1,4}\d{0,2}\s+\S|(?:§|Chapter|Section|Part|Kapitel|Teil|Abschnitt)\s*\d", re.IGNORECASE
)
_ITEM = re.compile(r"\s*(?:[-*•–+]|\d{1,3}[.)])\s+\S")
_LONGEST_HEADING = 80


def read(content: bytes) -> Blocks:
    """Blocks with the number of the line they begin in."""
    lines = clean(decode(content)).replace("\f", "\n\n").split("\n")
    percent = 0
    for number, paragraph_lines in _paragraphs(lines):
        if number * 100 // len(lines) >= percent + 5:
            percent = number * 100 // len(lines)
            yield Passed(percent)
        yield from _blocks(number, paragraph_lines)


def _paragraphs(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """What stands between blank lines, each with the number of its first line."""
    begun, gathered = 0, list[str]()
    for number, line in enumerate(lines, 1):
        if line.strip():
            begun = begun or number
            gathered.append(line)
        elif gathered:
            yield begun, gathered
            begun, gathered = 0, []
    if gathered:
        yield begun, gathered


def _blocks(number: int, lines: list[str]) -> Blocks:
    level = _heading_level(lines)
    if level:
        yield Heading(level, lines[0], {"line": number})
        rest = lines[2:] if len(lines) > 1 else []
        number += 2
    else:
        rest = lines
    if rest:
        yield from _items(number, rest)


def _heading_level(lines: list[str]) -> int:
    """The level of the heading that a paragraph begins with, 0 for none: it must be underlined or stand alone."""
    first = lines[0].strip()
    if len(first) > _LONGEST_HEADING:
        return 0
    if len(lines) > 1:
        under = lines[1].strip()
        is_line = len(under) >= 3 and under[0] in _UNDERLINES and not under.strip(under[0])
        return _UNDERLINES[under[0]] if is_line else 0
    if first[-1] in ".,;:!?" or not any(map(str.isalpha, first)):
        return 0
    if _NUMBERED.match(first):
        numbers = re.match(r"[\d.]+", first)
        return 1 if numbers is None else max(1, len(list(filter(None, numbers.group().split(".")))))
    return 1 if first.isupper() and sum(map(str.isalpha, first)) >= 4 else 0


def _items(number: int, lines: list[str]) -> Blocks:
    """A paragraph, or the items of a list with what is indented below each."""
    if not _ITEM.match(lines[0]) or sum(1 for line in lines if _ITEM.match(line)) < 2:
        yield Block(paragraph("\n".join(lines)), {"line": number})
        return
    begun, gathered = number, list[str]()
    for at, line in enumerate(lines, number):
        if _ITEM.match(line) and gathered:
            yield Block(paragraph("\n".join(gathered)), {"line": begun}, "item")
            begun, gathered = at, []
        gathered.append(line)
    yield Block(paragraph("\n".join(gathered)), {"line": begun}, "item")
