"""Lines of pages become headings and paragraphs: what repeats on every page is dropped, what was broken is joined."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from enablebot.reader.blocks import Block, Blocks, Heading, Place

Outline = dict[int, list[tuple[int, str]]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a page: its height and its place from below, in points; headers and footers are marginal."""

    text: str
    size: float
    bottom: float
    is_bold: bool
    is_marginal: bool


_RUN = 3  # pages in a row, or every second page, that must repeat a header or footer
_NUMBER = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(
    r"[-–—\s]*(?:(?:page|seite|página|p\.|s\.)\s*)?(\d{1,5})(?:\s*(?:of|von|de|/)\s*\d{1,5})?[-–—\s]*", re.IGNORECASE
)
_LONE_NUMBER = re.compile(r"[-–—\s]*(?:\d{1,4}|[ivxlc]{1,6})[-–—\s]*")
_LEADERS = re.compile(r"(?:\.\s?|…\s?|·\s?|_){4,}\s*(?:\d{1,5}|[ivxlc]{1,6})$")  # a line of a table of contents
_ITEM = re.compile(r"(?:[•◦▪‣●○■□–*-]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
_ENDS_SENTENCE = re.compile(r"[.!?:;…。！？][\"'”’»)\]]*$")
_LARGER = 1.12
_LONGEST_HEADING, _LONGEST_BOLD_HEADING = 140, 90
_HEADING_SIZES = 4
_LONGEST_PARAGRAPH = 3000


def arrange(pages: list[list[Line]], outline: Outline) -> Blocks:
    """The blocks of all pages, in order."""
    pages = _without_running_lines(pages)
    levels = _Levels(pages, outline)
    paragraph = _Paragraph()
    for index, lines in enumerate(pages):
        usual = _usual_length(lines)
        for line, level in levels.on_page(index, lines):
            if level:
                yield from paragraph.end()
                yield Heading(level, line.text, {"page": index + 1})
            else:
                yield from paragraph.add(line, page=index + 1, usual=usual)
    yield from paragraph.end()


def _without_running_lines(pages: list[list[Line]]) -> list[list[Line]]:
    """The pages without what says nothing new: headers, footers, page numbers, tables of contents."""
    seen: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for index, lines in enumerate(pages):
        for key in {_key(line) for line in lines if line.is_marginal}:
            seen[key].append(index)
    running = {key: indexes[0] for key, indexes in seen.items() if _longest_run(indexes) >= _RUN}
    kept = []
    for index, lines in enumerate(pages):
        kept.append(
            [
                line
                for at, line in enumerate(lines)
                if not (line.is_marginal and _is_repeated(_key(line), index, running))
                and not _is_page_number(line, index, at in (0, len(lines) - 1) and len(pages) > 1)
                and not _LEADERS.search(line.text)
            ]
        )
    return kept


def _key(line: Line) -> tuple[str, int]:
    return _NUMBER.sub("#", line.text.casefold()), round(line.bottom / 4)


def _longest_run(indexes: list[int]) -> int:
    longest = run = 1
    for before, after in pairwise(indexes):
        run = run + 1 if after - before <= 2 else 1
        longest = max(longest, run)
    return longest


def _is_repeated(key: tuple[str, int], index: int, running: dict[tuple[str, int], int]) -> bool:
    """Whether this was said before; the first time it may be the title of what follows."""
    return key in running and (running[key] != index or "#" in key[0])


def _is_page_number(line: Line, index: int, is_outermost: bool) -> bool:
    if not is_outermost:
        return False
    number = _PAGE_NUMBER.fullmatch(line.text)
    return _LONE_NUMBER.fullmatch(line.text) is not None or (number is not None and int(number[1]) == index + 1)


class _Levels:
    """Which lines are headings: those the outline names, and those in larger or, standing alone, bolder letters."""

    def __init__(self, pages: list[list[Line]], outline: Outline) -> None:
        self._outline = outline
        self._below = max((level for page in outline.values() for level, _ in page), default=0)
        letters: Counter[float] = Counter()
        bold = total = 0
        for lines in pages:
            for line in lines:
                letters[line.size] += len(line.text)
                total += len(line.text)
                bold += len(line.text) if line.is_bold else 0
        self._body = letters.most_common(1)[0][0] if letters else 0.0
        self._bold_means_something = bold < total * 0.3
        sizes = {line.size for lines in pages for line in lines if self._is_larger(line)}
        self._sizes = sorted(sizes, reverse=True)

    def on_page(self, index: int, lines: list[Line]) -> Iterator[tuple[Line, int]]:
        """Each line with its level, 0 for text; a heading over several lines comes as one."""
        named = {_bare(title): level for level, title in self._outline.get(index, [])}
        at = 0
        while at < len(lines):
            line, taken, level = self._named(lines, at, named)
            if not level:
                level = self._guess(lines, at)
                while (
                    level and at + taken < len(lines) and self._goes_on(lines[at + taken - 1], lines[at + taken], line)
                ):
                    line = replace(line, text=f"{line.text} {lines[at + taken].text}")
                    taken += 1
            yield line, level
            at += taken

    def _named(self, lines: list[Line], at: int, named: dict[str, int]) -> tuple[Line, int, int]:
        """What the outline calls this line, alone or with the next."""
        line = lines[at]
        if named:
            if level := named.get(_bare(line.text)):
                return line, 1, level
            if at + 1 < len(lines):
                joined = f"{line.text} {lines[at + 1].text}"
                if level := named.get(_bare(joined)):
                    return replace(line, text=joined), 2, level
        return line, 1, 0

    def _is_larger(self, line: Line) -> bool:
        return line.size >= self._body * _LARGER and len(line.text) <= _LONGEST_HEADING

    def _guess(self, lines: list[Line], at: int) -> int:
        line = lines[at]
        if not any(map(str.isalpha, line.text)):
            return 0
        if self._is_larger(line):
            rank = min(self._sizes.index(line.size), _HEADING_SIZES - 1)
            return self._below + rank + 1
        if (
            line.is_bold
            and self._bold_means_something
            and line.size >= self._body
            and len(line.text) <= _LONGEST_BOLD_HEADING
            and not _ENDS_SENTENCE.search(line.text)
            and (at == 0 or _gap(lines[at - 1], line) > 1.25)
            and at + 1 < len(lines)
            and not lines[at + 1].is_bold
        ):
            return self._below + min(len(self._sizes), _HEADING_SIZES) + 1
        return 0

    def _goes_on(self, last: Line, following: Line, first: Line) -> bool:
        return (
            following.size == first.size
            and following.is_bold == first.is_bold
            and self._is_larger(first)
            and 0 < _gap(last, following) < 1.5
            and len(first.text) + len(following.text) < _LONGEST_HEADING
        )


class _Paragraph:
    """Lines gathered until one begins something new."""

    def __init__(self) -> None:
        self._text = ""
        self._place: Place = {}
        self._is_item = False
        self._last: Line | None = None
        self._page = 0

    def add(self, line: Line, *, page: int, usual: float) -> Blocks:
        is_item = _ITEM.match(line.text) is not None
        last = self._last
        if last is None or is_item or self._is_long() or self._is_over(last, line, page=page):
            yield from self.end()
            self._text, self._place, self._is_item = line.text, {"page": page}, is_item
        else:
            is_full = page != self._page or len(last.text) >= usual * 0.6
            self._text = join(self._text, line.text, is_full=is_full)
        self._last, self._page = line, page

    def end(self) -> Blocks:
        if self._text:
            yield Block(self._text, self._place, "item" if self._is_item else "prose")
        self._text, self._last = "", None

    def _is_long(self) -> bool:
        """Longer than anything a person would write; else text without full stops would stand on its first page."""
        return len(self._text) > _LONGEST_PARAGRAPH and not self._text.endswith("-")

    def _is_over(self, last: Line, line: Line, *, page: int) -> bool:
        is_unfinished = not _ENDS_SENTENCE.search(last.text)
        if page != self._page or line.bottom > last.bottom + last.size:  # the next page, or the next column
            return not (is_unfinished and line.text[:1].islower())
        return _gap(last, line) > 1.7


def join(text: str, line: str, *, is_full: bool) -> str:
    """Put a broken line back: a hyphenated word in one piece, a sentence on one line, a short line below the other."""
    if text.endswith("-") and len(text) > 1 and text[-2].islower() and line[:1].islower():
        return text[:-1] + line
    if text.endswith("-") and len(text) > 1 and text[-2].isalnum():
        return text + line
    return f"{text} {line}" if is_full else f"{text}\n{line}"


def _gap(above: Line, below: Line) -> float:
    """From one line to the next, in heights of a line."""
    return (above.bottom - below.bottom) / max(below.size, 1.0)


def _usual_length(lines: list[Line]) -> float:
    lengths = sorted(len(line.text) for line in lines)
    return lengths[len(lengths) * 3 // 4] if lengths else 0


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()
