"""Characters that do not show, and so can carry what nobody should read or split what the guard looks for. Pure."""

import re

# Zero-width, bidirectional and tag characters, variation selectors, fillers and controls: none of them shows, and
# each can carry a hidden message or split a word the guard looks for. NFKC would keep most of them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_BREAKS = re.compile("[\u2028\u2029]")


def visible(text: str) -> str:
    """The text without characters that do not show."""
    return _INVISIBLE.sub("", _BREAKS.sub("\n", text))
