"""Slack's markup as plain text: what a person meant to say to the bot."""

import re

# <@U1>, <@U1|ada>, <#C1|general>, <!here>, <!subteam^S1|@team>, <https://x|label>, <mailto:a@b|a@b>
_TOKEN = re.compile(r"<([@#!]?)([^<>|]*)(?:\|([^<>]*))?>")
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))


def plain_text(text: str, *, bot_user_id: str) -> str:
    """`text` without the bot's own mention, tokens written out, entities unescaped.

    NULs go and lone surrogates become U+FFFD, so that the result can be encoded and stored anywhere.
    """

    def written_out(token: re.Match[str]) -> str:
        mark, target, label = token.group(1), token.group(2), token.group(3)
        match mark:
            case "@":
                return "" if target == bot_user_id else f"@{label or target}"
            case "#":
                return f"#{label or target}"
            case "!":
                return label or f"@{target.partition('^')[0]}"
            case _:
                address = target.removeprefix("mailto:")
                return f"{label} ({address})" if label and label != address else address

    plain = _TOKEN.sub(written_out, text)
    # The ampersand last, so that `&amp;lt;` becomes `&lt;`, which is what was typed.
    for entity, character in _ENTITIES:
        plain = plain.replace(entity, character)
    return plain.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
