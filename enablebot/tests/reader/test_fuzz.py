"""Mutated files of every format (UP-8): whatever they hold, nothing but CannotRead leaves the child's door."""

import os
import random
import zipfile
from io import BytesIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enablebot.api.knowledge.child import CannotRead
from enablebot.reader.blocks import Block, Heading
from enablebot.reader.chunking import chunk
from enablebot.reader.formats import marked, plain, separated, webpage
from enablebot.reader.unreadable import Unreadable
from enablebot.shared.models.document import Format
from enablebot.tests.reader.asking import children_alive, hear
from enablebot.tests.reader.office_files import honest, packed
from enablebot.tests.reader.pdf_writing import column, pdf

FULL = os.environ.get("ENABLEBOT_FAULTS") == "full"
ROUNDS = 300 if FULL else 5
FORMATS: tuple[Format, ...] = ("pdf", "docx", "pptx", "xlsx", "csv", "html", "markdown", "text")
_SEEDS: dict[Format, bytes] = {
    "csv": b'Name;"Note"\nJo;"a ""b"""\n' * 20,
    "html": b"<html><body><h1>A</h1><table><tr><th>B<td colspan=2>c</table><ul><li>d</ul><pre>e</pre></body>" * 5,
    "markdown": b"---\ntitle: a\n---\n# B\n\n- [c](d)\n\n| e |\n|---|\n| f |\n\n```\ng\n```\n> h\n" * 5,
    "text": "Überschrift\n===========\n\n1.2 Teil\n\n- a\n- b\n".encode() * 5,
}


def seed_of(kind: Format) -> bytes:
    """A sound file to begin with."""
    if kind == "pdf":
        return pdf(column("Leave", "", "Thirty days of leave."), title="Leave", outline=[("Leave", 0)])
    return _SEEDS[kind] if kind in _SEEDS else honest(kind)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, doubled, moved or gone."""
    out = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        at, length = chance.randrange(len(out) + 1), chance.choice((1, 1, 2, 8, 64, 512))
        match chance.randrange(5):
            case 0:
                out[at : at + length] = chance.randbytes(length)
            case 1:
                del out[at : at + length]
            case 2:
                out[at:at] = out[at : at + length] * chance.choice((1, 2, 50))
            case 3:
                out[at : at + 1] = bytes([chance.choice(b"\x00\xff<>&\"'()[]{}/%\\\n0123456789")])
            case 4:
                source = chance.randrange(len(out) + 1)
                out[at : at + length] = out[source : source + length]
    return bytes(out)


def mutated_within(content: bytes, chance: random.Random) -> bytes:
    """A sound archive with one mutated part."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = chance.choice(sorted(name for name in parts if name.endswith((".xml", ".rels"))))
    return packed({**parts, name: mutated(parts[name], chance)})


@pytest.mark.fault
@pytest.mark.anyio
@pytest.mark.parametrize("kind", FORMATS)
async def test_a_mutated_file_is_read_or_refused_and_nothing_else(kind: Format) -> None:
    seed = os.environ.get("ENABLEBOT_SEED", "20261123")
    ended: dict[str, int] = {}
    for number in range(ROUNDS):
        chance = random.Random(f"{seed} {kind} {number}")
        is_packed = kind in ("docx", "pptx", "xlsx") and number % 4
        content = (mutated_within if is_packed else mutated)(seed_of(kind), chance)
        try:
            await hear(content, kind, name=f"{number}.{kind}")
            why = "read"
        except CannotRead as refused:
            why = refused.why
        ended[why] = ended.get(why, 0) + 1
    assert not children_alive()
    assert sum(ended.values()) == ROUNDS
    assert not ended.keys() & {"broken", "no_child", "no_walls"}, ended


@given(st.one_of(st.text(max_size=2000).map(str.encode), st.binary(max_size=2000)))
@example("- ﷺ\n\t1) *a\n\n|x|\n|-|\n".encode())
@settings(max_examples=1500 if FULL else 150, deadline=None)
def test_formats_of_our_own_refuse_in_words_or_read(content: bytes) -> None:
    for module in (plain, separated, webpage, marked):
        try:
            blocks = [said for said in module.read(content) if isinstance(said, Block | Heading)]
        except Unreadable:
            continue
        for passage in chunk(blocks):
            assert passage.text
            assert "\0" not in passage.text
            passage.text.encode()
