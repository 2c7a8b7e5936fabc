"""Markdown: headings, paragraphs, lists, tables and code as its authors meant them, and front matter."""

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from enablebot.reader.blocks import Block, Blocks, Heading, Titled
from enablebot.reader.cleaning import clean, one_line, paragraph
from enablebot.reader.decoding import decode
from enablebot.reader.decoding import prepare as decode_later
from enablebot.reader.tables import as_lines

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"^title\s*:\s*(.+)$", re.MULTILINE | re.IGNORECASE)
_TAG = re.compile(r"<!--.*?-->|<[^>]{0,2000}>", re.DOTALL)
_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_LARGEST_PARSED = 64 * 1024


def prepare(content: bytes) -> None:
    """Load what reading may need, before the walls stand."""
    decode_later(content)
    for _ in _parse(_parser(), "# A\n\n- *b* [c](d)\n\n| e |\n|---|\n| f |\n", 0):
        pass


def read(content: bytes) -> Blocks:
    """Blocks with the line they begin in."""
    text = clean(decode(content))
    begin = 0
    if front := _FRONT_MATTER.match(text):
        begin = front.end()
        if title := _TITLE.search(front[1]):
            yield Titled(title[1].strip().strip("\"'"))
        if told := paragraph(front[1]):
            yield Block(told, {"line": 2})
    parser = _parser()
    line = text.count("\n", 0, begin)
    for part in _parts(text[begin:]):
        yield from _parse(parser, part, line)
        line += part.count("\n")


def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table").enable("strikethrough")


def _parts(text: str) -> list[str]:
    """A very long file in parts that begin with a heading: a parser's tree of all of it would not fit into memory."""
    parts, begun, size = list[list[str]](), False, 0
    fence = ""
    for line in text.splitlines(keepends=True):
        opening = re.match(r" {0,3}(```+|~~~+)", line)
        if opening:
            fence = opening[1] if not fence else "" if opening[1].startswith(fence) else fence
        if not begun or (size > _LARGEST_PARSED and not fence and line.startswith("#")):
            parts.append([])
            begun, size = True, 0
        parts[-1].append(line)
        size += len(line)
    return ["".join(lines) for lines in parts]


def _parse(parser: MarkdownIt, text: str, before: int) -> Blocks:
    tokens = parser.parse(text)
    depth, marker, table = 0, "-", list[list[str]]()
    at = 0
    while at < len(tokens):
        token = tokens[at]
        place = {"line": before + token.map[0] + 1} if token.map else {}
        match token.type:
            case "heading_open":
                yield Heading(int(token.tag[1:]), _words(tokens[at + 1].children or ()), dict(place))
                at += 1
            case "bullet_list_open" | "ordered_list_open":
                depth += 1
            case "bullet_list_close" | "ordered_list_close":
                depth -= 1
            case "list_item_open":
                marker = f"{token.info}{token.markup}" if token.info else "-"
            case "table_open":
                table = []
                begun = dict(place)
            case "tr_open":
                table.append([])
            case "table_close":
                for row in as_lines(table, has_header=True):
                    yield Block(row, dict(begun), "row")
                table = []
            case "fence" | "code_block":
                language = (token.info or "").split(" ")[0]
                yield Block(f"```{language}\n{token.content.rstrip()}\n```", dict(place), "code")
            case "html_block":
                if words := paragraph(_TAG.sub(" ", token.content)):
                    yield Block(words, dict(place))
            case "inline":
                words = _words(token.children or ())
                if table:
                    table[-1].append(words)
                elif words and depth:
                    yield Block(f"{'  ' * (depth - 1)}{marker} {words}", dict(place), "item")
                elif words:
                    yield Block(words, dict(place))
        at += 1


def _words(tokens: Sequence[Token]) -> str:
    """What a line says without its marks; where a link leads stands behind its words."""
    parts: list[str] = []
    link = ""
    for token in tokens:
        match token.type:
            case "text" | "code_inline":
                parts.append(token.content)
            case "softbreak":
                parts.append(" ")
            case "hardbreak":
                parts.append("\n")
            case "image":
                parts.append(token.content)
            case "link_open":
                href = str(token.attrGet("href") or "")
                link = href if _LINK.match(href) else ""
                begun = len(parts)
            case "link_close":
                if link and link.removeprefix("mailto:") not in one_line("".join(parts[begun:])):
                    parts.append(f" ({link.removeprefix('mailto:')})")
                link = ""
    return paragraph("".join(parts))
