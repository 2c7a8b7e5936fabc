"""What OpenAI says when it says no: one body shape, a status, a type and a code."""

from __future__ import annotations

from starlette.responses import JSONResponse


class Refusal(Exception):
    """A request turned down; `code` and `param` as OpenAI names them."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind
        self.retry_after = retry_after

    def body(self) -> dict[str, str | None]:
        """The `error` object."""
        return {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}

    def response(self) -> JSONResponse:
        """The HTTP answer that carries it."""
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        return JSONResponse({"error": self.body()}, status_code=self.status, headers=headers)


def missing_key() -> Refusal:
    return Refusal(401, "You didn't provide an API key. Send it as 'Authorization: Bearer YOUR_KEY'.")


def wrong_key(key: str) -> Refusal:
    shown = f"{key[:7]}{'*' * 8}"
    return Refusal(401, f"Incorrect API key provided: {shown}.", code="invalid_api_key")


def quota_spent() -> Refusal:
    return Refusal(
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        code="insufficient_quota",
        kind="insufficient_quota",
    )


def too_fast(retry_after: int | None = None) -> Refusal:
    return Refusal(
        429,
        "Rate limit reached for requests. Please try again later.",
        code="rate_limit_exceeded",
        kind="requests",
        retry_after=retry_after,
    )


def server_error(status: int = 500, code: str | None = None) -> Refusal:
    message = "The server had an error while processing your request. Sorry about that!"
    return Refusal(status, message, code=code, kind="server_error")


def with_status(status: int, code: str | None) -> Refusal:
    """The refusal that usually comes with an HTTP status."""
    if status == 401:
        return Refusal(401, "Incorrect API key provided.", code=code or "invalid_api_key")
    if status == 429:
        return quota_spent() if code == "insufficient_quota" else too_fast()
    if status >= 500:
        return server_error(status, code)
    return Refusal(status, f"The request was refused with status {status}.", code=code)


def bad_value(message: str, param: str, *, code: str = "invalid_value") -> Refusal:
    return Refusal(400, message, code=code, param=param)


def missing(param: str) -> Refusal:
    return bad_value(f"Missing required parameter: '{param}'.", param, code="missing_required_parameter")


def wrong_type(param: str, wanted: str) -> Refusal:
    return bad_value(f"Invalid type for '{param}': expected {wanted}.", param, code="invalid_type")


def unsupported(param: str) -> Refusal:
    message = f"Unsupported parameter: '{param}' is not supported with this model."
    return bad_value(message, param, code="unsupported_parameter")


def unknown_model(name: str) -> Refusal:
    message = f"The model '{name}' does not exist or you do not have access to it."
    return Refusal(404, message, code="model_not_found", param="model")
