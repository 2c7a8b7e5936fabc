"""The gate every answer passes on its way out: no live mention, no foreign link, no image, nothing invisible. Pure.

It reads the model's Markdown as it arrives and lets go of a word only when nothing that follows can change what the
word is, so that the same text gives the same result however it was cut into pieces.
Outside code `&`, `<` and `>` are escaped as Slack asks for. Inside code they stay, except where they would open one of
Slack's own links or mentions, and addresses are taken apart there too.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from enablebot.api.answering.code import in_code
from enablebot.api.answering.invisible import visible
from enablebot.api.answering.links import (
    NOTHING,
    WORDS,
    Allowed,
    is_ending,
    kind_of,
    named,
    names_a_host,
    taken_apart,
    trimmed,
)

# How far the guard looks for the end of a link, a code span or an address before it takes them for plain text.
WINDOW = 2_000
_FENCE_WINDOW = 200
_LINE_WINDOW = 4_000

_URL = re.compile(r"[^\s<>\"`|\[\]]*")
_TICKS = re.compile(r"`{3,}")
_LANGUAGE = re.compile(r"[ \t]*[A-Za-z0-9_+#-]*[ \t]*")
_ANGLE = re.compile(r"<([A-Za-z][A-Za-z0-9+.-]{0,31}:[^\s<>|]*)(?:\|([^<>\n]*))?>")
_ANGLE_BEGUN = re.compile(r"<(?:[A-Za-z][A-Za-z0-9+.-]{0,31}(?::[^\s<>|]*(?:\|[^<>\n]*)?)?)?\Z")
_SPECIAL = re.compile(r"@(channel|here|everyone)(?!\w)", re.IGNORECASE)
_SPECIAL_BEGUN = re.compile(r"@[A-Za-z]{0,8}\Z")
_DESTINATION = re.compile(r"\(\s*<?([^\s<>]*?)>?(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)")
_BLOCK_HEAD = re.compile(r"(?:[\s>]|[-*+]\s|\d{1,9}[.)]\s)*")
_QUOTE_HEAD = re.compile(r"[\s>]*")
# The dots a browser takes for one in a host's name.
_DOTS = ".\uff0e\uff61\u3002"
_APART = frozenset("(/\"'`,;:!?.[]{}<>=|)")
_UNDECIDED = frozenset({"", ".", "@", "+", "\\", "\\.", "\\@", "\\+", ":", ":/"})
_UNFIT = frozenset("()<>|\"'`[]\\")
_CALLING = frozenset({"mailto", "tel", "sms", "slack"})


class _Taken(NamedTuple):
    end: int
    shown: str


def guarded(text: str, allowed: Allowed = NOTHING) -> str:
    """A whole text through the guard."""
    guard = Guard(allowed)
    return guard.feed(text) + guard.flush()


class Guard:
    """Guards one answer: `feed` what the model says, show what comes back, `flush` at the end."""

    def __init__(self, allowed: Allowed = NOTHING) -> None:
        self._allowed = allowed
        self._waiting = ""
        self._head: str | None = ""
        self._previous = ""
        self._shown_last = ""
        self._fence: str | None = None
        self._rules: dict[str, Callable[[int, bool], _Taken | None]] = {
            "`": self._code,
            "!": self._image,
            "[": self._link,
            "]": self._bracket,
            "<": self._angle,
            ">": self._closing_angle,
            "&": lambda at, _final: _Taken(at + 1, "&amp;"),
            "@": self._special,
            "\\": self._backslash,
            **dict.fromkeys(_DOTS, self._dot),
        }

    def feed(self, text: str) -> str:
        """What may be shown by now."""
        self._waiting += visible(text)
        return self._advance(final=False)

    def flush(self) -> str:
        """The rest; a code fence left open is closed."""
        shown = self._advance(final=True)
        if self._fence is not None:
            shown += ("" if self._head == "" else "\n") + self._fence
            self._fence = None
        self._head = ""
        return shown

    def _advance(self, *, final: bool) -> str:
        shown: list[str] = []
        at = 0
        while at < len(self._waiting):
            taken = self._next(at, final)
            if taken is None:
                break
            self._note_line(self._waiting[at : taken.end])
            # Two code spans side by side would be one with longer ticks.
            meets = self._fence is None and self._shown_last == "`" == taken.shown[:1]
            shown.append(f" {taken.shown}" if meets else taken.shown)
            self._shown_last = taken.shown[-1:] or self._shown_last
            at = taken.end
        self._waiting = self._waiting[at:]
        return "".join(shown)

    def _next(self, at: int, final: bool) -> _Taken | None:
        if self._fence is not None:
            return self._fenced_line(at, final)
        if self._head == "":
            opening = self._opening_fence(at, final)
            if opening is None or opening.end > at:
                return opening
        character = self._waiting[at]
        rule = self._rules.get(character)
        if rule is not None:
            return rule(at, final)
        if character.isalnum():
            return self._word(at, final)
        return _Taken(at + 1, character)

    def _note_line(self, source: str) -> None:
        """Keep the beginning of the current line, as long as it can still matter."""
        self._previous = source[-1:]
        newline = source.rfind("\n")
        if newline >= 0:
            self._head = ""
            source = source[newline + 1 :]
        if self._head is not None:
            self._head += source
            if len(self._head) > 64:
                self._head = None

    def _opening_fence(self, at: int, final: bool) -> _Taken | None:
        """An opening fence; a _Taken of no length where the line is none."""
        text = self._waiting
        ticks = at
        while ticks < len(text) and text[ticks] in " \t" and ticks - at < 16:
            ticks += 1
        after = _run(text, ticks, "`")
        if after == len(text) and not final:
            return None
        # Six in a row are a fence to some readers, and one that opens and closes at once to others.
        if not 3 <= after - ticks <= 5:
            return _Taken(at, "")
        newline = text.find("\n", after, after + _FENCE_WINDOW)
        if newline < 0:
            if len(text) < after + _FENCE_WINDOW and not final:
                return None
            newline = len(text) if final and len(text) < after + _FENCE_WINDOW else -1
        # Slack's own reader takes more than a language's name behind the ticks for text.
        if newline < 0 or not _LANGUAGE.fullmatch(text, after, newline):
            return _Taken(at, "")
        self._fence = text[ticks:after]
        return _Taken(newline, text[at:newline])

    def _fenced_line(self, at: int, final: bool) -> _Taken | None:
        text = self._waiting
        if text[at] == "\n":
            return _Taken(at + 1, "\n")
        newline = text.find("\n", at, at + _LINE_WINDOW)
        if newline < 0:
            if len(text) < at + _LINE_WINDOW and not final:
                return None
            newline = min(len(text), at + _LINE_WINDOW)
        line = text[at:newline]
        bare = line.strip(" \t")
        assert self._fence is not None
        if self._head == "" and set(bare) == {"`"} and len(bare) >= len(self._fence):
            self._fence = None
            return _Taken(newline, line)
        # Slack would end the code here, and read the rest as text.
        return _Taken(newline, _TICKS.sub(lambda ticks: "'" * len(ticks[0]), in_code(line, self._allowed)))

    def _code(self, at: int, final: bool) -> _Taken | None:
        """A code span, within one line. Backticks without a partner become quotes, so that no reader finds one."""
        text = self._waiting
        start = _run(text, at, "`")
        if start == len(text) and not final:
            return None
        ticks = start - at
        limit = at + WINDOW
        place = start
        while place < min(len(text), limit) and text[place] != "\n":
            if text[place] != "`":
                place += 1
                continue
            end = _run(text, place, "`")
            if end == len(text) and not final:
                return None
            if end - place == ticks:
                return _Taken(end, text[at:start] + in_code(text[start:place], self._allowed) + text[place:end])
            place = end
        if place >= len(text) and place < limit and not final:
            return None
        return _Taken(start, "'" * ticks)

    def _image(self, at: int, final: bool) -> _Taken | None:
        if at + 1 == len(self._waiting):
            return _Taken(at + 1, "!") if final else None
        if self._waiting[at + 1] != "[":
            return _Taken(at + 1, "!")
        label_end = self._label_end(at + 1, final)
        if label_end is None:
            return None
        destination_end = self._destination_end(label_end, final) if label_end >= 0 else -1
        if destination_end is None:
            return None
        if destination_end < 0:
            # `![text][label]` is an image, too, if its label is ever given a destination.
            return _Taken(at + 1, "! ")
        told = guarded(self._waiting[at + 2 : label_end - 1]).strip()
        # Never nothing: what stands on both sides must not grow together into a new word.
        apart = " " if self._previous == "]" else ""
        return _Taken(destination_end, f"{apart}(image: {told})" if told else f"{apart}(image)")

    def _link(self, at: int, final: bool) -> _Taken | None:
        text = self._waiting
        label_end = self._label_end(at, final)
        if label_end is None:
            return None
        if label_end < 0:
            return _Taken(at + 1, "[")
        if text[label_end : label_end + 1] == ":" and self._head is not None and _BLOCK_HEAD.fullmatch(self._head):
            # A definition would disappear from view and give every `[text][label]` a destination.
            return _Taken(label_end, f"[{guarded(text[at + 1 : label_end - 1])}] ")
        destination_end = self._destination_end(label_end, final)
        if destination_end is None:
            return None
        if destination_end < 0:
            return _Taken(at + 1, "[")
        inside = _DESTINATION.fullmatch(text, label_end, destination_end)
        destination = inside[1] if inside else text[label_end + 1 : destination_end - 1]
        return _Taken(destination_end, self._linked(destination, text[at + 1 : label_end - 1]))

    def _linked(self, destination: str, label: str) -> str:
        told = guarded(label).strip()
        if self._allowed.permits(destination) and not set(destination) & _UNFIT:
            return f"[{told or destination}]({destination})"
        where = named(destination)
        if not told or told == where:
            return where or "…"
        return f"{told} ({where})" if where else f"{told} (link removed)"

    def _label_end(self, at: int, final: bool) -> int | None:
        """Behind the `]` that closes the `[` at `at`, once the character after it is known; -1 where none closes it."""
        text = self._waiting
        depth = 0
        limit = at + WINDOW
        for place in range(at, min(len(text), limit)):
            character = text[place]
            if character == "\n":
                return -1
            if character == "[":
                depth += 1
            elif character == "]":
                depth -= 1
                if depth == 0:
                    return place + 1 if place + 1 < len(text) or final else None
        return -1 if final or len(text) >= limit else None

    def _destination_end(self, at: int, final: bool) -> int | None:
        """Behind the `)` of a destination that opens at `at`; -1 where there is none."""
        text = self._waiting
        if text[at : at + 1] != "(":
            return -1
        depth = 0
        limit = at + WINDOW
        for place in range(at, min(len(text), limit)):
            character = text[place]
            if character == "\n":
                return -1
            if character == "(":
                depth += 1
            elif character == ")":
                depth -= 1
                if depth == 0:
                    return place + 1
        return -1 if final or len(text) >= limit else None

    def _bracket(self, at: int, final: bool) -> _Taken | None:
        """A `]` that no link claimed: kept from meeting a `(` and becoming one."""
        if at + 1 == len(self._waiting) and not final:
            return None
        return _Taken(at + 1, "] " if self._waiting[at + 1 : at + 2] == "(" else "]")

    def _angle(self, at: int, final: bool) -> _Taken | None:
        text = self._waiting
        found = _ANGLE.match(text, at, at + WINDOW)
        if found is not None:
            destination = found[1]
            if found[2] is None and self._allowed.permits(destination):
                return _Taken(found.end(), destination)
            return _Taken(found.end(), self._linked(destination, found[2] or ""))
        if not final and len(text) < at + WINDOW and _ANGLE_BEGUN.match(text, at):
            return None
        return _Taken(at + 1, "&lt;")

    def _closing_angle(self, at: int, _final: bool) -> _Taken | None:
        quotes = self._head is not None and _QUOTE_HEAD.fullmatch(self._head)
        return _Taken(at + 1, ">" if quotes else "&gt;")

    def _special(self, at: int, final: bool) -> _Taken | None:
        text = self._waiting
        if not final and _SPECIAL_BEGUN.match(text, at):
            return None
        found = _SPECIAL.match(text, at)
        if found is not None:
            return _Taken(found.end(), f"`{found[0]}`")
        return _Taken(at + 1, "@")

    def _backslash(self, at: int, final: bool) -> _Taken | None:
        if at + 1 == len(self._waiting) and not final:
            return None
        follows = self._waiting[at + 1 : at + 2]
        if follows == "`":
            return _Taken(at + 2, "'")
        return _Taken(at + 2, "\\\\") if follows == "\\" else _Taken(at + 1, "\\")

    def _word(self, at: int, final: bool) -> _Taken | None:
        text = self._waiting
        found = WORDS.match(text, at, at + WINDOW)
        assert found is not None
        end = found.end()
        if end == at + WINDOW:
            return _Taken(end, taken_apart(found[0]) + " ")
        # Up to three more characters decide whether the word goes on, or an address begins.
        follows = text[end : end + 3]
        if follows in _UNDECIDED and not final:
            return None
        if follows == "://":
            return self._address(at, end + 3, final)
        words = found[0].rstrip("_-")
        end = at + len(words)
        if follows[:1] == ":" and words.lower() in _CALLING and follows[1:2].strip():
            return _Taken(end + 1, f"{words}: ")
        if self._previous in ("/", "@") and "@" in words and "." in words:
            return _Taken(end, taken_apart(words))
        kind = kind_of(words)
        path = follows[:1] == "/"
        port = follows[:1] == ":" and follows[1:2].isdigit()
        if (kind == "domain" and (path or port)) or (path and (kind == "name" or names_a_host(words))):
            return self._address(at, found.end(), final)
        if kind == "domain" and not self._allowed.permits_bare(words):
            return _Taken(end, taken_apart(words))
        if kind == "name":
            return _Taken(end, taken_apart(words) if "\\" in words else f"`{words}`")
        return _Taken(end, words)

    def _dot(self, at: int, final: bool) -> _Taken | None:
        """A dot no word claimed: it stands behind an emphasis or a sign, and may still be part of an address."""
        text = self._waiting
        dot = text[at]
        if not self._previous.strip() or self._previous in _APART:
            return _Taken(at + 1, dot)
        found = WORDS.match(text, at + 1, at + WINDOW)
        end = found.end() if found else at + 1
        if end == len(text) and end < at + WINDOW and not final:
            return None
        label = re.split(r"[\W_]", found[0], maxsplit=1)[0] if found else ""
        return _Taken(at + 1, f"[{dot}]" if is_ending(label) else dot)

    def _address(self, at: int, after: int, final: bool) -> _Taken | None:
        """An address that goes on behind `after`, with its scheme or without."""
        end = self._address_end(at, after, final)
        if end is None:
            return None
        address = self._waiting[at:end]
        if self._allowed.permits(address) or ("://" not in address and self._allowed.permits_bare(address)):
            return _Taken(end, address)
        # A space where the address was cut, so that its halves do not meet again.
        # Its scheme is gone: what stands before must not take the rest for its own.
        apart = " " if self._previous and self._previous in "@" + _DOTS else ""
        return _Taken(end, apart + _escaped(taken_apart(address)) + (" " if end == at + WINDOW else ""))

    def _address_end(self, at: int, after: int, final: bool) -> int | None:
        text = self._waiting
        found = _URL.match(text, after, at + WINDOW)
        assert found is not None
        if found.end() == len(text) and found.end() < at + WINDOW and not final:
            return None
        if found.end() == at + WINDOW:
            return found.end()
        return max(after, at + len(trimmed(text[at : found.end()])))


def _run(text: str, at: int, character: str) -> int:
    while at < len(text) and text[at] == character:
        at += 1
    return at


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
