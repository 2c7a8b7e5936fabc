"""Markdown as a Word document."""

from io import BytesIO

from docx import Document

from evaluation.rendering.marked import Heading, Paragraph, blocks

_STYLES = {"prose": None, "bullet": "List Bullet", "number": "List Number"}


def as_docx(markdown: str) -> bytes:
    """Return a .docx with real headings, lists and tables."""
    document = Document()
    for block in blocks(markdown):
        if isinstance(block, Heading):
            document.add_heading(block.text, level=block.level)
        elif isinstance(block, Paragraph):
            document.add_paragraph(block.text, style=_STYLES[block.kind])
        else:
            table = document.add_table(rows=len(block.rows), cols=len(block.rows[0]), style="Table Grid")
            for row, cells in zip(table.rows, block.rows, strict=True):
                for cell, text in zip(row.cells, cells, strict=True):
                    cell.text = text
    buffer = BytesIO()
    document.save(buffer)
    return buffer.getvalue()
