"""Slack's client, loaded when the first person installs: with its HTTP library it costs 14 MB and 0.2 s."""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enablebot.shared.slack.client import SlackClients
    from enablebot.shared.slack.wire import OnCall


class SlackCalls:
    """The process's one SlackClients, opened on first use; one that is `given` is used as it is and never closed."""

    def __init__(self, *, base_url: str, on_call: "OnCall | None" = None, given: "SlackClients | None" = None) -> None:
        self._base_url = base_url
        self._on_call = on_call
        self._given = given
        self._own: SlackClients | None = None
        self._opening = asyncio.Lock()

    async def clients(self) -> "SlackClients":
        if self._given is not None:
            return self._given
        async with self._opening:
            if self._own is None:
                # In a thread: everybody else's page would wait for the import otherwise.
                module = await asyncio.to_thread(import_module, "enablebot.shared.slack.client")
                clients: SlackClients = module.SlackClients(base_url=self._base_url, on_call=self._on_call)
                await clients.open()
                self._own = clients
            return self._own

    async def aclose(self) -> None:
        if self._own is not None:
            await self._own.aclose()
            self._own = None
