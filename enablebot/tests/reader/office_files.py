"""Office files made by the libraries people's programs stand for, and taken apart to be made hostile."""

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import docx
import openpyxl
import pptx

from enablebot.shared.models.document import Format

# The part of each format that holds what people wrote.
BODIES: dict[Format, str] = {
    "docx": "word/document.xml",
    "pptx": "ppt/slides/slide1.xml",
    "xlsx": "xl/worksheets/sheet1.xml",
}


@dataclass(frozen=True)
class Repeated:
    """The same again and again: too much to be held at once by whoever only packs it."""

    unit: bytes
    size: int
    before: bytes = b""
    after: bytes = b""

    def pieces(self) -> Iterator[bytes]:
        """All of it, a megabyte at a time."""
        yield self.before
        many = self.unit * max(1, 1024 * 1024 // len(self.unit))
        for _ in range(self.size // len(many)):
            yield many
        yield self.after


@cache
def honest(kind: Format) -> bytes:
    """A small document that says “Thirty days of leave.”"""
    kept = io.BytesIO()
    if kind == "docx":
        document = docx.Document()
        document.add_heading("Leave", 1)
        document.add_paragraph("Thirty days of leave.")
        document.save(kept)
    elif kind == "pptx":
        presentation = pptx.Presentation()
        slide = presentation.slides.add_slide(presentation.slide_layouts[5])
        slide.shapes.title.text = "Thirty days of leave."
        presentation.save(kept)
    else:
        book = openpyxl.Workbook()
        sheet = book.worksheets[0]
        sheet.append(["Kind", "Rule"])
        sheet.append(["Leave", "Thirty days of leave."])
        book.save(kept)
    return kept.getvalue()


def changed(content: bytes, part: str, change: Callable[[bytes], bytes | Repeated]) -> bytes:
    """The same archive with one part changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts: dict[str, bytes | Repeated] = {name: archive.read(name) for name in archive.namelist()}
    parts[part] = change(archive_part(content, part))
    return packed(parts)


def archive_part(content: bytes, part: str) -> bytes:
    """One part of an archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(part)


def with_parts(content: bytes, more: Mapping[str, bytes | Repeated]) -> bytes:
    """The same archive with more parts."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts: dict[str, bytes | Repeated] = {name: archive.read(name) for name in archive.namelist()}
    return packed({**parts, **more})


def packed(parts: Mapping[str, bytes | Repeated]) -> bytes:
    """An archive of these parts."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            with archive.open(name, "w") as part:
                for piece in content.pieces() if isinstance(content, Repeated) else (content,):
                    part.write(piece)
    return kept.getvalue()


def with_body(kind: Format, xml: bytes | str | Repeated) -> bytes:
    """A document whose body is this XML, whatever it is."""
    part = xml.encode() if isinstance(xml, str) else xml
    return changed(honest(kind), BODIES[kind], lambda _: part)


def after_declaration(kind: Format, dtd: str, text: str, *, encoding: str = "UTF-8") -> bytes:
    """A document with a DTD in front of its body, and `text` in place of what it says."""

    def change(xml: bytes) -> bytes:
        words = xml.decode()
        body = words[words.index("?>") + 2 :] if words.startswith("<?xml") else words
        body = body.replace("Thirty days of leave.", text)
        return f'<?xml version="1.0" encoding="{encoding}" standalone="no"?>{dtd}{body}'.encode(encoding)

    return changed(honest(kind), BODIES[kind], change)


def claiming(content: bytes, part: str, size: int) -> bytes:
    """The same archive, whose directory and local header both say that `part` unpacks to `size` bytes."""
    out = bytearray(content)
    name = part.encode()
    at = 0
    while (at := out.find(name, at)) >= 0:
        if out[at - 30 : at - 26] == b"PK\x03\x04":
            out[at - 8 : at - 4] = size.to_bytes(4, "little")
        elif out[at - 46 : at - 42] == b"PK\x01\x02":
            out[at - 22 : at - 18] = size.to_bytes(4, "little")
        at += 1
    return bytes(out)


def word_body(paragraphs: Sequence[str] | str) -> str:
    """The XML of a Word document's body, from the XML of its paragraphs."""
    inner = paragraphs if isinstance(paragraphs, str) else "".join(paragraphs)
    namespace = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    return f'<?xml version="1.0"?><w:document xmlns:w="{namespace}"><w:body>{inner}</w:body></w:document>'


def sheet_body(rows: str, *, dimension: str = "A1") -> str:
    """The XML of a sheet, from the XML of its rows."""
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return (
        f'<?xml version="1.0"?><worksheet xmlns="{namespace}"><dimension ref="{dimension}"/>'
        f"<sheetData>{rows}</sheetData></worksheet>"
    )
