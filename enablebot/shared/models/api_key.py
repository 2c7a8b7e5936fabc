"""A key of the REST API: how it reads, what it may do, and what is kept of it."""

import re
from binascii import crc32
from hashlib import sha256
from secrets import choice
from typing import Final, Literal, get_args
from uuid import UUID

from enablebot.shared.sensitive import Sensitive

Scope = Literal["documents:read", "documents:write", "search"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 22  # 62^22 > 2^128
_SECRET_LENGTH = 32  # 190 bits
_CHECK_LENGTH = 6  # 62^6 > 2^32
_SHOWN_LENGTH = 8
_KEY = re.compile(rf"eb_([0-9A-Za-z]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH + _CHECK_LENGTH}}})")


def make_key(id_: UUID) -> Sensitive[str]:
    """Return a new key: `eb_`, its id, `_`, a secret of 190 bits and a check over all before it, in base 62."""
    body = f"eb_{_in_base62(id_.int, _ID_LENGTH)}_{''.join(choice(_DIGITS) for _ in range(_SECRET_LENGTH))}"
    return Sensitive(body + _check(body))


def reads_as_key(text: str) -> bool:
    """Say whether a text has the form and the check of a key: whatever else is refused without asking anybody."""
    if _KEY.fullmatch(text) is None:
        return False
    return text[-_CHECK_LENGTH:] == _check(text[:-_CHECK_LENGTH])


def hash_of_key(key: str) -> bytes:
    """Return what is stored of a key. Its secret is random and long, so that a plain SHA-256 gives nothing away."""
    return sha256(key.encode("ascii")).digest()


def start_of_key(id_: UUID) -> str:
    """Return how the key with this id begins: enough to tell it from others, no part of its secret."""
    return f"eb_{_in_base62(id_.int, _ID_LENGTH)[:_SHOWN_LENGTH]}"


def _check(body: str) -> str:
    return _in_base62(crc32(body.encode("ascii")), _CHECK_LENGTH)


def _in_base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
