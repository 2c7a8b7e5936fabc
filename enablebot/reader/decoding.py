"""Bytes of a text file as text: by their mark, as UTF-8, or by what the letters make likely."""

import codecs
import re
from collections.abc import Sequence

from enablebot.reader.unreadable import Unreadable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What text is still written in. Anything rarer would be guessed wrong more often than right.
_GUESSED = (
    *("cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256"),
    *("cp1257", "cp1258", "cp874", "gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "cp949"),
    *("utf_16_le", "utf_16_be"),
)
_LOOKED_AT = 64 * 1024
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_BINARY = "This file is no text: it is something else under the name of one. Send it as what it is."


def prepare(content: bytes) -> None:
    """Load what guessing an encoding needs, if it will be needed; behind the walls nothing can be loaded."""
    if _plain(content) is None:
        guess = _guess(content[:_LOOKED_AT])
        codecs.lookup(guess or "cp1252")


def decode(content: bytes, *, hint: str | None = None) -> str:
    """The text; `hint` is the encoding that the document itself claims. Raises Unreadable for what is no text."""
    text = _plain(content)
    if text is None and hint is not None:
        text = _attempt(content, hint)
    if text is None:
        guess = _guess(content[:_LOOKED_AT])
        text = content.decode(guess or "cp1252", "replace")
    beginning = text[:_LOOKED_AT]
    if len(_CONTROLS.findall(beginning)) > len(beginning) // 100:
        raise Unreadable("mislabelled", _BINARY)
    return text


def _plain(content: bytes) -> str | None:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    return None if 0 in content[:_LOOKED_AT] else _attempt(content, "utf-8")


def _attempt(content: bytes, encoding: str) -> str | None:
    try:
        return content.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _guess(sample: bytes, encodings: Sequence[str] = _GUESSED) -> str | None:
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=list(encodings)).best()
    return None if best is None else best.encoding
