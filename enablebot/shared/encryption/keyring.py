"""Master keys by id: the first one wraps new data keys, every one of them still unwraps."""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from os import urandom
from typing import NoReturn
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from enablebot.shared.encryption.encryption import FORMAT, KEY_BYTES, NONCE_BYTES, SealingKey
from enablebot.shared.errors import KeyMissing, SealBroken, SettingsError

# Printed in .env.example to show the form; whoever starts with it would be protected by a published key.
SAMPLE_KEY = b"EnableBot sample key: not secret"

# Shorter than any 32 bytes in base64 or hex, so that a key pasted in place of its id is never repeated to anybody.
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", re.ASCII)
_REMEDY = "Make one with `python -m enablebot keys generate`."


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key as the database holds it: sealed by the master key it names."""

    id: UUID
    master_key_id: str
    wrapped: bytes


class Keyring:
    """The master keys of ENCRYPTION_KEYS; what they wrap is bound to its tenant and its data key's id."""

    __slots__ = ("_masters", "ids", "primary_id")

    def __init__(self, masters: dict[str, bytes]) -> None:
        self.ids: tuple[str, ...] = tuple(masters)
        self.primary_id: str = self.ids[0]
        self._masters = {key_id: AESGCM(material) for key_id, material in masters.items()}

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """Read `id:base64,id:base64`. SettingsError names every unusable key by its id, never by its bytes."""
        faults: list[str] = []
        masters: dict[str, bytes] = {}
        for position, entry in enumerate(text.split(","), start=1):
            key_id, separator, encoded = entry.strip().partition(":")
            if not separator or not _KEY_ID.fullmatch(key_id):
                faults.append(
                    f"ENCRYPTION_KEYS: entry {position} has no usable id. Write it as id:base64, "
                    "the id being up to 32 letters, digits, dots, dashes or underscores."
                )
                continue
            if key_id in masters:
                faults.append(f"ENCRYPTION_KEYS: the id “{key_id}” is there twice. Give every key an id of its own.")
                continue
            material = _decode(encoded)
            faults.extend(f"ENCRYPTION_KEYS: the key “{key_id}” {fault}" for fault in _faults(material, masters))
            masters[key_id] = material or b""
        if faults:
            raise SettingsError(faults)
        return cls(masters)

    def new_data_key(self, tenant_id: UUID) -> tuple[SealingKey, WrappedKey]:
        """A fresh random data key for a workspace, and the wrapped form to store."""
        key = SealingKey(uuid4(), urandom(KEY_BYTES))
        return key, self.wrap(tenant_id, key)

    def wrap(self, tenant_id: UUID, key: SealingKey) -> WrappedKey:
        """Seal a data key under the primary master key; also how a rotation moves it there."""
        nonce = urandom(NONCE_BYTES)
        bound = _bind(tenant_id, key.id, self.primary_id)
        sealed = self._masters[self.primary_id].encrypt(nonce, key._material, bound)
        return WrappedKey(id=key.id, master_key_id=self.primary_id, wrapped=FORMAT + nonce + sealed)

    def unwrap(self, tenant_id: UUID, wrapped: WrappedKey) -> SealingKey:
        """The data key again. KeyMissing names a master key we do not hold; SealBroken says no more than that."""
        master = self._masters.get(wrapped.master_key_id)
        if master is None:
            raise KeyMissing(wrapped.master_key_id)
        blob = wrapped.wrapped
        try:
            if blob.startswith(FORMAT):
                bound = _bind(tenant_id, wrapped.id, wrapped.master_key_id)
                return SealingKey(wrapped.id, master.decrypt(blob[1 : 1 + NONCE_BYTES], blob[1 + NONCE_BYTES :], bound))
        except (InvalidTag, ValueError, OverflowError):
            pass
        raise SealBroken

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self.ids)}, ***)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A Keyring is never pickled: parse ENCRYPTION_KEYS where it is needed.")


def generate_master_key(today: date) -> str:
    """One entry for ENCRYPTION_KEYS, its id telling the day it was made."""
    return f"k{today:%Y%m%d}:{b64encode(urandom(KEY_BYTES)).decode('ascii')}"


def _decode(encoded: str) -> bytes | None:
    try:
        return b64decode(encoded.encode("ascii"), validate=True)
    except ValueError:
        return None


def _faults(material: bytes | None, others: dict[str, bytes]) -> Iterator[str]:
    if material is None:
        yield f"is not base64. {_REMEDY}"
    elif len(material) != KEY_BYTES:
        yield f"has {len(material)} bytes where {KEY_BYTES} are needed. {_REMEDY}"
    elif not any(material):
        yield f"is all zero. {_REMEDY}"
    elif material == SAMPLE_KEY:
        yield f"is the published sample key. {_REMEDY}"
    elif material in others.values():
        twin = next(key_id for key_id, other in others.items() if other == material)
        yield f"is the same key as “{twin}”. Remove one of them."


def _bind(tenant_id: UUID, key_id: UUID, master_key_id: str) -> bytes:
    return b"data key" + FORMAT + tenant_id.bytes + key_id.bytes + master_key_id.encode()
