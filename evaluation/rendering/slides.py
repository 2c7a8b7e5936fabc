"""Markdown as slides: one for the title, one for each section, with notes where a line begins so."""

from collections.abc import Iterable
from io import BytesIO

from pptx import Presentation
from pptx.util import Inches

from evaluation.rendering.marked import Heading, Paragraph, blocks

_TITLE, _TITLE_AND_TEXT = 0, 1
_NOTES = "Notes: "


def as_pptx(markdown: str) -> bytes:
    """Return a .pptx; tables become tables of their slide."""
    deck = Presentation()
    slide, text = None, None
    for block in blocks(markdown):
        if isinstance(block, Heading):
            layout = _TITLE if block.level == 1 else _TITLE_AND_TEXT
            slide = deck.slides.add_slide(deck.slide_layouts[layout])
            slide.shapes.title.text = block.text
            text = slide.placeholders[1].text_frame
            continue
        if slide is None or text is None:
            raise ValueError("A deck begins with its title.")
        if isinstance(block, Paragraph):
            if block.text.startswith(_NOTES):
                slide.notes_slide.notes_text_frame.text = block.text.removeprefix(_NOTES)
            elif text.text:
                text.add_paragraph().text = block.text
            else:
                text.text = block.text
            continue
        size = (Inches(1), Inches(3), Inches(8), Inches(3))
        table = slide.shapes.add_table(len(block.rows), len(block.rows[0]), *size).table
        for row, cells in enumerate(block.rows):
            for column, cell in enumerate(cells):
                table.cell(row, column).text = cell
    buffer = BytesIO()
    deck.save(buffer)
    return buffer.getvalue()


def deck_of(slides: Iterable[tuple[str, str]]) -> bytes:
    """Return a .pptx of these slides, each a title, which may be empty, and its text."""
    deck = Presentation()
    for title, text in slides:
        slide = deck.slides.add_slide(deck.slide_layouts[_TITLE_AND_TEXT])
        slide.shapes.title.text = title
        slide.placeholders[1].text_frame.text = text.strip()
    buffer = BytesIO()
    deck.save(buffer)
    return buffer.getvalue()
