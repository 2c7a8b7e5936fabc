"""PDF through PDFium: each page's lines with their size and place; what they make up is `layout`'s to say."""

import ctypes
import logging
from collections.abc import Iterator
from itertools import islice

import pypdfium2 as pdfium  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium_c  # type: ignore[import-untyped]

from enablebot.reader.blocks import Blocks, Pages, Passed, Titled
from enablebot.reader.cleaning import clean, one_line
from enablebot.reader.formats.layout import Line, Outline, arrange
from enablebot.reader.unreadable import Unreadable

_MOST_PAGES = 5_000
_MOST_CHARACTERS = 24_000_000
_MOST_BOOKMARKS = 5_000
_MARGIN = 0.1  # of a page's height, above and below: where headers and footers stand
_PROGRAMS = ("microsoft word", "microsoft powerpoint", "untitled", "powerpoint presentation", "document", "slide 1")

_ENCRYPTED = "This PDF is protected with a password. Remove the password, save it, and send it again."
_DAMAGED = "This PDF is damaged or incomplete: it cannot be opened. Export it anew, and send it again."
_PAGELESS = "This PDF has no pages that can be opened. Export it anew, and send it again."
_MANY_PAGES = "This PDF has {0:,} pages, and {1:,} are the most that are read. Split it, and send its parts."
_LONG = "This PDF has more text than any document should. Split it, and send its parts."
_SCANNED = (
    "This PDF is pictures of pages: there is no text in it (it needs OCR). "
    "Run text recognition over it, and send the result."
)


def prepare(content: bytes) -> None:
    """Start PDFium before the walls stand."""
    logging.disable()
    pdfium.PdfDocument.new().close()


def read(content: bytes) -> Blocks:
    """Blocks with their pages; headings by the outline, else guessed from size and weight."""
    document = _open(content)
    count = len(document)
    if not count:
        raise Unreadable("damaged", _PAGELESS)
    if count > _MOST_PAGES:
        raise Unreadable("too_long", _MANY_PAGES.format(count, _MOST_PAGES))
    yield Pages(count)
    if title := _title(document):
        yield Titled(title)
    pages, left = list[list[Line]](), _MOST_CHARACTERS
    for number in range(count):
        lines = list(_lines(document, number))
        left -= sum(len(line.text) for line in lines)
        if left < 0:
            raise Unreadable("too_long", _LONG)
        pages.append(lines)
        if number % 50 == 49:
            yield Passed(number * 80 // count)
    if not any(pages):
        raise Unreadable("needs_ocr", _SCANNED)
    yield from arrange(pages, _outline(document))


def _open(content: bytes) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(content)
    except pdfium.PdfiumError as failure:
        if failure.err_code in (pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY):
            raise Unreadable("encrypted", _ENCRYPTED) from failure
        raise Unreadable("damaged", _DAMAGED) from failure


def _title(document: pdfium.PdfDocument) -> str | None:
    """The title in its properties, unless a program or a file name stands there."""
    title = one_line(document.get_metadata_value("Title"))
    looks_made = title.lower().startswith(_PROGRAMS) or "." in title[-5:] or "\\" in title or "_" in title
    return None if len(title) < 3 or looks_made else title


def _outline(document: pdfium.PdfDocument) -> Outline:
    """The bookmarks of each page, with their level; an outline that makes no sense counts as none."""
    outline: Outline = {}
    try:
        for bookmark in islice(document.get_toc(max_depth=6), _MOST_BOOKMARKS):
            target = bookmark.get_dest()
            page = target.get_index() if target else None
            title = one_line(bookmark.get_title())
            if page is not None and page >= 0 and title:
                outline.setdefault(page, []).append((bookmark.level + 1, title))
    except (pdfium.PdfiumError, ValueError):
        return {}
    return outline


def _lines(document: pdfium.PdfDocument, number: int) -> Iterator[Line]:
    try:
        page = document[number]
    except pdfium.PdfiumError:
        return  # one page that is broken does not make the others worthless
    try:
        text_page = page.get_textpage()
        try:
            yield from _lines_of(text_page, page.get_height())
        finally:
            text_page.close()
    except pdfium.PdfiumError:
        return
    finally:
        page.close()


def _lines_of(text_page: pdfium.PdfTextPage, height: float) -> Iterator[Line]:
    raw = text_page.raw
    box, flags, name = pdfium_c.FS_RECTF(), ctypes.c_int(), ctypes.create_string_buffer(96)
    at = 0
    for part in text_page.get_text_range().split("\r\n"):
        begin = at + len(part) - len(part.lstrip())
        at += len(part) + 2
        text = clean(_join_hyphens(part)).strip()
        if not text:
            continue
        character = pdfium_c.FPDFText_GetCharIndexFromTextIndex(raw, begin)
        pdfium_c.FPDFText_GetLooseCharBox(raw, character, box)
        length = pdfium_c.FPDFText_GetFontInfo(raw, character, name, len(name), flags)
        weight = pdfium_c.FPDFText_GetFontWeight(raw, character)
        font = name.value.lower() if 0 < length <= len(name) else b""
        is_bold = weight >= 600 or b"bold" in font or b"black" in font or b"heavy" in font
        is_marginal = not height * _MARGIN < box.bottom < height * (1 - _MARGIN)
        yield Line(text, round((box.top - box.bottom) * 2) / 2, box.bottom, is_bold, is_marginal)


def _join_hyphens(text: str) -> str:
    """PDFium joins a word that was hyphenated at a line's end, and leaves a mark where."""
    return text.replace("\ufffe\r\n", "").replace("\x02\r\n", "").replace("\ufffe", "").replace("\x02", "")
