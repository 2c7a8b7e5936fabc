"""Files made to do harm, or to be mistaken for others: what each is called, what it is, and how it must end.

`ends` lists what may come of it: reasons of CannotRead, or "read" where it is harmless once read within its limits.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from enablebot.shared.models.document import Format
from enablebot.tests.reader.office_files import (
    BODIES,
    Repeated,
    after_declaration,
    changed,
    claiming,
    honest,
    packed,
    sheet_body,
    with_body,
    with_parts,
    word_body,
)
from enablebot.tests.reader.pdf_writing import Objects, column, pdf

OFFICE: tuple[Format, ...] = ("docx", "pptx", "xlsx")
MB = 1024 * 1024
BOMB, BROKEN = {"too_long"}, {"damaged"}
SLOW = {"too_slow", "too_long", "too_much_memory", "crashed", "damaged", "no_text", "needs_ocr"}


@dataclass(frozen=True)
class Hostile:
    """One file: made when it is asked for, as some are large."""

    name: str
    format: Format
    make: Callable[[], bytes]
    ends: set[str]


def hostile_files(listener: str = "127.0.0.1:9") -> Iterator[Hostile]:
    """All of them; `listener` is whom XML is made to call."""
    for kind in OFFICE:
        yield from _archives(kind, BODIES[kind], honest(kind))
        yield from _markup(kind, listener)
    yield from _mislabelled()
    yield from _words()
    yield from _sheets()
    yield from _portable()
    yield from _texts()


def _archives(kind: Format, body: str, plain: bytes) -> Iterator[Hostile]:
    yield Hostile(f"{kind}: a part of 500 MB of blanks", kind, lambda: with_body(kind, Repeated(b" ", 500 * MB)), BOMB)
    yield Hostile(f"{kind}: 90 MB of blanks", kind, lambda: with_body(kind, Repeated(b" ", 90 * MB)), BOMB)
    yield Hostile(
        f"{kind}: says it is smaller than it is",
        kind,
        lambda: claiming(with_body(kind, Repeated(b" ", 50 * MB, b"<a>", b"</a>")), body, 1000),
        BROKEN,
    )
    yield Hostile(f"{kind}: says it has 4 GB", kind, lambda: claiming(plain, body, 2**32 - 2), BOMB)
    yield Hostile(
        f"{kind}: 10,000 members",
        kind,
        lambda: with_parts(plain, {f"x/{number}.xml": b"<a/>" for number in range(10_000)}),
        BOMB,
    )
    yield Hostile(
        f"{kind}: an archive within an archive within an archive",
        kind,
        lambda: with_parts(
            plain,
            {"x/embeddings/a.zip": packed({"b.zip": packed({"c": Repeated(b"\0", 100 * MB)}), "d": honest(kind)})},
        ),
        {"read"},
    )
    yield Hostile(f"{kind}: cut in half", kind, lambda: plain[: len(plain) // 2], BROKEN)
    yield Hostile(f"{kind}: its end alone", kind, lambda: plain[len(plain) // 2 :], BROKEN)
    yield Hostile(f"{kind}: without its body", kind, lambda: _without(plain, body), {"damaged", "no_text"})
    yield Hostile(f"{kind}: really a text", kind, lambda: b"Just words.", BROKEN)
    yield Hostile(f"{kind}: really a PDF", kind, lambda: pdf(column("Words.")), BROKEN)
    yield Hostile(f"{kind}: an empty archive", kind, lambda: packed({}), {"mislabelled"})
    yield Hostile(f"{kind}: zeros", kind, lambda: bytes(MB), BROKEN)
    yield Hostile(f"{kind}: its checksum is wrong", kind, lambda: _flipped(plain), BROKEN)


def _mislabelled() -> Iterator[Hostile]:
    yield Hostile("xlsx: really a Word document", "xlsx", lambda: honest("docx"), {"mislabelled"})
    yield Hostile("docx: really a workbook", "docx", lambda: honest("xlsx"), {"mislabelled"})


def _words() -> Iterator[Hostile]:
    yield Hostile(
        "docx: 22 KB that repeat themselves",
        "docx",
        lambda: with_body("docx", word_body("<w:p><w:r><w:t>A</w:t></w:r></w:p>" * 160_000)),
        BOMB | {"read"},
    )
    yield Hostile(
        "docx: 130 KB that repeat themselves",
        "docx",
        lambda: with_body("docx", word_body("<w:p><w:r><w:t>A</w:t></w:r></w:p>" * 1_000_000)),
        BOMB,
    )
    yield Hostile(
        "docx: a table of a million cells",
        "docx",
        lambda: with_body(
            "docx", word_body("<w:tbl>" + ("<w:tr>" + "<w:tc><w:p/></w:tc>" * 1000 + "</w:tr>") * 180 + "</w:tbl>")
        ),
        SLOW,
    )
    yield Hostile(
        "docx: tables within tables",
        "docx",
        lambda: with_body("docx", word_body("<w:tbl><w:tr><w:tc>" * 80 + "<w:p/>" + "</w:tc></w:tr></w:tbl>" * 80)),
        SLOW,
    )
    yield Hostile(
        "docx: a spreadsheet of an old program, with a password",
        "docx",
        lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le") + bytes(600),
        {"encrypted"},
    )


def _markup(kind: Format, listener: str) -> Iterator[Hostile]:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    dtds = {
        "billion laughs": (f'<!DOCTYPE x [<!ENTITY l0 "lol">{laughs}]>', "&l9;"),
        "quadratic blow-up": (f'<!DOCTYPE x [<!ENTITY a "{"A" * 50_000}">]>', "&a;" * 5000),
        "a local file": ('<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>', "&f;"),
        "an address": (f'<!DOCTYPE x [<!ENTITY f SYSTEM "http://{listener}/">]>', "&f;"),
        "an external DTD": (f'<!DOCTYPE x SYSTEM "http://{listener}/x.dtd">', "words"),
        "parameter entities": (f'<!DOCTYPE x [<!ENTITY % p SYSTEM "http://{listener}/p">%p;]>', "words"),
    }
    called = dtds["an address"]
    for what, (dtd, text) in dtds.items():
        yield Hostile(f"{kind}: {what}", kind, partial(after_declaration, kind, dtd, text), BROKEN)
    yield Hostile(
        f"{kind}: an address, in UTF-16",
        kind,
        lambda: after_declaration(kind, *called, encoding="UTF-16"),
        BROKEN,
    )
    yield Hostile(
        f"{kind}: an address in its properties",
        kind,
        lambda: changed(
            honest(kind),
            "docProps/core.xml",
            lambda xml: b'<?xml version="1.0"?>' + called[0].encode() + xml[xml.index(b"<cp:") :],
        ),
        BROKEN,
    )
    yield Hostile(
        f"{kind}: an encoding nobody uses",
        kind,
        lambda: with_body(kind, b'<?xml version="1.0" encoding="UTF-7"?>+ADw-a/+AD4-'),
        BROKEN,
    )
    yield Hostile(f"{kind}: 100,000 levels deep", kind, lambda: with_body(kind, b"<a>" * 100_000), SLOW)
    yield Hostile(
        f"{kind}: a link to a picture elsewhere",
        kind,
        lambda: with_parts(
            honest(kind),
            {
                "x/_rels/y.rels": b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
                b'<Relationship Id="r1" Type="image" TargetMode="External" Target="http://%s/"/></Relationships>'
                % listener.encode()
            },
        ),
        {"read"},
    )


def _sheets() -> Iterator[Hostile]:
    far = '<row r="{0}"><c r="XFD{0}" t="inlineStr"><is><t>x</t></is></c></row>'
    yield Hostile(
        "xlsx: one cell in the last corner",
        "xlsx",
        lambda: with_body("xlsx", sheet_body(far.format(1_048_576), dimension="A1:XFD1048576")),
        SLOW | {"read"},
    )
    yield Hostile(
        "xlsx: a row beyond the last",
        "xlsx",
        lambda: with_body("xlsx", sheet_body(far.format(2_000_000_000))),
        SLOW | {"read"},
    )
    yield Hostile(
        "xlsx: wide rows with nothing in them",
        "xlsx",
        lambda: with_body("xlsx", sheet_body("".join(far.format(number) for number in range(1, 20_000)))),
        SLOW | {"read"},
    )


def _portable() -> Iterator[Hostile]:
    plain = pdf(column("Thirty days of leave."))
    yield Hostile("pdf: with a password", "pdf", lambda: pdf(column("Words."), password="secret"), {"encrypted"})
    yield Hostile("pdf: cut in half", "pdf", lambda: plain[: len(plain) // 2], {"damaged", "needs_ocr", "no_text"})
    yield Hostile("pdf: its first line alone", "pdf", lambda: b"%PDF-1.7\n", BROKEN)
    yield Hostile("pdf: really a text", "pdf", lambda: b"Just words.", BROKEN)
    yield Hostile("pdf: really a Word document", "pdf", lambda: honest("docx"), BROKEN)
    yield Hostile("pdf: zeros", "pdf", lambda: bytes(MB), BROKEN)
    yield Hostile("pdf: pages without text", "pdf", lambda: pdf([], [], []), {"needs_ocr"})
    yield Hostile("pdf: 100,000 pages", "pdf", lambda: _pages(100_000), BOMB)
    yield Hostile("pdf: says it has two billion pages", "pdf", lambda: _pages(1, count=2_000_000_000), SLOW | {"read"})
    yield Hostile("pdf: ten layers of packing", "pdf", lambda: _stream(*_flate(Repeated(b"\0", 200 * MB), 10)), SLOW)
    yield Hostile("pdf: a gigabyte of blanks", "pdf", lambda: _stream(*_flate(Repeated(b" ", 1024 * MB), 1)), SLOW)
    yield Hostile(
        "pdf: text without end",
        "pdf",
        lambda: _stream(*_flate(Repeated(b"BT/F1 9 Tf(words)Tj ET\n", 90 * MB), 2)),
        SLOW,
    )
    yield Hostile(
        "pdf: an LZW stream of nothing but resets",
        "pdf",
        lambda: _stream(b"\x80\x00" * 5 * MB, "/Filter/LZWDecode"),
        SLOW,
    )
    yield Hostile(
        "pdf: an inline image without end",
        "pdf",
        lambda: _stream(b"BI/W 99999/H 99999/BPC 8/CS/RGB ID " * 50_000, ""),
        SLOW,
    )
    yield Hostile("pdf: a form that draws itself", "pdf", _form_in_itself, SLOW | {"read"})
    yield Hostile("pdf: pages that are their own parents", "pdf", _tree_in_itself, SLOW)
    yield Hostile("pdf: tables of places in a circle", "pdf", lambda: _circle(plain), SLOW | {"read"})
    yield Hostile("pdf: 200,000 brackets", "pdf", lambda: _stream(b"[" * 200_000, ""), SLOW)
    yield Hostile("pdf: an outline in a circle", "pdf", _outline_in_itself, {"read"})
    yield Hostile(
        "pdf: one byte in ten changed",
        "pdf",
        lambda: bytes(b ^ (i % 10 == 9) for i, b in enumerate(plain)),
        SLOW | {"read"},
    )


def _texts() -> Iterator[Hostile]:
    yield Hostile("text: an image", "text", lambda: b"\x89PNG\r\n\x1a\n" + bytes(range(32)) * 1000, {"mislabelled"})
    yield Hostile("text: one line of 5 MB", "text", lambda: b"x" * (5 * MB), {"read"})
    yield Hostile(
        "text: NULs and lone surrogates", "text", lambda: b"a\0b \xed\xa0\x80 words " * 30, {"read", "mislabelled"}
    )
    yield Hostile("csv: an open quote", "csv", lambda: b'a,b\n1,"' + b"x,\n" * 600_000, {"read"})
    yield Hostile("csv: a million columns", "csv", lambda: b"a," * 1_000_000, {"read"})
    yield Hostile("html: 200,000 levels deep", "html", lambda: b"<div>" * 200_000 + b"words", {"read", "too_slow"})
    yield Hostile(
        "html: tables within tables", "html", lambda: b"<table><tr><td>" * 5000 + b"words", {"read", "too_slow"}
    )
    yield Hostile(
        "html: cells as wide as they like",
        "html",
        lambda: b"<table>" + b"<tr><td colspan=999999 rowspan=999999>x" * 2000,
        {"read", "too_slow", "too_long"},
    )
    yield Hostile("markdown: 50,000 brackets", "markdown", lambda: b"[" * 50_000 + b"words", {"read", "too_slow"})
    # A parser of Markdown stops at some depth, and what lies below it is not read.
    yield Hostile("markdown: 50,000 quotes", "markdown", lambda: b"> " * 50_000 + b"words", {"no_text", "too_slow"})
    yield Hostile("markdown: 200,000 stars", "markdown", lambda: b"*a **b " * 100_000, {"read", "too_slow"})
    yield Hostile(
        "markdown: 20,000 columns",
        "markdown",
        lambda: b"|a" * 20_000 + b"|\n" + b"|-" * 20_000 + b"|\n" + b"|x" * 20_000,
        {"read", "too_slow"},
    )


def _without(content: bytes, part: str) -> bytes:
    return changed(content, part, lambda _: b"")


def _flipped(content: bytes) -> bytes:
    """One bit inside the first packed member."""
    out = bytearray(content)
    at = 30 + int.from_bytes(out[26:28], "little") + int.from_bytes(out[28:30], "little") + 20
    out[at] ^= 1
    return bytes(out)


def _flate(content: Repeated, layers: int) -> tuple[bytes, str]:
    packer = zlib.compressobj(9)
    packed_once = b"".join(packer.compress(piece) for piece in content.pieces()) + packer.flush()
    for _ in range(layers - 1):
        packed_once = zlib.compress(packed_once, 9)
    return packed_once, f"/Filter[{'/FlateDecode' * layers}]"


def _stream(content: bytes, entries: str) -> bytes:
    """One page with this as its content."""
    document = Objects()
    stream = document.add_stream(content, entries, packed=False)
    return _one_page(document, f"/Contents {stream} 0 R")


def _one_page(document: Objects, entries: str) -> bytes:
    font = document.add("<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")
    pages, page = document.reserve(), document.reserve()
    document.put(
        page,
        f"<</Type/Page/Parent {pages} 0 R/MediaBox[0 0 612 792]{entries}"
        + ("" if "/Resources" in entries else f"/Resources<</Font<</F1 {font} 0 R>>>>")
        + ">>",
    )
    document.put(pages, f"<</Type/Pages/Count 1/Kids[{page} 0 R]>>")
    return document.written(document.add(f"<</Type/Catalog/Pages {pages} 0 R>>"))


def _pages(kids: int, *, count: int | None = None) -> bytes:
    document = Objects()
    pages, page = document.reserve(), document.reserve()
    document.put(page, f"<</Type/Page/Parent {pages} 0 R/MediaBox[0 0 612 792]>>")
    document.put(pages, f"<</Type/Pages/Count {count or kids}/Kids[{f'{page} 0 R ' * kids}]>>")
    return document.written(document.add(f"<</Type/Catalog/Pages {pages} 0 R>>"))


def _form_in_itself() -> bytes:
    document = Objects()
    form = document.reserve()
    entries = f"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X {form} 0 R>>>>"
    body = b"/X Do " * 20
    document.put(form, f"<<{entries}/Length {len(body)}>>stream\n".encode() + body + b"\nendstream")
    stream = document.add_stream(b"/X Do")
    return _one_page(document, f"/Contents {stream} 0 R/Resources<</XObject<</X {form} 0 R>>>>")


def _tree_in_itself() -> bytes:
    document = Objects()
    pages = document.reserve()
    document.put(pages, f"<</Type/Pages/Count 5/Parent {pages} 0 R/Kids[{pages} 0 R {pages} 0 R]>>")
    return document.written(document.add(f"<</Type/Catalog/Pages {pages} 0 R>>"))


def _outline_in_itself() -> bytes:
    document = Objects()
    root, entry = document.reserve(), document.reserve()
    document.put(entry, f"<</Title(Loop)/Parent {root} 0 R/Next {entry} 0 R/First {entry} 0 R/Count 9>>")
    document.put(root, f"<</First {entry} 0 R/Last {entry} 0 R/Count 9>>")
    pages, page = document.reserve(), document.reserve()
    font = document.add("<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")
    stream = document.add_stream(b"BT/F1 11 Tf 72 700 Td(Thirty days of leave.)Tj ET")
    document.put(
        page,
        f"<</Type/Page/Parent {pages} 0 R/MediaBox[0 0 612 792]/Contents {stream} 0 R"
        f"/Resources<</Font<</F1 {font} 0 R>>>>>>",
    )
    document.put(pages, f"<</Type/Pages/Count 1/Kids[{page} 0 R]>>")
    return document.written(document.add(f"<</Type/Catalog/Pages {pages} 0 R/Outlines {root} 0 R>>"))


def _circle(content: bytes) -> bytes:
    """A table of places whose predecessor it is itself."""
    table = content.rindex(b"startxref")
    place = content[table + 9 :].split()[0].decode()
    return content.replace(b"trailer<<", f"trailer<</Prev {place} ".encode())
