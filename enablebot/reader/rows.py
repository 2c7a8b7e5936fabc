"""Rows of a sheet or a CSV file, one after the other: what stands above a table, its header, its rows."""

from collections.abc import Iterable

from enablebot.reader.blocks import Block, Blocks, Place
from enablebot.reader.tables import as_line, looks_like_header

# How far down a header is looked for: above it stand a title and remarks.
_HEADER_WITHIN = 20


class Rows:
    """Turns rows into blocks; an empty row ends a table, and what follows may have a header of its own."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._header: list[str] = []
        self._unused: Place | None = None
        self._looked_at = 0

    def blocks(self, rows: Iterable[tuple[int, list[str]]]) -> Blocks:
        """Blocks of numbered rows, their cells already on one line each."""
        for number, row in rows:
            place: Place = {**self._place, "rows": (number, number)}
            filled = sum(map(bool, row))
            if not filled:
                self._looked_at = 0 if not self._header else self._looked_at
            elif self._is_header(row, filled):
                yield from self._unread_header()
                self._header, self._unused = row, place
            else:
                self._unused = None
                yield Block(as_line(self._header, row), place, "row")
        yield from self._unread_header()

    def _unread_header(self) -> Blocks:
        """A header that no row followed is all that there is."""
        if self._unused is not None:
            yield Block(as_line((), self._header), self._unused, "row")

    def _is_header(self, row: list[str], filled: int) -> bool:
        if self._header or filled < 2 or self._looked_at >= _HEADER_WITHIN:
            return False
        self._looked_at += 1
        return looks_like_header(row)
