"""Slack's permissions in the words of the people who grant them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from enablebot.shared.models.installation import REQUIRED_SCOPES, missing_scopes


@dataclass(frozen=True, slots=True)
class ScopeWords:
    """`words`: what it allows. `without`: what does not work as long as it is missing."""

    name: str
    words: str
    without: str = ""


_WORDS: Mapping[str, ScopeWords] = {
    scope.name: scope
    for scope in (
        ScopeWords(
            "app_mentions:read",
            "See the messages that mention @EnableBot",
            "EnableBot does not notice when somebody mentions it.",
        ),
        ScopeWords(
            "chat:write",
            "Write answers, under its own name",
            "EnableBot cannot answer at all.",
        ),
        ScopeWords(
            "im:history",
            "Read what people write to it directly",
            "EnableBot does not receive direct messages.",
        ),
        ScopeWords(
            "assistant:write",
            "Show when it is working on an answer",
            "Direct messages do not show that an answer is on its way.",
        ),
        ScopeWords(
            "channels:history",
            "Follow its threads in public channels it was invited to",
            "In public channels, every follow-up needs a new mention.",
        ),
        ScopeWords(
            "groups:history",
            "Follow its threads in private channels it was invited to",
            "In private channels, every follow-up needs a new mention.",
        ),
        ScopeWords(
            "mpim:history",
            "Follow its threads in group messages it is part of",
            "In group messages, every follow-up needs a new mention.",
        ),
        ScopeWords(
            "channels:read",
            "Know the names of the public channels it was invited to",
            "In the dashboard, public channels have to be named by their ids.",
        ),
        ScopeWords(
            "groups:read",
            "Know the names of the private channels it was invited to",
            "In the dashboard, private channels have to be named by their ids.",
        ),
        ScopeWords(
            "files:read",
            "Read the files that people send it or share where it takes part",
            "EnableBot cannot read files that people send it in Slack.",
        ),
        ScopeWords(
            "users:read",
            "Know who is an admin or owner of the workspace",
            "EnableBot takes files for everybody only from the person who added it.",
        ),
        ScopeWords(
            "commands",
            "Offer “Add to knowledge” in the menu of messages",
            "In the menu of messages, “Add to knowledge” is missing.",
        ),
    )
}


def in_words(scope: str) -> ScopeWords:
    """A scope granted by an earlier version, or by hand, is shown by its name."""
    return _WORDS.get(scope, ScopeWords(scope, "A permission that EnableBot does not use"))


def granted_in_words(granted: Iterable[str]) -> tuple[ScopeWords, ...]:
    """What we need and have, most telling first, then whatever else was granted."""
    held = frozenset(granted)
    known = [name for name in _WORDS if name in held]
    return tuple(in_words(name) for name in (*known, *sorted(held - frozenset(_WORDS))))


def missing_in_words(granted: Iterable[str]) -> tuple[ScopeWords, ...]:
    missing = frozenset(missing_scopes(granted))
    known = [name for name in _WORDS if name in missing]
    return tuple(in_words(name) for name in (*known, *(s for s in REQUIRED_SCOPES if s in missing - frozenset(_WORDS))))
