"""CSV as a workbook: numbers as numbers, the header fixed in the first row."""

import csv
import re
from io import BytesIO, StringIO

from openpyxl import Workbook

_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def as_xlsx(separated: str) -> bytes:
    """Return an .xlsx of one sheet."""
    workbook = Workbook()
    sheet = workbook.active
    if sheet is None:
        raise ValueError("A new workbook has a sheet.")
    sheet.title = "List"
    for row in csv.reader(StringIO(separated)):
        sheet.append([_value(cell) for cell in row])
    sheet.freeze_panes = "A2"
    buffer = BytesIO()
    workbook.save(buffer)
    return buffer.getvalue()


def _value(cell: str) -> str | int | float:
    if not _NUMBER.fullmatch(cell):
        return cell
    return float(cell) if "." in cell else int(cell)
