"""Text as it may be stored and shown: nothing unstorable, nothing invisible."""

import re
import unicodedata

# NUL and lone surrogates cannot be stored; other controls, zero-width and direction marks and Unicode's tag characters
# only hide things. Joiners (U+200C, U+200D) stay: Persian, Indic scripts and emoji are spelled with them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffc\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})
_BLANKS = re.compile(r"[^\S\n]+")
_LINE_ENDS = re.compile("\r\n?|[\x85\u2028\u2029]")


def clean(text: str) -> str:
    """Drop what nobody sees, put ligatures and accents together, line ends as \\n; spaces stay as they are."""
    if text.isascii() and text.isprintable():
        return text
    text = _UNSEEN.sub("", _LINE_ENDS.sub("\n", text))
    return unicodedata.normalize("NFC", text).translate(_LIGATURES)


def one_line(text: str) -> str:
    """Clean, and all on one line: for headings, cells and titles."""
    return " ".join(clean(text).split())


def paragraph(text: str) -> str:
    """Clean, with single spaces, its own line breaks kept, and no blank lines."""
    lines = (_BLANKS.sub(" ", line).strip() for line in clean(text).split("\n"))
    return "\n".join(filter(None, lines))
