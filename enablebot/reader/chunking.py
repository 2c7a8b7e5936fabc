"""Blocks become passages: whole sections packed under their heading path, about 350 tokens each.

Sizes and rules were measured: whole sections, the path in front, no overlap (see docs/reference/evaluation.md).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from math import ceil

from enablebot.reader.blocks import Block, Break, Heading, Place
from enablebot.reader.cleaning import one_line

TARGET = 350
_DEEPEST, _LONGEST_HEADING = 8, 200

_CUTS = {
    "prose": re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+|(?<=[。！？])|\n+"),
    "item": re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+|(?<=[。！？])|\n+"),
    "code": re.compile(r"\n(?=\n)|\n"),
    "row": re.compile(r"(?<=;)\s"),
}


@dataclass(frozen=True, slots=True)
class Passage:
    """`text` is what people see; `heading` the path above it, outermost first."""

    heading: tuple[str, ...]
    text: str
    place: Place
    tokens: int


@dataclass(slots=True)
class _Section:
    path: tuple[str, ...]
    place: Place = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    tokens: int = 0
    is_begun: bool = False

    @property
    def cost(self) -> int:
        """What it takes of a passage that it shares, its heading included."""
        return self.tokens + (count_tokens(self.path[-1]) if self.path else 0)


def count_tokens(text: str) -> int:
    """Roughly how many tokens a model sees in this: four letters each in Latin script, one or two elsewhere."""
    if text.isascii():
        return (len(text) + 3) // 4
    narrow = len(text.encode("ascii", "ignore"))
    return (narrow + 3) // 4 + (len(text) - narrow + 1) * 2 // 3


def chunk(blocks: Iterable[Block | Heading | Break], *, target: int = TARGET) -> Iterator[Passage]:
    """The passages of a document, in order, about `target` tokens each; looks ahead by two passages at most."""
    return _Chunker(target).run(blocks)


class _Chunker:
    def __init__(self, target: int) -> None:
        self._target = target
        # A section a little too long stays whole: half a thought each in two passages would be found less well.
        self._bearable = target * 5 // 4
        self._levels: list[tuple[int, str]] = []
        self._section = _Section(())
        self._packed: list[_Section] = []
        self._packed_tokens = 0

    def run(self, blocks: Iterable[Block | Heading | Break]) -> Iterator[Passage]:
        for block in blocks:
            if isinstance(block, Block):
                yield from self._take(block)
            elif isinstance(block, Heading):
                yield from self._open(block)
            else:
                yield from self._close()
                yield from self._flush()
                self._levels, self._section = [], _Section(())
        yield from self._close()
        yield from self._flush()

    def _open(self, heading: Heading) -> Iterator[Passage]:
        text = one_line(heading.text)
        if not text:
            return
        if len(text) > _LONGEST_HEADING:
            text = text[: _LONGEST_HEADING - 1].rstrip() + "…"
        goes_deeper = bool(self._levels) and heading.level > self._levels[-1][0]
        if self._section.blocks or not goes_deeper:
            yield from self._close()
        while self._levels and self._levels[-1][0] >= heading.level:
            self._levels.pop()
        self._levels = [*self._levels[: _DEEPEST - 1], (heading.level, text)]
        self._section = _Section(tuple(text for _, text in self._levels), heading.place)

    def _take(self, block: Block) -> Iterator[Passage]:
        section = self._section
        for piece in _pieces(block, target=self._target):
            section.blocks.append(piece)
            section.sizes.append(count_tokens(piece.text))
            section.tokens += section.sizes[-1]
            if len(section.blocks) > 1 and section.tokens > 2 * self._target:
                yield from self._flush()
                yield self._cut(self._target)

    def _close(self) -> Iterator[Passage]:
        section = self._section
        if not section.blocks and (section.is_begun or not section.path):
            return
        if section.is_begun or section.tokens > self._bearable:
            yield from self._flush()
            parts = ceil(section.tokens / self._target) if section.tokens > self._bearable else 1
            aim = ceil(section.tokens / parts)
            while section.blocks:
                yield self._cut(aim if section.tokens > self._bearable else section.tokens)
            return
        if self._packed and not self._fits(section):
            yield from self._flush()
        self._packed.append(section)
        self._packed_tokens += section.cost

    def _fits(self, section: _Section) -> bool:
        """Sections of different chapters share a passage only where there is little to share."""
        if self._packed_tokens + section.cost > self._target:
            return False
        last = self._packed[-1]
        are_strangers = last.path[:1] != section.path[:1] and len(last.path) + len(section.path) > 2
        return not are_strangers or self._packed_tokens < self._target // 4

    def _cut(self, aim: int) -> Passage:
        """The beginning of the open section, as much as comes nearest to `aim` tokens."""
        section = self._section
        taken, tokens = 1, section.sizes[0]
        while taken < len(section.sizes) and tokens + section.sizes[taken] // 2 <= aim:
            tokens += section.sizes[taken]
            taken += 1
        head = _Section(section.path, section.place, section.blocks[:taken], section.sizes[:taken])
        del section.blocks[:taken], section.sizes[:taken]
        section.tokens -= tokens
        section.is_begun = True
        return _compose([head])

    def _flush(self) -> Iterator[Passage]:
        if self._packed:
            yield _compose(self._packed)
            self._packed, self._packed_tokens = [], 0


def _compose(sections: list[_Section]) -> Passage:
    """One passage of whole sections: the path they share stands above, what differs stands in the text."""
    shared: tuple[str, ...] = _shared([section.path for section in sections])
    if not any(section.blocks for section in sections):
        shared = shared[:-1]  # headings alone are all the text there is
    parts: list[str] = []
    for section in sections:
        if own := section.path[len(shared) :]:
            parts.append(" › ".join(own))
        text, before = "", None
        for block in section.blocks:
            adjacent = before == block.kind and block.kind in ("row", "item")
            text += ("" if before is None else "\n" if adjacent else "\n\n") + block.text
            before = block.kind
        if text:
            parts.append(text)
    text = "\n\n".join(parts)
    places = [block.place for section in sections for block in section.blocks] or [sections[0].place]
    return Passage(shared, text, _span(places[0], places[-1]), count_tokens(text))


def _shared(paths: list[tuple[str, ...]]) -> tuple[str, ...]:
    first = paths[0]
    alike = takewhile(lambda at: all(path[: at + 1] == first[: at + 1] for path in paths), range(len(first)))
    return first[: len(list(alike))]


def _span(first: Place, last: Place) -> Place:
    """Where a passage stands that runs from the one place to the other."""
    place = dict(first)
    if "page" in first and last.get("page", first["page"]) != first["page"]:
        place["last_page"] = last["page"]
    begin, end = first.get("rows"), last.get("rows")
    if isinstance(begin, tuple) and isinstance(end, tuple):
        place["rows"] = (begin[0], end[1])
    return place


def _pieces(block: Block, *, target: int) -> Iterator[Block]:
    """The block, or what it falls into at its sentence ends when it is too long for one passage."""
    most = target * 2 if block.kind == "code" else target * 5 // 4
    if count_tokens(block.text) <= most:
        yield block
        return
    begin = gathered = tokens = 0
    for end in _ends(block.text, _CUTS[block.kind], target):
        size = count_tokens(block.text[gathered:end])
        if tokens + size > target and tokens:
            yield Block(block.text[begin:gathered].strip("\n "), block.place, block.kind)
            begin, tokens = gathered, 0
        tokens += size
        gathered = end
    if rest := block.text[begin:].strip("\n "):
        yield Block(rest, block.place, block.kind)


def _ends(text: str, cut: re.Pattern[str], target: int) -> Iterator[int]:
    """Where the text may be cut: at sentence ends, else at a space, else anywhere; steps of one passage at most."""
    begin = 0
    for found in [*(match.end() for match in cut.finditer(text)), len(text)]:
        # Looked at by its length first: each look at a long text copies it.
        while found - begin > target * 4 or count_tokens(text[begin:found]) > target:
            step = target * 4
            while count_tokens(text[begin : begin + step]) > target:
                step = step * 3 // 4
            space = text.rfind(" ", begin + step // 2, begin + step)
            begin = space + 1 if space > 0 else begin + step
            yield begin
        if found > begin:
            yield found
        begin = found
