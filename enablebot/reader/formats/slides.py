"""PowerPoint presentations: slide by slide, its title as heading, groups and tables opened, notes at the end."""

import io
from collections.abc import Iterable
from typing import Any

import pptx
from pptx.enum.shapes import MSO_SHAPE_TYPE
from pptx.oxml import parse_xml
from pptx.shapes.base import BaseShape

from enablebot.reader.blocks import Block, Blocks, Break, Heading, Pages, Passed, Place, Titled
from enablebot.reader.cleaning import one_line, paragraph
from enablebot.reader.packages import inspect
from enablebot.reader.tables import as_lines

_DEEPEST_GROUP = 20
_DIAGRAM = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/diagramData"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"


def prepare(content: bytes) -> None:
    """Load the library's own files before the walls stand."""
    pptx.Presentation()


def read(content: bytes) -> Blocks:
    """Blocks with their slide; no passage runs over two slides."""
    inspect(content, "pptx")
    presentation = pptx.Presentation(io.BytesIO(content))
    slides = presentation.slides
    yield Pages(len(slides))
    title = one_line(presentation.core_properties.title or "")
    if title and title.lower() not in ("powerpoint presentation", "powerpoint-präsentation", "untitled"):
        yield Titled(title)
    for number, slide in enumerate(slides, 1):
        yield from _slide(slide, {"slide": number})
        yield Break()
        if number % 20 == 0:
            yield Passed(number * 100 // len(slides))


def _slide(slide: Any, place: Place) -> Blocks:
    title = slide.shapes.title
    if title is not None and title.has_text_frame:
        yield Heading(1, title.text_frame.text, place)
    for shape in slide.shapes:
        if title is None or shape.shape_id != title.shape_id:
            yield from _shape(shape, place, 0)
    for relation in slide.part.rels.values():
        if relation.reltype == _DIAGRAM and not relation.is_external:
            yield from _diagram(relation.target_part.blob, place)
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None:
        yield from _paragraphs(frame.paragraphs, place, before="Notes: ")


def _shape(shape: BaseShape, place: Place, depth: int) -> Blocks:
    if shape.shape_type == MSO_SHAPE_TYPE.GROUP and depth < _DEEPEST_GROUP:
        for inner in shape.shapes:  # type: ignore[attr-defined]
            yield from _shape(inner, place, depth + 1)
    elif getattr(shape, "has_table", False):
        rows = [[cell.text for cell in row.cells] for row in shape.table.rows]  # type: ignore[attr-defined]
        has_header = bool(shape.table.first_row) or None  # type: ignore[attr-defined]
        for line in as_lines(rows, has_header=has_header):
            yield Block(line, place, "row")
    elif getattr(shape, "has_chart", False):
        yield from _chart(shape.chart, place)  # type: ignore[attr-defined]
    elif shape.has_text_frame:
        yield from _paragraphs(shape.text_frame.paragraphs, place)  # type: ignore[attr-defined]


def _paragraphs(paragraphs: Iterable[Any], place: Place, *, before: str = "") -> Blocks:
    for part in paragraphs:
        if text := paragraph(part.text.replace("\v", "\n")):
            yield Block(before + text, place, "item")
            before = ""


def _chart(chart: Any, place: Place) -> Blocks:
    """What a chart says in words: its title, then each series with its values by category."""
    if chart.has_title and chart.chart_title.has_text_frame and (title := one_line(chart.chart_title.text_frame.text)):
        yield Block(title, place)
    for plot in chart.plots:
        header = ["", *(one_line(str(category)) for category in plot.categories)]
        for series in plot.series:
            values = ["" if value is None else f"{value:g}" for value in series.values]
            if line := as_lines([header, [series.name or "", *values]], has_header=True):
                yield Block(line[0], place, "row")


def _diagram(part: bytes, place: Place) -> Blocks:
    for element in parse_xml(part).iter(f"{_A}p"):
        text = one_line("".join(run.text or "" for run in element.iter(f"{_A}t")))
        if text:
            yield Block(text, place, "item")
