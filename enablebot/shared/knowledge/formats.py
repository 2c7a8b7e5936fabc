"""What kind of document some bytes are, by the bytes; the name decides only between kinds of plain text."""

import re
from typing import NoReturn

from enablebot.shared.errors import UnsupportedFormat
from enablebot.shared.models.document import Format

READ = "PDF, Word (.docx), PowerPoint (.pptx), Excel (.xlsx), CSV, HTML, Markdown and plain text"

_ENDINGS: dict[str, Format] = {
    "pdf": "pdf",
    "docx": "docx",
    "pptx": "pptx",
    "xlsx": "xlsx",
    "csv": "csv",
    "tsv": "csv",
    "html": "html",
    "htm": "html",
    "xhtml": "html",
    "md": "markdown",
    "markdown": "markdown",
    "mdown": "markdown",
    "mkd": "markdown",
}
_OFFICE: dict[bytes, Format] = {b"word/": "docx", b"ppt/": "pptx", b"xl/": "xlsx"}

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_ZIP_ENTRY = re.compile(rb"PK\x03\x04.{22}(..)..", re.DOTALL)
# Names of the streams that an OLE file keeps its content in, as it writes them.
_OLE_STREAMS = {
    "EncryptedPackage": None,
    "WordDocument": ("an old Word file (.doc)", ".docx"),
    "PowerPoint Document": ("an old PowerPoint file (.ppt)", ".pptx"),
    "Workbook": ("an old Excel file (.xls)", ".xlsx"),
    "Book": ("an old Excel file (.xls)", ".xlsx"),
}
_OLD_ENDINGS = {
    "doc": _OLE_STREAMS["WordDocument"],
    "dot": _OLE_STREAMS["WordDocument"],
    "ppt": _OLE_STREAMS["PowerPoint Document"],
    "pps": _OLE_STREAMS["PowerPoint Document"],
    "xls": _OLE_STREAMS["Workbook"],
    "xlt": _OLE_STREAMS["Workbook"],
}
_OPEN_DOCUMENT = {
    b"opendocument.text": ".docx",
    b"opendocument.spreadsheet": ".xlsx",
    b"opendocument.presentation": ".pptx",
}
# What files that are no documents begin with.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a Linux program"),
    (b"\xcf\xfa\xed\xfe", "a macOS program"),
    (b"\xce\xfa\xed\xfe", "a macOS program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\x00asm", "a program"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"II*\x00", "an image"),
    (b"MM\x00*", "an image"),
    (b"\x1f\x8b", "a compressed archive"),
    (b"BZh", "a compressed archive"),
    (b"\xfd7zXZ", "a compressed archive"),
    (b"7z\xbc\xaf\x27\x1c", "a compressed archive"),
    (b"Rar!", "a compressed archive"),
    (b"\x28\xb5\x2f\xfd", "a compressed archive"),
    (b"ID3", "a sound recording"),
    (b"OggS", "a sound recording"),
    (b"fLaC", "a sound recording"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"SQLite format 3\x00", "a database"),
)
_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_HTML = re.compile(r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
# Controls that no text has; tab, line ends, form feed, escape and the like are not among them.
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1b\x08\x1a\x1c\x1d\x1e\x1f")
_LOOKED_AT = 64 * 1024


def sniff(name: str, head: bytes) -> Format:
    """Return what kind of document begins with `head`, its first megabyte or all of it.

    Raises UnsupportedFormat, which says what the file is and what to do.
    """
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith(_ZIP):
        return _in_zip(ending, head)
    if head.startswith(_OLE):
        _refuse_ole(ending, head)
    if head.startswith(b"{\\rtf"):
        _refuse("is a Rich Text file", "Save it as .docx or PDF and add that.")
    # A text may well begin with MZ.
    if not _CONTROLS.isdisjoint(head[:4096]):
        for start, what in _OTHERS:
            if head.startswith(start):
                _refuse_other(what)
        if head[:4] == b"RIFF" or head[4:8] == b"ftyp":
            _refuse_other("an image, a recording or a video")
    return _as_text(ending, head)


def _in_zip(ending: str, head: bytes) -> Format:
    names = [_entry_name(head, entry) for entry in _ZIP_ENTRY.finditer(head)]
    if names and names[0] == b"mimetype":
        for kind, instead in _OPEN_DOCUMENT.items():
            if kind in head[:200]:
                _refuse("is an OpenDocument file", f"Save it as {instead} or PDF and add that.")
    if any(name.endswith(b"vbaProject.bin") for name in names) or ending in {"docm", "pptm", "xlsm"}:
        instead = {"docm": ".docx", "pptm": ".pptx", "xlsm": ".xlsx"}.get(ending, ".docx, .pptx or .xlsx")
        _refuse("contains macros", f"Save it as {instead} without macros and add that.")
    if any(name == b"xl/workbook.bin" for name in names) or ending == "xlsb":
        _refuse("is a binary Excel file (.xlsb)", "Save it as .xlsx and add that.")
    for folder, office in _OFFICE.items():
        if any(name.startswith(folder) for name in names):
            return office
    claimed = _ENDINGS.get(ending)
    # Its parts may lie behind a large first one: reading will tell.
    if claimed is None or claimed not in _OFFICE.values():
        _refuse("is an archive of files", f"Unpack it and add its documents one by one: {READ}.")
    return claimed


def _entry_name(head: bytes, entry: re.Match[bytes]) -> bytes:
    length = int.from_bytes(entry[1], "little")
    return head[entry.end() : entry.end() + length]


def _refuse_ole(ending: str, head: bytes) -> NoReturn:
    found = [kind for stream, kind in _OLE_STREAMS.items() if stream.encode("utf-16-le") in head]
    kind = found[0] if found else _OLD_ENDINGS.get(ending)
    if None in found or (not found and ending in {"docx", "pptx", "xlsx"}):
        _refuse("is protected with a password", "Remove the password in its program, save it, and add it again.")
    if kind is None:
        _refuse("is an old Office file or a mail", "Save it as .docx, .pptx, .xlsx or PDF and add that.")
    what, instead = kind
    _refuse(f"is {what}", f"Save it as {instead} in a current program and add that.")


def _as_text(ending: str, head: bytes) -> Format:
    start = head[:_LOOKED_AT]
    encoding = next((encoding for mark, encoding in _BYTE_ORDER_MARKS if start.startswith(mark)), None)
    if encoding is None and b"\x00" in start:
        encoding = _unmarked_utf16(start)
        if encoding is None:
            _refuse_other("a binary file")
    if encoding is None or encoding == "utf-8-sig":
        if sum(byte in _CONTROLS for byte in start) > len(start) // 200:
            _refuse_other("a binary file")
        encoding = "latin-1"
        start = start.removeprefix(b"\xef\xbb\xbf")
    named = _ENDINGS.get(ending)
    if named == "html" or _begins_as_html(start.decode(encoding, "ignore")):
        return "html"
    # A text under a name like report.pdf is still a text.
    return named if named in {"csv", "markdown"} else "text"


def _begins_as_html(text: str) -> bool:
    """Look behind an XML declaration and comments; comment by comment, as no expression could without retracing."""
    text = text.lstrip("\ufeff \t\r\n")
    while text.startswith(("<!--", "<?")):
        end = "-->" if text.startswith("<!--") else "?>"
        text = text.partition(end)[2].lstrip()
    return _HTML.match(text) is not None


def _unmarked_utf16(start: bytes) -> str | None:
    """Tell UTF-16 without its mark from other bytes with zeros: in Latin text every other byte is one."""
    even, odd = start[::2].count(0), start[1::2].count(0)
    half = len(start) // 2
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.4 * half and odd < 0.05 * half:
        return "utf-16-be"
    return None


def _refuse_other(what: str) -> NoReturn:
    _refuse(f"is {what}, whatever its name says", f"EnableBot reads {READ}.")


def _refuse(what: str, remedy: str) -> NoReturn:
    raise UnsupportedFormat(f"This file {what}. {remedy}")
