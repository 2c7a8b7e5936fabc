"""What a person types becomes what Slack stores: escaped, with mentions and links, and as rich text."""

from __future__ import annotations

import re
from typing import Any

from enablebot.sandbox.manifest import APP_NAME
from enablebot.sandbox.world import World, bot_user_id

# Kept as they are, so that a test may write them out.
_TOKEN = re.compile(r"<(?:@[UW][A-Z0-9]+|#C[A-Z0-9]+|https?://[^<>\s]+)>")
_URL = re.compile(r"https?://[^\s<>]+[^\s<>.,;:!?)\]}'\"]")


def as_stored(text: str, *, world: World, team: str) -> str:
    """A person's text in Slack's own form: `&`, `<`, `>` escaped, `@Name` as `<@ID>`, links in brackets."""
    parts: list[str] = []
    at = 0
    for token in _TOKEN.finditer(text):
        parts += [_plain(text[at : token.start()], world=world, team=team), token.group()]
        at = token.end()
    return "".join([*parts, _plain(text[at:], world=world, team=team)])


def rich_text(stored: str) -> list[dict[str, Any]]:
    """The `rich_text` block Slack attaches to what a person wrote."""
    elements: list[dict[str, Any]] = []
    at = 0
    for token in _TOKEN.finditer(stored):
        elements += _text_element(stored[at : token.start()])
        inner = token.group()[1:-1]
        if inner.startswith("@"):
            elements.append({"type": "user", "user_id": inner[1:]})
        elif inner.startswith("#"):
            elements.append({"type": "channel", "channel_id": inner[1:]})
        else:
            elements.append({"type": "link", "url": inner.replace("&amp;", "&")})
        at = token.end()
    elements += _text_element(stored[at:])
    section = {"type": "rich_text_section", "elements": elements}
    return [{"type": "rich_text", "block_id": "rt", "elements": [section]}]


def _plain(text: str, *, world: World, team: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = _URL.sub(lambda found: f"<{found.group()}>", escaped)
    names = {user.real_name.lower(): user.id for user in world.users.values() if user.team == team and not user.is_bot}
    names[APP_NAME.lower()] = bot_user_id(team)
    pattern = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    mention = re.compile(rf"(?<![\w@])@({pattern})\b", re.IGNORECASE)
    return mention.sub(lambda found: f"<@{names[found.group(1).lower()]}>", escaped)


def _text_element(stored: str) -> list[dict[str, Any]]:
    if not stored:
        return []
    return [{"type": "text", "text": stored.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")}]
