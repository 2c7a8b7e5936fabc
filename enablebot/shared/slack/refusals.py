"""What Slack's `ok: false` means to us: one table from its error codes to our tree.

Source: the common errors of https://docs.slack.dev/apis/web-api/ and each method's own list.
"""

import math

from enablebot.shared.errors import (
    SlackError,
    SlackRateLimited,
    SlackRefused,
    SlackTokenDead,
    SlackUnknownOutcome,
    SlackUnreachable,
)

# Slack spells it one way in a 429 and the other way in an answer with status 200.
_RATE_LIMITED = frozenset({"ratelimited", "rate_limited"})

_TOKEN_DEAD = frozenset({"account_inactive", "token_revoked", "token_expired", "invalid_auth"})

# Slack says of these that part of the operation may have succeeded before the error was raised.
_UNKNOWN_OUTCOME = frozenset(
    {"fatal_error", "internal_error", "service_unavailable", "request_timeout", "messaging_processing_failed"}
)

# Refused before anything was done, and not for long: a workspace on its way into an organisation answers now and then.
_NOT_NOW = frozenset({"team_added_to_org", "org_login_required"})

DEFAULT_RETRY_AFTER_SECONDS = 1.0
LONGEST_RETRY_AFTER_SECONDS = 3600.0


def refusal(*, method: str, slack_code: str, retry_after: str | None = None, needed: str | None = None) -> SlackError:
    """The error of our tree for `ok: false` with this code; `needed` is the scope Slack asked for, if it named one.

    A code that no table names is terminal: SlackRefused, never to be tried again.
    """
    if slack_code in _RATE_LIMITED:
        return rate_limited(method=method, retry_after=retry_after, slack_code=slack_code)
    if slack_code in _TOKEN_DEAD:
        return SlackTokenDead(
            f"Slack no longer accepts this workspace's token ({slack_code}, {method}). "
            "Add the app to the workspace again.",
            method=method,
            slack_code=slack_code,
        )
    if slack_code in _UNKNOWN_OUTCOME:
        return SlackUnknownOutcome(
            f"Slack failed inside {method} ({slack_code}); it may have taken effect.",
            method=method,
            slack_code=slack_code,
        )
    if slack_code in _NOT_NOW:
        return SlackUnreachable(
            f"Slack does not take {method} for this workspace just now ({slack_code}). Nothing was done.",
            method=method,
            slack_code=slack_code,
        )
    scope = f" It needs the scope {needed}: add the app to the workspace again to grant it." if needed else ""
    return SlackRefused(f"Slack refused {method}: {slack_code}.{scope}", method=method, slack_code=slack_code)


def rate_limited(*, method: str, retry_after: str | None, slack_code: str = "ratelimited") -> SlackRateLimited:
    """A rate limit with Slack's own waiting time, or one second where Slack named none."""
    seconds = _seconds(retry_after)
    return SlackRateLimited(
        f"Slack limits {method} for this workspace: try again in {seconds:g} s.",
        method=method,
        retry_after=seconds,
        slack_code=slack_code,
    )


def _seconds(header: str | None) -> float:
    try:
        seconds = float(header) if header is not None else DEFAULT_RETRY_AFTER_SECONDS
    except ValueError:
        return DEFAULT_RETRY_AFTER_SECONDS
    if not math.isfinite(seconds) or seconds < 0:
        return DEFAULT_RETRY_AFTER_SECONDS
    return min(seconds, LONGEST_RETRY_AFTER_SECONDS)
