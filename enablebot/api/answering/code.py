"""What stands in code: shown as it is, except for what Slack would read as a link or a mention even there. Pure."""

import re

from enablebot.api.answering.links import WORDS, Allowed, kind_of, names_a_host, taken_apart, trimmed

_MARKUP = re.compile(r"<(?=[!@#]|[A-Za-z][A-Za-z0-9+.-]*:|[^\s>|]*\|)")
_ADDRESS = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://[^\s<>\"`|\[\]]*|[\w-]+(?:\\?[.@+][\w-]+)+(?:(?:/|:[\d/])[^\s<>\"`|\[\]]*)?"
)


def in_code(text: str, allowed: Allowed) -> str:
    """A piece of code, whole lines or a whole span, ready to be shown."""

    def guard(found: re.Match[str]) -> str:
        address = found[0]
        if "://" in address:
            return address if allowed.permits(trimmed(address)) else taken_apart(address)
        words = WORDS.match(address)
        assert words is not None
        rest = address[words.end() :]
        if (rest and names_a_host(words[0])) or kind_of(words[0], in_code=True) == "domain":
            return address if allowed.permits_bare(trimmed(address)) else taken_apart(address)
        # What looked like a path may hold addresses of its own.
        return words[0] + _ADDRESS.sub(guard, rest)

    return _ADDRESS.sub(guard, _MARKUP.sub("&lt;", text))
