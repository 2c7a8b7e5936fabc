"""Rows of a table as lines that stand for themselves: "header: value; header: value"."""

from collections.abc import Sequence

from enablebot.reader.cleaning import one_line

_LONGEST_HEADER_CELL = 80


def looks_like_header(row: Sequence[str]) -> bool:
    """Whether a first row names its columns: short words, each once, and hardly a number among them."""
    named = [cell for cell in row if cell]
    if len(named) < 2 or len(named) * 2 < len(row):
        return False
    if any(len(cell) > _LONGEST_HEADER_CELL for cell in named):
        return False
    numbers = sum(not any(map(str.isalpha, cell)) for cell in named)
    return len({cell.casefold() for cell in named}) == len(named) and numbers * 3 <= len(named)


def as_line(header: Sequence[str], row: Sequence[str]) -> str:
    """One row in words; cells without a header stand alone, empty ones not at all."""
    cells = []
    for at, cell in enumerate(row):
        if not cell:
            continue
        name = header[at].rstrip(":") if at < len(header) else ""
        cells.append(f"{name}: {cell}" if name and name != cell else cell)
    return "; ".join(cells)


def as_lines(rows: Sequence[Sequence[str]], *, has_header: bool | None = None) -> list[str]:
    """All rows of a small table in words; without a word on it, the first row is looked at for a header."""
    cleaned = [[one_line(cell) for cell in row] for row in rows]
    cleaned = [row for row in cleaned if any(row)]
    if not cleaned:
        return []
    header = cleaned[0]
    if len(cleaned) > 1 and (has_header or (has_header is None and looks_like_header(header))):
        return [as_line(header, row) for row in cleaned[1:]]
    return [as_line((), row) for row in cleaned]
