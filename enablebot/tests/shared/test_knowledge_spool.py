"""Where a document's bytes wait until the last has come."""

import tempfile
from pathlib import Path
from typing import Any

import pytest

from enablebot.shared.knowledge.spool import Spool
from enablebot.shared.models.document import PIECE_BYTES
from enablebot.tests.shared.library_door import chunks

pytestmark = pytest.mark.anyio


async def test_nothing_of_it_stands_on_disk_in_the_clear_while_it_is_taken_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def named(**options: Any) -> Any:
        return (tmp_path / "spool").open("w+b", **options)

    monkeypatch.setattr(tempfile, "TemporaryFile", named)
    spool = Spool()
    content = b"canary-Zq7-Kp2" * (3 * PIECE_BYTES // 14)
    async for chunk in chunks(content, 300_000):
        await spool.write(chunk)
    spool.finish()
    held = (tmp_path / "spool").read_bytes()
    assert len(held) > 2 * PIECE_BYTES
    assert b"canary" not in held
    assert b"".join([piece async for piece in spool.pieces()]) == content
    assert spool.head == content[:PIECE_BYTES]
    spool.close()
