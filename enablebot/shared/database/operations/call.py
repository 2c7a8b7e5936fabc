"""What every operation stands on: one call of one SQL function through whichever transport there is."""

from typing import Any

from enablebot.shared.database.transport import Argument, Transport


class Calls:
    """A transport and the way its functions are named: argument `x` of a method is `p_x` of its function."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def ping(self) -> None:
        """Raise unless the database answers."""
        await self._transport.ping()

    async def aclose(self) -> None:
        """Close the connections underneath."""
        await self._transport.aclose()

    async def _call(self, function: str, **arguments: Argument) -> Any:
        return await self._transport.call(function, {f"p_{name}": value for name, value in arguments.items()})
