"""Seal and open: AES-256-GCM, every ciphertext bound to the one place it may be read from.

A sealed value is  format (1 byte, 0x01) | key id (16) | nonce (12) | ciphertext | tag (16).
The associated data is  format | key id | tenant (16) | table and column, each behind its length | row,
so a value that was moved to another tenant, table, column or row does not open.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from os import urandom
from typing import NoReturn
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from enablebot.shared.errors import SealBroken
from enablebot.shared.sensitive import Sensitive as Sensitive

FORMAT = b"\x01"
KEY_BYTES = 32
NONCE_BYTES = 12

_NONCE_AT = len(FORMAT) + 16
_BODY_AT = _NONCE_AT + NONCE_BYTES


@dataclass(frozen=True, slots=True, init=False)
class Place:
    """Where a sealed value lives: it opens there and nowhere else."""

    tenant_id: UUID
    table: str
    column: str
    row: str
    bound: bytes = field(repr=False, compare=False)

    def __init__(self, tenant_id: UUID, table: str, column: str, row: str) -> None:
        # A frozen dataclass sets its fields through object.__setattr__, which takes three times as long.
        _set_tenant_id(self, tenant_id)
        _set_table(self, table)
        _set_column(self, column)
        _set_row(self, row)
        label = _column_label(table, column)
        _set_bound(self, tenant_id.int.to_bytes(16, "big") + label + row.encode("utf-8", "surrogatepass"))


_set_tenant_id, _set_table, _set_column, _set_row, _set_bound = (
    Place.__dict__[name].__set__ for name in ("tenant_id", "table", "column", "row", "bound")
)


@lru_cache(maxsize=1024)
def _column_label(table: str, column: str) -> bytes:
    """Table and column behind their lengths, so that no two pairs of names read the same."""
    first, second = table.encode(), column.encode()
    return bytes([len(first)]) + first + bytes([len(second)]) + second


class SealingKey:
    """One workspace's data key: seals and opens values, never shows itself.

    The cipher is kept, because setting AES up again costs as much as the call.
    """

    __slots__ = ("_cipher", "_header", "_material", "id")

    def __init__(self, id: UUID, material: bytes) -> None:  # noqa: A002 - the word of the database column
        if len(material) != KEY_BYTES:
            raise ValueError(f"A data key has {KEY_BYTES} bytes.")
        self.id = id
        self._material = material
        self._header = FORMAT + id.bytes
        self._cipher = AESGCM(material)

    def seal(self, place: Place, plaintext: bytes) -> bytes:
        """Encrypt for this place, under a fresh random nonce."""
        nonce = urandom(NONCE_BYTES)
        header = self._header
        return header + nonce + self._cipher.encrypt(nonce, plaintext, header + place.bound)

    def open(self, place: Place, sealed: bytes) -> bytes:
        """Decrypt what was sealed for this place; SealBroken, with one message, for anything else."""
        try:
            if sealed.startswith(self._header):
                return self._cipher.decrypt(sealed[_NONCE_AT:_BODY_AT], sealed[_BODY_AT:], self._header + place.bound)
        except (InvalidTag, ValueError, OverflowError):
            pass
        raise SealBroken

    def __repr__(self) -> str:
        return f"SealingKey({self.id}, ***)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A SealingKey is never pickled: store it wrapped by a Keyring.")


def key_id_of(sealed: bytes) -> UUID:
    """The data key a sealed value asks for; SealBroken when it is none of ours."""
    if len(sealed) < _BODY_AT + 16 or not sealed.startswith(FORMAT):
        raise SealBroken
    return UUID(bytes=sealed[len(FORMAT) : _NONCE_AT])
