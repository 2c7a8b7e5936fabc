"""Reading a request nobody has vouched for yet: so many bytes, so many seconds, and only by POST."""

import json

from starlette.types import Receive, Scope

from enablebot.api.deadlines import Deadlines

LARGEST_BODY = 1024 * 1024

Headers = list[tuple[bytes, bytes]]

# What is left of a refused body is not worth reading.
_CLOSE: Headers = [(b"connection", b"close")]
_NO_RETRY: Headers = [(b"x-slack-no-retry", b"1")]


class Refused(Exception):
    """The request gets this status; `verdict` is what is counted, `code` and the message what its sender reads.

    `is_final`: the same bytes would be refused again, so that Slack need not repeat them.
    """

    def __init__(
        self,
        status: int,
        verdict: str,
        code: str,
        message: str,
        *,
        headers: Headers | None = None,
        is_final: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.verdict = verdict
        self.code = code
        self.is_final = is_final
        self.headers = [*(headers or []), *(_NO_RETRY if is_final else [])]

    def body(self) -> bytes:
        """The one shape of all our errors."""
        return json.dumps({"error": {"code": self.code, "message": str(self)}}).encode()


class SenderGone(Exception):
    """Whoever sent the request hung up before it was whole."""


async def read_body(scope: Scope, receive: Receive, *, deadlines: Deadlines) -> tuple[bytes, list[bytes], list[bytes]]:
    """The raw body, and every timestamp and signature header; Refused with 405, 408 or 413, or SenderGone."""
    if scope["method"] != "POST":
        raise Refused(
            405, "malformed", "method_not_allowed", "Only POST is answered here.", headers=[(b"allow", b"POST")]
        )
    stamps: list[bytes] = []
    signatures: list[bytes] = []
    for name, value in scope["headers"]:
        if name == b"x-slack-request-timestamp":
            stamps.append(value)
        elif name == b"x-slack-signature":
            signatures.append(value)
        elif name == b"content-length" and value.isdigit() and (len(value) > 9 or int(value) > LARGEST_BODY):
            raise _too_large()
    try:
        with deadlines:
            return await _assemble(receive), stamps, signatures
    except TimeoutError as error:
        raise Refused(
            408,
            "too_slow",
            "request_timeout",
            f"The body did not arrive within {deadlines.seconds:g} s.",
            headers=_CLOSE,
        ) from error


async def _assemble(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise SenderGone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > LARGEST_BODY:
            raise _too_large()
        if not message.get("more_body", False):
            return b"".join((*chunks, chunk)) if chunks else chunk
        chunks.append(chunk)


def _too_large() -> Refused:
    return Refused(413, "too_large", "too_large", "The body is larger than 1 MiB.", headers=_CLOSE)
