"""Uploads wait for a turn, so that a crowd of them costs neither memory nor other workspaces' uploads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

MOST_AT_ONCE = 16
MOST_OF_ONE_WORKSPACE = 4


class UploadTurns:
    """At most so many bodies are read at once; who waits costs a socket, whose sender is held back by TCP itself."""

    def __init__(self, *, at_once: int = MOST_AT_ONCE, of_one_workspace: int = MOST_OF_ONE_WORKSPACE) -> None:
        self._all = asyncio.Semaphore(at_once)
        self._of_one_workspace = of_one_workspace
        self._own: dict[UUID, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def turn(self, tenant_id: UUID) -> AsyncIterator[None]:
        """Wait for a place among the workspace's own uploads, then among all."""
        own, users = self._own.get(tenant_id) or (asyncio.Semaphore(self._of_one_workspace), 0)
        self._own[tenant_id] = own, users + 1
        try:
            async with own, self._all:
                yield
        finally:
            own, users = self._own[tenant_id]
            if users == 1:
                del self._own[tenant_id]
            else:
                self._own[tenant_id] = own, users - 1
