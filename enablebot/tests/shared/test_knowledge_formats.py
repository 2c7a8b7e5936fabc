"""Files told by their bytes, whatever they are called: what is read, and what is refused with which words."""

import contextlib
import io
import zipfile
from collections.abc import Callable

import docx
import openpyxl
import pptx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enablebot.shared.errors import UnsupportedFormat
from enablebot.shared.knowledge.formats import sniff
from enablebot.shared.models.document import Format

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n"


def word() -> bytes:
    made = io.BytesIO()
    document = docx.Document()
    document.add_heading("Handbook")
    document.save(made)
    return made.getvalue()


def slides() -> bytes:
    made = io.BytesIO()
    pptx.Presentation().save(made)
    return made.getvalue()


def sheet() -> bytes:
    made = io.BytesIO()
    book = openpyxl.Workbook()
    book.save(made)
    book.close()
    return made.getvalue()


def archive(*names: str, stored_first: bytes = b"x") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as zipped:
        for name in names:
            zipped.writestr(name, stored_first)
    return made.getvalue()


def ole(*streams: str) -> bytes:
    """An OLE file's header and a directory with these streams."""
    return OLE + b"".join(stream.encode("utf-16-le").ljust(64, b"\x00") + bytes(64) for stream in streams)


@pytest.mark.parametrize(
    ("name", "make", "expected"),
    [
        ("a.pdf", lambda: PDF, "pdf"),
        ("a.txt", lambda: PDF, "pdf"),
        ("a", lambda: PDF, "pdf"),
        ("a.pdf", lambda: b"\x00\x00junk before\n" + PDF, "pdf"),
        ("a.docx", word, "docx"),
        ("a.pdf", word, "docx"),
        ("a.zip", slides, "pptx"),
        ("a.docx", sheet, "xlsx"),
        ("a.docx", lambda: archive("_rels/.rels", "word/document.xml", "[Content_Types].xml"), "docx"),
        ("a.docx", lambda: word()[:60], "docx"),
        ("a.txt", lambda: b"just words", "text"),
        ("a.pdf", lambda: b"just words", "text"),
        ("a.exe", lambda: b"just words", "text"),
        ("a", lambda: b"just words", "text"),
        ("a.md", lambda: b"# Title", "markdown"),
        ("A.MARKDOWN", lambda: b"# Title", "markdown"),
        ("a.csv", lambda: b"a;b\n1;2", "csv"),
        ("a.tsv", lambda: b"a\tb", "csv"),
        ("a.html", lambda: b"<p>a paragraph", "html"),
        ("a.txt", lambda: b"\xef\xbb\xbf  <!DOCTYPE html><p>x", "html"),
        ("a.csv", lambda: b"<!-- one --> <!-- two -->\n<html lang=de>", "html"),
        ("a.xml", lambda: b'<?xml version="1.0"?>\n<html xmlns="x">', "html"),
        ("a.xml", lambda: b'<?xml version="1.0"?><feed>', "text"),
        ("a.txt", lambda: "Grüße".encode("utf-16"), "text"),
        ("a.md", lambda: "# Grüße an alle, die lesen".encode("utf-16-le"), "markdown"),
        ("a.txt", lambda: "Grüße an alle, die lesen".encode("utf-16-be"), "text"),
        ("a.txt", lambda: "Grüße".encode("utf-32"), "text"),
        ("a.html", lambda: "<html>".encode("utf-16"), "html"),
        ("a.txt", lambda: "Grüße € “so”".encode("cp1252"), "text"),
        ("a.txt", lambda: "資料".encode("shift_jis"), "text"),
        ("a.log", lambda: b"\x1b[31mred\x1b[0m\nline\f\n", "text"),
        ("a.txt", lambda: b"MYTHS and MZ", "text"),
        ("a.txt", lambda: b"GIFts for all", "text"),
        ("a.txt", lambda: b"PKs and PDFs", "text"),
        ("a.txt", lambda: b"MZ-80: the manual", "text"),
        ("a.txt", lambda: b"GIF89 is a format", "text"),
    ],
)
def test_a_document_is_told_by_its_bytes(name: str, make: Callable[[], bytes], expected: Format) -> None:
    assert sniff(name, make()) == expected


