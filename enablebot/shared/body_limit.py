"""How much of a request is read at most."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Ends the reading of a body with a 413, at once when its Content-Length says so, else when it gets there.

    `larger` names the addresses, exactly, that may be sent more. A handler that reads no body is not concerned. It must
    lie outside of Starlette's exception handlers.
    """

    def __init__(self, app: ASGIApp, *, largest: int, larger: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._largest = largest
        self._larger = dict(larger or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        largest = self._larger.get(scope["path"], self._largest)
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        is_too_large = announced.isdigit() and (len(announced) > 18 or int(announced) > largest)
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            if is_too_large:
                raise HTTPException(413)
            message = await receive()
            received += len(message.get("body", b""))
            if received > largest:
                raise HTTPException(413)
            return message

        await self._app(scope, receive_limited, send)
