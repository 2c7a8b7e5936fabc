"""Excel workbooks: sheet by sheet, each row in words under its sheet's header; values as last computed, no formulas."""

import io
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any

import openpyxl

from enablebot.reader.blocks import Blocks, Break, Heading, Passed, Titled
from enablebot.reader.cleaning import one_line
from enablebot.reader.packages import inspect
from enablebot.reader.rows import Rows

_MOST_COLUMNS = 500
_MOST_ROWS = 1_048_576  # as many as Excel has
_SEEN = "visible"


def prepare(content: bytes) -> None:
    """Let the library load what it loads late, before the walls stand."""
    book = openpyxl.Workbook()
    book.create_sheet()["A1"] = datetime(2026, 1, 2, 3, 4)
    kept = io.BytesIO()
    book.save(kept)
    for sheet in openpyxl.load_workbook(kept, read_only=True, data_only=True).worksheets:
        list(sheet.iter_rows())


def read(content: bytes) -> Blocks:
    """Blocks with sheet and row; sheets that people do not see are left out."""
    inspect(content, "xlsx")
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
    if title := one_line(book.properties.title or ""):
        yield Titled(title)
    sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == _SEEN]
    for number, sheet in enumerate(sheets):
        name = one_line(sheet.title)
        yield Heading(1, name, {"sheet": name})
        # What a sheet claims to measure is a guess of its writer's, and may be made to mislead.
        sheet.reset_dimensions()
        yield from Rows({"sheet": name}).blocks(_rows(sheet))
        yield Break()
        yield Passed((number + 1) * 100 // len(sheets))


def _rows(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    for number, row in enumerate(islice(sheet.iter_rows(), _MOST_ROWS), 1):
        yield number, [_words(cell) for cell in row[:_MOST_COLUMNS]]


def _words(cell: Any) -> str:
    """A value as people see it, as far as that matters for finding it."""
    value = cell.value
    match value:
        case None:
            return ""
        case str():
            return one_line(value)
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "minutes")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case int() | float():
            if "%" in (cell.number_format or ""):
                return f"{value * 100:.10g}%"
            return f"{value:.15g}" if isinstance(value, float) else str(value)
        case _:
            return one_line(str(value))
