"""What the endpoints of /v1 work with, handed to them by the app."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from enablebot.api.rest.problems import NotNow
from enablebot.api.rest.quotas import Quotas
from enablebot.api.rest.turns import UploadTurns
from enablebot.shared.database.operations import Database
from enablebot.shared.installations import Installations
from enablebot.shared.knowledge.library import Library
from enablebot.shared.knowledge.search import Search


@dataclass(frozen=True, slots=True)
class Desk:
    """The open services; `on_queued` is told when a document waits to be read."""

    database: Database
    installations: Installations
    library: Library
    search: Search
    trusted_proxy: bool
    on_queued: Callable[[], object]
    quotas: Quotas = field(default_factory=Quotas)
    turns: UploadTurns = field(default_factory=UploadTurns)


def desk_of(request: Request) -> Desk:
    """Return the desk of the app that serves a request; NotNow before its start and after its end."""
    desk: Desk | None = getattr(request.app.state, "desk", None)
    if desk is None:
        raise NotNow("The service is starting or stopping. Send it again in a moment.")
    return desk


AtDesk = Annotated[Desk, Depends(desk_of)]
