"""Every way a call of the model can fail, as one of our reasons."""

from typing import Any

from enablebot.shared.errors import ModelError, ModelReason

_BY_CODE: dict[str, ModelReason] = {
    "insufficient_quota": "quota",
    "billing_hard_limit_reached": "quota",
    "rate_limit_exceeded": "rate_limited",
    "context_length_exceeded": "too_long",
    "string_above_max_length": "too_long",
    "content_filter": "refused",
    "content_policy_violation": "refused",
    "invalid_prompt": "refused",
    "model_not_found": "model_missing",
    "invalid_api_key": "auth",
}
_BY_STATUS: dict[int, ModelReason] = {
    400: "bad_request",
    401: "auth",
    403: "auth",
    404: "model_missing",
    408: "timeout",
    409: "unavailable",
    413: "too_long",
    422: "bad_request",
    429: "rate_limited",
}
_LONGEST_RETRY_AFTER = 3600.0


def failure_of(error: Exception, *, begun: bool) -> ModelError:
    """The ModelError for whatever a call raised; `begun` when the answer had already started to arrive."""
    from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

    if isinstance(error, APITimeoutError):
        return ModelError("The model took too long.", reason="timeout")
    if isinstance(error, APIStatusError):
        reason = _BY_CODE.get(error.code or "") or _BY_STATUS.get(error.status_code, "unavailable")
        return ModelError(
            f"The model's server answered {error.status_code} ({error.code or 'no code'}).",
            reason=reason,
            retry_after=_retry_after(error.response.headers),
        )
    if isinstance(error, APIError) and not isinstance(error, APIConnectionError):
        return failure_reported(error.code)
    # Connections that never came about, broke, or carried something that is no JSON.
    return ModelError(
        f"The model's server was not reached or not understood ({type(error).__name__}).",
        reason="cut" if begun else "unavailable",
    )


def failure_reported(code: str | None) -> ModelError:
    """The ModelError for a failure reported in the middle of a stream."""
    return ModelError(
        f"The model reported a failure ({code or 'no code'}).", reason=_BY_CODE.get(code or "", "unavailable")
    )


def _retry_after(headers: Any) -> float | None:
    try:
        seconds = float(headers.get("retry-after", ""))
    except (TypeError, ValueError):
        return None
    return min(seconds, _LONGEST_RETRY_AFTER) if seconds >= 0 else None
