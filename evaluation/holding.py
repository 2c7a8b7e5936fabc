"""Whether a passage holds a judged sentence, however its file was parsed: line ends, marks and tags do not count."""

import csv
import re
import unicodedata

_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)
_CELL_ENDS = re.compile(r"</t[dh]>\s*<t[dh][^>]*>", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_LAST_ZEROS = re.compile(r"(?<=\d)\.(\d*?)0+(?!\d)")


def words_of(text: str) -> str:
    """Return a text as its words alone, each between spaces; 412.50 and 412.5 are the same word."""
    plain = _TAG.sub(" ", unicodedata.normalize("NFKC", text))
    plain = _LAST_ZEROS.sub(lambda found: f".{found[1]}" if found[1] else "", plain)
    return f" {' '.join(_WORD.findall(plain.casefold()))} "


def cells_of(sentence: str, *, document: str) -> tuple[str, ...]:
    """Return a row's cells, empty ones left out; one cell for what is no row."""
    if sentence.startswith("|"):
        cells = sentence.strip("|").split("|")
    elif sentence.startswith("<tr"):
        cells = _CELL_ENDS.split(sentence)
    elif document.endswith((".csv", ".xlsx")):
        cells = next(csv.reader([sentence]))
    else:
        cells = [sentence]
    return tuple(words for cell in cells if (words := words_of(cell)).strip())


def holds(passage: str, sentence: str, *, document: str) -> bool:
    """Say whether a passage holds a sentence, or all cells of a row in their order within one line."""
    cells = cells_of(sentence, document=document)
    if len(cells) == 1:
        return cells[0] in words_of(passage)
    return any(_in_order(words_of(line), cells) for line in passage.splitlines())


def _in_order(line: str, cells: tuple[str, ...]) -> bool:
    begin = 0
    for cell in cells:
        found = line.find(cell, begin)
        if found < 0:
            return False
        # Neighbours share the space between them.
        begin = found + len(cell) - 1
    return True
