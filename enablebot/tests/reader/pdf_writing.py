"""A small writer of PDFs: as much of the format as reading it needs to be tried on, broken on purpose where asked."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import md5

_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


@dataclass(frozen=True)
class Text:
    """One line at its place, in points from below and from the left."""

    words: str
    x: float = 72
    y: float = 720
    size: float = 11
    bold: bool = False


def column(*paragraphs: str, y: float = 720, size: float = 11, x: float = 72) -> list[Text]:
    """Lines one below the other, an empty one for a gap."""
    return [Text(words, x, y - at * size * 1.2, size) for at, words in enumerate(paragraphs) if words]


def pdf(
    *pages: Sequence[Text],
    title: str | None = None,
    outline: Sequence[tuple[str, int]] = (),
    password: str | None = None,
) -> bytes:
    """A PDF of these pages; `outline` lists headings and the pages they stand on, counted from 0."""
    document = Objects(password)
    pages_id, catalog = document.reserve(), document.reserve()
    fonts = [
        document.add(f"<</Type/Font/Subtype/Type1/BaseFont/{name}/Encoding/WinAnsiEncoding>>")
        for name in ("Helvetica", "Helvetica-Bold")
    ]
    kids = []
    for page in pages:
        content = document.add_stream(b"\n".join(_drawn(text) for text in page))
        kids.append(
            document.add(
                f"<</Type/Page/Parent {pages_id} 0 R/MediaBox[0 0 612 792]/Contents {content} 0 R"
                f"/Resources<</Font<</F1 {fonts[0]} 0 R/F2 {fonts[1]} 0 R>>>>>>"
            )
        )
    document.put(pages_id, f"<</Type/Pages/Count {len(kids)}/Kids[{' '.join(f'{kid} 0 R' for kid in kids)}]>>")
    extra = ""
    if outline:
        root = document.reserve()
        entries = [document.reserve() for _ in outline]
        for at, (heading, target) in enumerate(outline):
            beside = f"/Prev {entries[at - 1]} 0 R" if at else ""
            beside += f"/Next {entries[at + 1]} 0 R" if at + 1 < len(entries) else ""
            document.put(
                entries[at], f"<</Title({_escaped(heading)})/Parent {root} 0 R{beside}/Dest[{kids[target]} 0 R/Fit]>>"
            )
        document.put(root, f"<</First {entries[0]} 0 R/Last {entries[-1]} 0 R/Count {len(entries)}>>")
        extra = f"/Outlines {root} 0 R"
    document.put(catalog, f"<</Type/Catalog/Pages {pages_id} 0 R{extra}>>")
    info = document.add(f"<</Title({_escaped(title)})>>") if title else None
    return document.written(catalog, info=info)


class Objects:
    """Numbered objects, written with their table of places."""

    def __init__(self, password: str | None = None) -> None:
        self._bodies: list[bytes | None] = []
        self._streams: dict[int, tuple[str, bytes]] = {}
        self._password = password

    def reserve(self) -> int:
        self._bodies.append(None)
        return len(self._bodies)

    def put(self, number: int, body: str | bytes) -> None:
        self._bodies[number - 1] = body.encode("latin-1") if isinstance(body, str) else body

    def add(self, body: str | bytes) -> int:
        number = self.reserve()
        self.put(number, body)
        return number

    def add_stream(self, content: bytes, entries: str = "", *, packed: bool = True) -> int:
        """A stream, deflated once unless it comes packed in its own way."""
        number = self.reserve()
        if packed:
            content, entries = zlib.compress(content), entries + "/Filter/FlateDecode"
        self._streams[number] = (entries, content)
        return number

    def written(self, catalog: int, *, info: int | None = None) -> bytes:
        trailer = f"/Root {catalog} 0 R" + (f"/Info {info} 0 R" if info else "")
        key = b""
        if self._password is not None:
            encrypt, identity = self.reserve(), bytes(16)
            entries, key = _standard_security(self._password.encode(), identity)
            self.put(encrypt, entries)
            trailer += f"/Encrypt {encrypt} 0 R/ID[<{identity.hex()}><{identity.hex()}>]"
        out, places = bytearray(b"%PDF-1.5\n"), []
        for number, plain in enumerate(self._bodies, 1):
            body = plain
            places.append(len(out))
            if number in self._streams:
                entries_, content = self._streams[number]
                if key:
                    content = _rc4(md5(key + number.to_bytes(3, "little") + b"\0\0").digest()[: len(key) + 5], content)
                body = f"<<{entries_}/Length {len(content)}>>stream\n".encode() + content + b"\nendstream"
            out += b"%d 0 obj\n%s\nendobj\n" % (number, body or b"null")
        table = len(out)
        out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1)
        out += b"".join(b"%010d 00000 n \n" % place for place in places)
        out += f"trailer<</Size {len(places) + 1}{trailer}>>\nstartxref\n{table}\n%%EOF\n".encode()
        return bytes(out)


def _drawn(text: Text) -> bytes:
    font = "F2" if text.bold else "F1"
    return (
        f"BT/{font} {text.size} Tf 1 0 0 1 {text.x} {text.y} Tm(".encode()
        + _escaped(text.words).encode("cp1252", "replace")
        + b")Tj ET"
    )


def _escaped(words: str) -> str:
    return words.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _standard_security(password: bytes, identity: bytes) -> tuple[str, bytes]:
    """The handler of revision 2 with a 40-bit key (PDF 1.7, 7.6.3): what the oldest readers know."""
    padded = (password + _PADDING)[:32]
    owner = _rc4(md5(padded).digest()[:5], padded)
    permissions = -4
    key = md5(padded + owner + permissions.to_bytes(4, "little", signed=True) + identity).digest()[:5]
    user = _rc4(key, _PADDING)
    return f"<</Filter/Standard/V 1/R 2/O<{owner.hex()}>/U<{user.hex()}>/P {permissions}>>", key


def _rc4(key: bytes, content: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in content:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
