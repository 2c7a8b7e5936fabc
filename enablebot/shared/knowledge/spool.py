"""Where a document's bytes wait until the last has come: sealed, on disk once they are more than one piece."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import BinaryIO

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from enablebot.shared.errors import OriginalUnreachable
from enablebot.shared.models.document import PIECE_BYTES

_NONCE = 12
_TAG = 16
_SEALED = _NONCE + PIECE_BYTES + _TAG


class Spool:
    """Pieces of PIECE_BYTES in a nameless file, under a key that is never written down.

    In memory there is never more than a piece or two. `head` is the first piece, `content_hash` the SHA-256 of all.
    """

    def __init__(self) -> None:
        self._cipher = AESGCM(os.urandom(32))
        self._filling = bytearray()
        self._file: BinaryIO | None = None
        self._pieces = 0
        self._digest = sha256()
        self.size = 0
        self.head = b""

    @property
    def content_hash(self) -> bytes:
        """SHA-256 of what has come so far."""
        return self._digest.digest()

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes, however many. Raises OriginalUnreachable when they cannot be put aside."""
        self.size += len(chunk)
        for start in range(0, len(chunk), PIECE_BYTES):
            part = memoryview(chunk)[start : start + PIECE_BYTES]
            self._digest.update(part)
            self._filling += part
            # Kept until more comes: a document of one piece never touches the disk.
            if len(self._filling) > PIECE_BYTES:
                piece = bytes(self._filling[:PIECE_BYTES])
                del self._filling[:PIECE_BYTES]
                try:
                    await asyncio.to_thread(self._put, piece)
                except OSError as error:
                    raise OriginalUnreachable(
                        "There is no room for this file while it is taken in: our temporary directory is full or "
                        "missing. Try again later; whoever runs EnableBot can name another one in TMPDIR."
                    ) from error

    def finish(self) -> None:
        """Say that nothing more comes."""
        if self._pieces == 0:
            self.head = bytes(self._filling)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the pieces in their order; every one but the last is PIECE_BYTES long."""
        for number in range(self._pieces):
            yield await asyncio.to_thread(self._get, number)
        if self._filling:
            yield bytes(self._filling)

    def close(self) -> None:
        """Let the file go; it has no name, so nothing of it is left."""
        if self._file is not None:
            self._file.close()
        self._filling.clear()

    def _put(self, piece: bytes) -> None:
        if self._file is None:
            # On a platform that cannot make nameless files it goes with its closing.
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by close()
            self.head = piece
        nonce = os.urandom(_NONCE)
        self._file.seek(self._pieces * _SEALED)
        self._file.write(nonce + self._cipher.encrypt(nonce, piece, self._pieces.to_bytes(4, "big")))
        self._pieces += 1

    def _get(self, number: int) -> bytes:
        assert self._file is not None
        self._file.seek(number * _SEALED)
        sealed = self._file.read(_SEALED)
        return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], number.to_bytes(4, "big"))
