"""A handbook as a PDF, written here: as many pages as wanted, with headings, prose and, if wanted, pictures."""

import random
import zlib

_LINES, _WORDS_A_LINE = 44, 12
_SIDE = 300
_SYLLABLES = ("ka", "lo", "mi", "ter", "sen", "va", "pro", "du", "ni", "gra", "bel", "to", "ris", "men", "ol", "quin")
_SMALL = ("the", "of", "and", "to", "in", "is", "for", "on", "with", "as", "by", "at", "or", "an", "are", "not")


def handbook(*, pages: int, picture_every: int | None = None, seed: int = 5) -> bytes:
    """Write a PDF; page n holds the sentence `sentence(n)`. A picture is 270 kB of noise, which no one can compress."""
    chance = random.Random(seed)
    words = ["".join(chance.choices(_SYLLABLES, k=chance.randint(2, 4))) for _ in range(6000)]
    # Few words often and most of them seldom, as people write.
    weights = [1 / (place + 10) for place in range(len(words))]
    objects: list[bytes] = [b"", b"", _dictionary("/Type /Font /Subtype /Type1 /BaseFont /Helvetica")]
    objects.append(_dictionary("/Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold"))
    kids = []
    for page in range(1, pages + 1):
        picture = None
        if picture_every and page % picture_every == 0:
            picture = len(objects) + 1
            objects.append(
                _stream(
                    chance.randbytes(_SIDE * _SIDE * 3),
                    f"/Type /XObject /Subtype /Image /Width {_SIDE} /Height {_SIDE} "
                    "/ColorSpace /DeviceRGB /BitsPerComponent 8",
                )
            )
        lines = [_line(chance, words, weights, ends=number % 3 == 2) for number in range(_LINES)]
        lines[_LINES // 2] = sentence(page)
        objects.append(_stream(_page(f"Chapter {page // 10 + 1}, section {page}", lines, picture), ""))
        xobjects = f"/XObject << /P {picture} 0 R >>" if picture else ""
        objects.append(
            _dictionary(
                f"/Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {len(objects)} 0 R "
                f"/Resources << /Font << /F 3 0 R /B 4 0 R >> {xobjects} >>"
            )
        )
        kids.append(f"{len(objects)} 0 R")
    objects[0] = _dictionary("/Type /Catalog /Pages 2 0 R")
    objects[1] = _dictionary(f"/Type /Pages /Count {pages} /Kids [{' '.join(kids)}]")
    return _file(objects)


def sentence(page: int) -> str:
    """What stands on this page and on no other."""
    return f"The responsible desk for matter M-{page:04d} is room {page * 7 % 900 + 100}."


def _line(chance: random.Random, words: list[str], weights: list[float], *, ends: bool) -> str:
    said = [
        chance.choice(_SMALL) if chance.random() < 0.4 else chance.choices(words, weights)[0]
        for _ in range(_WORDS_A_LINE)
    ]
    return " ".join(said) + "." if ends else " ".join(said).capitalize()


def _page(heading: str, lines: list[str], picture: int | None) -> bytes:
    drawn = [f"BT /B 16 Tf 60 790 Td ({heading}) Tj ET", "BT /F 9 Tf 60 760 Td 15 TL"]
    drawn += [f"({line}) Tj T*" for line in lines]
    drawn.append("ET")
    if picture:
        drawn.append("q 60 0 0 60 480 780 cm /P Do Q")
    return "\n".join(drawn).encode()


def _dictionary(inside: str) -> bytes:
    return f"<< {inside} >>".encode()


def _stream(content: bytes, entries: str) -> bytes:
    packed = zlib.compress(content)
    return f"<< {entries} /Length {len(packed)} /Filter /FlateDecode >>\nstream\n".encode() + packed + b"\nendstream"


def _file(objects: list[bytes]) -> bytes:
    written = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(written))
        written += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = len(written)
    written += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    for place in places:
        written += f"{place:010d} 00000 n \n".encode()
    written += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n".encode()
    return bytes(written)
