"""HTML: the main content, as headings, paragraphs, lists and tables; nothing is fetched, nothing runs."""

import codecs
import contextlib
import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from enablebot.reader.blocks import Block, Blocks, Heading, Titled
from enablebot.reader.cleaning import clean, one_line, paragraph
from enablebot.reader.decoding import decode
from enablebot.reader.decoding import prepare as decode_later
from enablebot.reader.tables import as_lines

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SKIPPED = {
    *(
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "math",
        "iframe",
        "object",
        "embed",
        "canvas",
        "audio",
        "video",
    ),
    *("map", "head", "nav", "footer", "aside", "menu", "dialog", "button", "select", "option", "datalist", "input"),
    *("textarea", "link", "meta"),
}
_INLINE = {
    *("a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img"),
    *("ins", "kbd", "label", "mark", "q", "ruby", "rb", "rt", "rp", "s", "samp", "small", "span", "strike", "strong"),
    *("sub", "sup", "time", "tt", "u", "var", "wbr", "-text"),
}
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_-]+)", re.IGNORECASE)
_MAIN = ("main", "[role=main]", "article", "#content", "body")
_LEAST_MAIN = 200
_SPACES = re.compile(r"\s+")


def prepare(content: bytes) -> None:
    """Load what decoding may need, before the walls stand: the encoding that the page claims, too."""
    decode_later(content)
    if claimed := _claimed_encoding(content):
        with contextlib.suppress(LookupError):
            codecs.lookup(claimed)


def read(content: bytes) -> Blocks:
    """Blocks without places: headings say where."""
    tree = LexborHTMLParser(decode(content, hint=_claimed_encoding(content)))
    title = tree.css_first("title")
    if title is not None and (text := one_line(title.text())):
        yield Titled(text)
    root = _main(tree)
    if root is not None:
        yield from _Walk(root).blocks()


def _claimed_encoding(content: bytes) -> str | None:
    claimed = _CHARSET.search(content[:4096])
    return claimed[1].decode("ascii") if claimed else None


def _main(tree: LexborHTMLParser) -> LexborNode | None:
    """What a page is about, where it says so; all of its body when that is next to nothing."""
    for selector in _MAIN:
        found = tree.css(selector)
        if len(found) == 1 and (selector == "body" or len(found[0].text().strip()) >= _LEAST_MAIN):
            return found[0]
    return tree.body or tree.root


class _Walk:
    """One way through the tree without recursion: pages nest as deep as they like."""

    def __init__(self, root: LexborNode) -> None:
        self._root = root
        self._text: list[str] = []
        self._is_item = False
        self._pre = 0

    def blocks(self) -> Blocks:
        """What is shown, block by block."""
        node: LexborNode | None = self._root
        while node is not None:
            yield from self._enter(node)
            following = None if self._is_whole(node) else node.child
            while following is None and node is not None:
                yield from self._leave(node)
                if node.mem_id == self._root.mem_id:
                    node = None
                    break
                following = node.next
                if following is None:
                    node = node.parent
            node = following
        yield from self._end()

    def _is_whole(self, node: LexborNode) -> bool:
        """Whether nothing below this node is walked into: hidden, or already told at once."""
        tag = node.tag or ""
        return tag in _SKIPPED or tag in _HEADINGS or tag == "pre" or _is_hidden(node) or _is_data_table(node)

    def _enter(self, node: LexborNode) -> Blocks:
        tag = node.tag or ""
        if tag == "-text":
            self._text.append(_SPACES.sub(" ", node.text_content or ""))
        elif tag == "br":
            self._text.append("\n")
        elif tag in _SKIPPED or _is_hidden(node):
            return
        elif tag in _HEADINGS:
            yield from self._end()
            yield Heading(_HEADINGS[tag], node.text(separator=" "))
        elif tag == "pre":
            yield from self._end()
            if text := clean(node.text()).strip("\n"):
                yield Block(f"```\n{text}\n```", kind="code")
        elif tag == "table" and _is_data_table(node):
            yield from self._end()
            yield from _table(node)
        elif tag not in _INLINE:
            yield from self._end()
            self._is_item = tag in ("li", "dt", "dd")

    def _leave(self, node: LexborNode) -> Blocks:
        if (node.tag or "") not in _INLINE and node.tag != "br":
            yield from self._end()

    def _end(self) -> Blocks:
        text = paragraph("".join(self._text))
        self._text.clear()
        if text:
            yield Block(f"- {text}" if self._is_item else text, kind="item" if self._is_item else "prose")


def _is_hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    return "hidden" in attributes or _HIDDEN.search(attributes.get("style") or "") is not None


def _is_data_table(node: LexborNode) -> bool:
    """A table within which there is none; what holds others only lays out the page."""
    return node.tag == "table" and len(node.css("table")) <= 1 and not node.css("h1, h2, h3")


def _table(table: LexborNode) -> Blocks:
    caption = table.css_first("caption")
    if caption is not None and (text := one_line(caption.text(separator=" "))):
        yield Block(text)
    rows = list(_rows(table))
    first = table.css_first("tr")
    has_header = first is not None and bool(first.css("th")) and not first.css("td")
    for line in as_lines(rows, has_header=True if has_header else None):
        yield Block(line, kind="row")


def _rows(table: LexborNode) -> Iterator[list[str]]:
    """Cells as text, those that span columns followed by empty ones, those that span rows repeated."""
    carried: dict[int, tuple[int, str]] = {}
    for row in table.css("tr"):
        cells: list[str] = []
        for cell in row.css("td, th"):
            _carry(carried, cells)
            text = one_line(cell.text(separator=" "))
            width = _span(cell, "colspan")
            height = _span(cell, "rowspan")
            if height > 1:
                carried[len(cells)] = (height - 1, text)
            cells += [text, *[""] * (width - 1)]
        _carry(carried, cells)
        yield cells


def _carry(carried: dict[int, tuple[int, str]], cells: list[str]) -> None:
    while (held := carried.pop(len(cells), None)) is not None:
        left, text = held
        if left > 1:
            carried[len(cells)] = (left - 1, text)
        cells.append(text)


def _span(cell: LexborNode, name: str) -> int:
    value = cell.attributes.get(name) or "1"
    return min(max(int(value), 1), 100) if value.isascii() and value.isdigit() else 1
