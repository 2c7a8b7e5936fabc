"""What must never be read in a log, and how it is taken out of a text."""

import re
from collections.abc import Iterable

MASK = "***"

# Each is linear: every repetition is bounded or stops at a character that cannot start a second match.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # Slack: bot, user, refresh, configuration and app-level tokens, also in base64 and hex.
        (r"xox[a-z](?:\.xox[a-z])?-[a-z0-9_-]+", MASK),
        (r"xapp-[a-z0-9_-]+", MASK),
        (r"\beG94[a-z0-9+/_=-]{8,}", MASK),
        (r"786f78[0-9a-f]{10,}", MASK),
        (r"(?:https?://)?hooks\.slack(?:-gov)?\.com/[^\s'\"<>]*", MASK),
        # A key of our own REST API; how it begins may be said.
        (r"\b(eb_[0-9a-z]{8})[0-9a-z]{14}_[0-9a-z]{38}", rf"\1{MASK}"),
        # OpenAI, Supabase, signed tokens.
        (r"(?<![a-z0-9])sk-[a-z0-9_-]{8,}", MASK),
        (r"\bsb_secret_[a-z0-9_-]+", MASK),
        (r"\beyJ[a-z0-9_-]{8,}\.[a-z0-9_-]+\.[a-z0-9_-]*", MASK),
        (r"\b(bearer|basic)\s+[a-z0-9._~+/=-]{6,}", rf"\1 {MASK}"),
        # 32 bytes in base64: a master key.
        (r"(?<![a-z0-9+/])[a-z0-9+/]{43}=(?![a-z0-9+/=])", MASK),
        # The password of any address, whatever the scheme.
        (r"(://[^\s:@/'\"]{0,128}):[^\s'\"]{1,256}@", rf"\1:{MASK}@"),
        (r"((?:set-)?cookie(?:['\"]?\s*[:=]|['\"]\s*,)\s*b?['\"]?)[^'\"\r\n]+", rf"\1{MASK}"),
        # name=value and "name": "value", where the name says that it is a secret.
        (
            r"((?:secret|password|passwd|token|api_?key|authorization|signature)(?:['\"]?\s*[:=]|['\"]\s*,)\s*b?['\"]?)"
            r"(?!\*\*\*|bearer \*|basic \*)[^\s'\"&,;)}\]]+",
            rf"\1{MASK}",
        ),
        (r"([?&](?:code|state)=)[^\s&'\"]+", rf"\1{MASK}"),
    )
)


class Redactor:
    """Takes out whatever looks like a secret, and the very secrets this process holds."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first, so that one secret inside another leaves no rest. Very short ones would mask plain words.
        known = sorted({secret for secret in secrets if len(secret) >= 8}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def redact(self, text: str) -> str:
        """The text with every secret replaced by ***."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text
