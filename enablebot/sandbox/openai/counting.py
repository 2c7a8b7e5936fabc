"""Plausible token counts: what a tokeniser would say, give or take a fifth."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PIECE = re.compile(r"[^\W\d_]{1,7}|\d{1,3}|[^\w\s]|_|\n+")
_WORD = re.compile(r"\s*\S+|\s+$")


def tokens(text: str) -> int:
    """How many tokens `text` costs, about."""
    return sum(1 for _ in _PIECE.finditer(text))


def pieces(text: str) -> Iterator[str]:
    """The text in the portions a stream brings: a word each, joined again they are the text."""
    return (match.group() for match in _WORD.finditer(text))


def cut_to(text: str, limit: int) -> tuple[str, bool]:
    """The longest run of whole words within `limit` tokens, and whether something was left out."""
    kept: list[str] = []
    spent = 0
    for piece in pieces(text):
        spent += tokens(piece)
        if spent > limit:
            return "".join(kept), True
        kept.append(piece)
    return text, False
