"""Office files are zip archives of XML: looked at as such before a library unpacks them."""

import io
import re
import zipfile
import zlib

from enablebot.reader.unreadable import Unreadable

_MOST_MEMBERS = 5_000
_MOST_UNPACKED = 200 * 1024 * 1024
_LARGEST_XML = 96 * 1024 * 1024
# What is repeated this often was packed to be unpacked; small files repeat themselves honestly.
_HIGHEST_RATIO, _RATIO_FROM = 100, 4 * 1024 * 1024

_DECLARATION = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)")
_DTD = tuple("<!DOCTYPE".encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be"))

_KINDS = {"docx": "Word document (.docx)", "pptx": "PowerPoint presentation (.pptx)", "xlsx": "Excel workbook (.xlsx)"}
_MAIN_PARTS = {"docx": "word/", "pptx": "ppt/", "xlsx": "xl/"}
_DAMAGED = "This file is damaged or incomplete: it cannot be unpacked as a {0}. Save it anew, and send it again."
_OTHER = "This file is no {0}, whatever its name says. Save it as one, and send it again."
_BOMB = (
    "This file unpacks to far more than any document should hold, as files made to do harm do. "
    "If it is yours, save its content in several smaller files."
)
_ENTITIES = (
    "This file contains XML that no Office program writes (a DTD). Save it anew in its program, and send it again."
)
_ENCRYPTED = "This file is protected with a password. Remove the password, save it, and send it again."


def inspect(content: bytes, kind: str) -> None:
    """Raise Unreadable for an archive that is none of this kind, lies about its size, or holds XML with a DTD.

    Sizes are those the archive claims: zipfile reads no more of a member than that, and then misses its checksum.
    """
    words = _KINDS[kind]
    if content.startswith(b"\xd0\xcf\x11\xe0") and "EncryptedPackage".encode("utf-16-le") in content:
        raise Unreadable("encrypted", _ENCRYPTED)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _inspect(archive, kind)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError) as failure:
        raise Unreadable("damaged", _DAMAGED.format(words)) from failure
    except RuntimeError as failure:  # how zipfile asks for a password
        raise Unreadable("encrypted", _ENCRYPTED) from failure


def _inspect(archive: zipfile.ZipFile, kind: str) -> None:
    members = archive.infolist()
    if len(members) > _MOST_MEMBERS:
        raise Unreadable("too_long", _BOMB)
    unpacked = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if unpacked > _MOST_UNPACKED or (unpacked > _RATIO_FROM and unpacked > packed * _HIGHEST_RATIO):
        raise Unreadable("too_long", _BOMB)
    if not any(member.filename.startswith(_MAIN_PARTS[kind]) for member in members):
        raise Unreadable("mislabelled", _OTHER.format(_KINDS[kind]))
    for member in members:
        if member.filename.endswith((".xml", ".rels", ".vml")):
            if member.file_size > _LARGEST_XML:
                raise Unreadable("too_long", _BOMB)
            _inspect_xml(archive.read(member))


def _inspect_xml(part: bytes) -> None:
    """Entities are what XML attacks are made of, and need a DTD; an odd encoding could hide one from this look."""
    declared = _DECLARATION.match(part[:300].lstrip(b"\xef\xbb\xbf\r\n\t "))
    is_odd = declared is not None and declared[1].lower() not in (b"utf-8", b"utf-16", b"us-ascii", b"ascii")
    if is_odd or any(mark in part for mark in _DTD):
        raise Unreadable("damaged", _ENTITIES)
