"""Every error this product raises on purpose, as one tree.

EnableBotError
├── SettingsError             500  the environment is wrong; `faults` names each one
├── BadRequest                400
├── Unauthorized              401
├── Forbidden                 403
├── NotFound                  404
├── Conflict                  409
├── TooLarge                  413
├── FileEmpty                 422
├── UnsupportedFormat         415  not a kind of document we read; the message says what to do with it
├── OverQuota                 409  the workspace keeps as many documents as it may
├── OriginalUnreachable       503  a document's bytes lie where we cannot reach them
├── DatabaseError             503
│   ├── DatabaseUnavailable   503  connection lost, timeout, starting up: try again
│   ├── SchemaMissing         503  schema or function absent or too old: migrate
│   ├── DataRefused           422  a value Postgres cannot hold, or a check it fails
│   ├── DuplicateKey          409
│   ├── StaleClaim            409  somebody else owns this event by now (SQLSTATE EB001)
│   └── WallBreached          500  permission or row-level security refused (42501)
├── SealBroken                500  one message for every cause, so that it tells an attacker nothing
├── KeyMissing                500  names the key id
├── SlackError                502
│   ├── SlackRefused               ok: false, and the same call would be refused again
│   ├── SlackRateLimited           `retry_after` in seconds
│   ├── SlackTokenDead             the workspace's token no longer works
│   ├── SlackUnreachable           never reached Slack: safe to repeat
│   └── SlackUnknownOutcome        sent, but no usable answer: it may have taken effect
└── ModelError                502  `reason`, `retry_after`, `permanent`
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

ModelReason = Literal[
    "auth",
    "quota",
    "rate_limited",
    "unavailable",
    "timeout",
    "cut",
    "refused",
    "bad_request",
    "model_missing",
    "too_long",
]

_PERMANENT_MODEL_REASONS: frozenset[ModelReason] = frozenset(
    {"auth", "quota", "refused", "bad_request", "model_missing", "too_long"}
)


class EnableBotError(Exception):
    """What happened, why, and what the reader can do; `code` and `status` are for programs."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, str] = dict(details or {})


class SettingsError(EnableBotError):
    """The environment is wrong. Every fault is named at once, with its remedy and without its value."""

    code = "settings_error"

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults: tuple[str, ...] = tuple(faults)
        listed = "".join(f"\n  - {fault}" for fault in self.faults)
        super().__init__(f"EnableBot cannot start, its settings are wrong:{listed}")


class BadRequest(EnableBotError):
    code = "bad_request"
    status = 400


class Unauthorized(EnableBotError):
    code = "unauthorized"
    status = 401


class Forbidden(EnableBotError):
    code = "forbidden"
    status = 403


class NotFound(EnableBotError):
    code = "not_found"
    status = 404


class Conflict(EnableBotError):
    code = "conflict"
    status = 409


class TooLarge(EnableBotError):
    code = "too_large"
    status = 413


class FileEmpty(EnableBotError):
    code = "file_empty"
    status = 422


class UnsupportedFormat(EnableBotError):
    code = "unsupported_format"
    status = 415


class OverQuota(EnableBotError):
    code = "over_quota"
    status = 409


class OriginalUnreachable(EnableBotError):
    code = "original_unreachable"
    status = 503


class DatabaseError(EnableBotError):
    code = "database_error"
    status = 503


class DatabaseUnavailable(DatabaseError):
    code = "database_unavailable"


class SchemaMissing(DatabaseError):
    code = "schema_missing"


class DataRefused(DatabaseError):
    code = "data_refused"
    status = 422


class DuplicateKey(DatabaseError):
    code = "duplicate_key"
    status = 409


class StaleClaim(DatabaseError):
    code = "stale_claim"
    status = 409


class WallBreached(DatabaseError):
    code = "wall_breached"
    status = 500


class SealBroken(EnableBotError):
    """A sealed value did not open. Which check failed is never said."""

    code = "seal_broken"

    def __init__(self) -> None:
        super().__init__("A sealed value could not be opened: it was changed, moved, or sealed with another key.")


class KeyMissing(EnableBotError):
    """A stored value needs a key that this process does not hold."""

    code = "key_missing"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"The key “{key_id}” is missing. Add it back to ENCRYPTION_KEYS and restart.")
        self.key_id = key_id


class SlackError(EnableBotError):
    """A call of Slack's Web API failed; `method` and Slack's own `slack_code` say where and how."""

    code = "slack_error"
    status = 502

    def __init__(self, message: str, *, method: str, slack_code: str | None = None) -> None:
        super().__init__(message)
        self.method = method
        self.slack_code = slack_code


class SlackRefused(SlackError):
    code = "slack_refused"


class SlackRateLimited(SlackError):
    code = "slack_rate_limited"

    def __init__(
        self, message: str, *, method: str, retry_after: float, slack_code: str | None = "ratelimited"
    ) -> None:
        super().__init__(message, method=method, slack_code=slack_code)
        self.retry_after = retry_after


class SlackTokenDead(SlackError):
    code = "slack_token_dead"


class SlackUnreachable(SlackError):
    code = "slack_unreachable"


class SlackUnknownOutcome(SlackError):
    code = "slack_unknown_outcome"


class ModelError(EnableBotError):
    """The language model gave no usable answer; `permanent` means that asking again would not help."""

    code = "model_error"
    status = 502

    def __init__(
        self,
        message: str,
        *,
        reason: ModelReason,
        retry_after: float | None = None,
        permanent: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.reason: ModelReason = reason
        self.retry_after = retry_after
        self.permanent = reason in _PERMANENT_MODEL_REASONS if permanent is None else permanent
