"""Why a document cannot be read, in words for whoever sent it."""

from typing import Literal

Code = Literal[
    "empty",
    "too_large",
    "too_long",
    "encrypted",
    "needs_ocr",
    "no_text",
    "damaged",
    "mislabelled",
    "too_slow",
    "too_much_memory",
    "no_walls",
    "broken",
]


class Unreadable(Exception):
    """What is wrong with the file, why that hinders us, and what to do about it."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
