"""Markdown as a PDF of A4 pages, written out by hand: text in Helvetica, a footer on each page, no library."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

from evaluation.rendering.marked import Heading, Paragraph, Table, blocks

_WIDTH, _HEIGHT, _MARGIN = 595, 842, 56
_SIZE, _LEADING, _LETTERS = 10, 14, 92
_HEADING_SIZES = {1: 18, 2: 13}
_FOOTER = "Fenwright Instruments - internal - page {0}"


@dataclass(slots=True)
class _Pages:
    """What stands on each page, as operators of a content stream, and how far down the last one is filled."""

    streams: list[list[str]] = field(default_factory=lambda: [[]])
    y: float = _HEIGHT - _MARGIN

    def line(self, pieces: list[tuple[float, str]], *, size: int = _SIZE, bold: bool = False) -> None:
        """Write one line: pieces of text, each at its own distance from the left margin."""
        if self.y - size < _MARGIN + _LEADING:
            self.streams.append([])
            self.y = _HEIGHT - _MARGIN
        self.y -= max(size * 1.3, _LEADING)
        font = "F2" if bold else "F1"
        for x, text in pieces:
            if text:
                place = f"{_MARGIN + x:.1f} {self.y:.1f}"
                self.streams[-1].append(f"BT /{font} {size} Tf {place} Td ({_escaped(text)}) Tj ET")

    def skip(self, points: float) -> None:
        self.y -= points


def as_pdf(markdown: str) -> bytes:
    """Return a PDF whose lines are wrapped as a word processor wraps them, tables in columns."""
    pages = _Pages()
    for block in blocks(markdown):
        if isinstance(block, Heading):
            pages.skip(10)
            pages.line([(0, block.text)], size=_HEADING_SIZES.get(block.level, 11), bold=True)
            pages.skip(4)
        elif isinstance(block, Paragraph):
            mark, indent = ("", 0) if block.kind == "prose" else ("- ", 12)
            for number, line in enumerate(textwrap.wrap(mark + block.text, _LETTERS - indent // 5)):
                pages.line([(indent if number else 0, line)])
            pages.skip(6)
        else:
            _add_table(pages, block)
    for number, stream in enumerate(pages.streams, 1):
        stream.append(f"BT /F1 8 Tf {_MARGIN} 30 Td ({_FOOTER.format(number)}) Tj ET")
    return _file(["\n".join(stream) for stream in pages.streams])


def _add_table(pages: _Pages, table: Table) -> None:
    width = (_WIDTH - 2 * _MARGIN) / len(table.rows[0])
    letters = max(8, int(width / 5.2))
    for number, row in enumerate(table.rows):
        cells = [textwrap.wrap(cell, letters) or [""] for cell in row]
        for line in range(max(map(len, cells))):
            texts = [cell[line] if line < len(cell) else "" for cell in cells]
            pages.line([(column * width, text) for column, text in enumerate(texts)], bold=number == 0)
    pages.skip(6)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _file(streams: list[str]) -> bytes:
    """Put the objects of a PDF together, with the table that says where each begins."""
    written, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(_objects(streams), 1):
        places.append(len(written))
        written += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table_at = len(written)
    entries = "".join(f"{place:010d} 00000 n \n" for place in places)
    written += f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n{entries}".encode()
    written += f"trailer\n<< /Size {len(places) + 1} /Root 1 0 R >>\nstartxref\n{table_at}\n%%EOF\n".encode()
    return bytes(written)


def _objects(streams: list[str]) -> Iterator[bytes]:
    kids = " ".join(f"{5 + 2 * number} 0 R" for number in range(len(streams)))
    yield b"<< /Type /Catalog /Pages 2 0 R >>"
    yield f"<< /Type /Pages /Kids [{kids}] /Count {len(streams)} >>".encode()
    for name in ("Helvetica", "Helvetica-Bold"):
        yield f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>".encode()
    for number, stream in enumerate(streams):
        content = f"/Contents {6 + 2 * number} 0 R /Resources << /Font << /F1 3 0 R /F2 4 0 R >> >>"
        yield f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {_WIDTH} {_HEIGHT}] {content} >>".encode()
        encoded = stream.encode("cp1252")
        yield b"<< /Length %d >>\nstream\n%b\nendstream" % (len(encoded), encoded)
