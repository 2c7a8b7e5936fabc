"""CSV and its kin: delimiter and encoding found out, each row in words under the header."""

import csv
import io
from collections import Counter
from collections.abc import Iterator

from enablebot.reader.blocks import Blocks
from enablebot.reader.cleaning import one_line
from enablebot.reader.decoding import decode
from enablebot.reader.decoding import prepare as prepare
from enablebot.reader.rows import Rows

_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 50
_LONGEST_CELL = 1024 * 1024
_MOST_COLUMNS = 500


def read(content: bytes) -> Blocks:
    """Blocks with their rows, numbered as a spreadsheet shows them, whatever line breaks their cells hold."""
    text = decode(content).replace("\x00", "")
    yield from Rows({}).blocks(_rows(text))


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(_LONGEST_CELL)
    delimiter, begin = _delimiter(text)
    rows = csv.reader(io.StringIO(text[begin:], newline=""), delimiter=delimiter)
    number = 0
    while True:
        number += 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            continue  # a cell without end: what can be read goes on behind it
        yield number, [one_line(cell) for cell in row[:_MOST_COLUMNS]]


def _delimiter(text: str) -> tuple[str, int]:
    """The character that cuts most lines into the same number of parts, and where the first line begins."""
    if text[:4].lower() == "sep=" and text[4:5] in _DELIMITERS and text[5:6] in "\r\n":
        return text[4], len(text[:7]) - len(text[5:7].lstrip("\r\n")) if text[5:7] else 5
    lines = [line for line in text[: 64 * 1024].splitlines() if line.strip()][:_SAMPLE_LINES]

    def steadiness(delimiter: str) -> tuple[int, int]:
        counts = Counter(_outside_quotes(line, delimiter) for line in lines)
        counts.pop(0, None)
        count, lines_with_it = max(counts.items(), key=lambda found: (found[1], found[0]), default=(0, 0))
        return lines_with_it, count

    return max(_DELIMITERS, key=steadiness), 0


def _outside_quotes(line: str, delimiter: str) -> int:
    return sum(part.count(delimiter) for part in line.split('"')[::2])