@pytest.mark.parametrize(
    ("name", "content", "what", "remedy"),
    [
        ("invoice.pdf", b"MZ\x90\x00\x03\x00\x00\x00\x04\x00", "Windows program", "reads PDF"),
        ("plan.docx", b"\x7fELF\x02\x01\x01\x00", "Linux program", "reads PDF"),
        ("plan.txt", b"\xcf\xfa\xed\xfe\x07\x00", "macOS program", "reads PDF"),
        ("scan.pdf", b"\x89PNG\r\n\x1a\n\x00\x00", "image", "reads PDF"),
        ("scan.pdf", b"\xff\xd8\xff\xe0\x00\x10JFIF", "image", "reads PDF"),
        ("scan.webp", b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image", "reads PDF"),
        ("film.txt", b"\x00\x00\x00\x20ftypisom", "video", "reads PDF"),
        ("backup.csv", b"\x1f\x8b\x08\x00", "compressed archive", "reads PDF"),
        ("data.txt", b"SQLite format 3\x00\x10\x00", "database", "reads PDF"),
        ("data.txt", bytes(range(256)) * 4, "binary file", "reads PDF"),
        ("data.txt", b"\x01\x02\x03\x04\x05\x06" * 100, "binary file", "reads PDF"),
        ("all.zip", archive("a.txt", "b.txt"), "archive of files", "one by one"),
        ("all.pdf", archive("a.txt"), "archive of files", "one by one"),
        (
            "text.odt",
            archive("mimetype", stored_first=b"application/vnd.oasis.opendocument.text"),
            "OpenDocument",
            ".docx",
        ),
        (
            "t.ods",
            archive("mimetype", stored_first=b"application/vnd.oasis.opendocument.spreadsheet"),
            "OpenDocument",
            ".xlsx",
        ),
        ("book.epub", archive("mimetype", stored_first=b"application/epub+zip"), "archive of files", "one by one"),
        ("macros.docx", archive("[Content_Types].xml", "word/document.xml", "word/vbaProject.bin"), "macros", ".docx"),
        ("macros.xlsm", archive("xl/workbook.xml"), "macros", ".xlsx"),
        ("binary.xlsb", archive("xl/workbook.bin"), "binary Excel", ".xlsx"),
        ("old.doc", ole("Root Entry", "WordDocument", "1Table"), "old Word file (.doc)", ".docx"),
        ("old.docx", ole("Root Entry", "WordDocument"), "old Word file (.doc)", ".docx"),
        ("old.pdf", ole("Root Entry", "Workbook"), "old Excel file (.xls)", ".xlsx"),
        ("older.xls", ole("Root Entry", "Book"), "old Excel file (.xls)", ".xlsx"),
        ("old.ppt", ole("Root Entry", "PowerPoint Document"), "old PowerPoint file (.ppt)", ".pptx"),
        ("far.xls", OLE, "old Excel file (.xls)", ".xlsx"),
        ("mail.msg", ole("Root Entry", "__substg1.0_1000001F"), "old Office file or a mail", "PDF"),
        ("secret.docx", ole("Root Entry", "EncryptionInfo", "EncryptedPackage"), "password", "Remove the password"),
        ("secret.bin", ole("EncryptedPackage"), "password", "Remove the password"),
        ("secret.xlsx", OLE, "password", "Remove the password"),
        ("letter.txt", b"{\\rtf1\\ansi Hello}", "Rich Text", ".docx"),
    ],
)
def test_what_is_no_document_is_refused_with_what_it_is_and_what_to_do(
    name: str, content: bytes, what: str, remedy: str
) -> None:
    with pytest.raises(UnsupportedFormat) as refused:
        sniff(name, content)
    assert refused.value.status == 415
    assert what in refused.value.message
    assert remedy in refused.value.message
    assert refused.value.message.startswith("This file ")


@given(
    st.text(max_size=20),
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=200).map(lambda tail: b"PK\x03\x04" + tail),
        st.binary(max_size=200).map(lambda tail: OLE[:8] + tail),
    ),
)
def test_whatever_comes_is_a_kind_of_document_or_refused(name: str, content: bytes) -> None:
    # Anything else that is raised fails it.
    with contextlib.suppress(UnsupportedFormat):
        assert sniff(name, content) in {"pdf", "docx", "pptx", "xlsx", "csv", "html", "markdown", "text"}


def test_a_megabyte_of_comments_is_looked_at_in_one_go() -> None:
    # An expression that may retrace would be at it for as long as anybody waits.
    assert sniff("a.txt", b"<!-- x -->\n" * 90_000) == "text"
    assert sniff("a.txt", b"<!--" * 250_000) == "text"
