"""The web service over a real database and a served sandbox, and visitors in front of it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, cast

import asyncpg
import pytest
from starlette.types import ASGIApp

from enablebot.sandbox.app import Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import DatabaseUnavailable
from enablebot.tests.web.visiting import HTTPS_URL, Visitor, opened, settings_for
from enablebot.web.main import create_app

NewVisitor: TypeAlias = Callable[[], Visitor]
if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection  # subscriptable in its stubs only


@pytest.fixture(scope="session")
async def served_sandbox() -> AsyncIterator[Sandbox]:
    config = SandboxConfig(
        redirect_url=f"{HTTPS_URL}/slack/oauth_redirect", with_openai=False, rate_limits=False, time_scale=0.001
    )
    async with running(config) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(served_sandbox: Sandbox) -> Sandbox:
    """Two fresh workspaces and an empty ledger."""
    served_sandbox.reset()
    served_sandbox.config_urls(redirect_url=f"{HTTPS_URL}/slack/oauth_redirect")
    return served_sandbox


@pytest.fixture
async def web(sandbox: Sandbox, web_database: Database) -> AsyncIterator[ASGIApp]:
    """The service at an https address."""
    async with opened(create_app(settings_for(sandbox.base_url), database=web_database)) as app:
        yield app


@pytest.fixture
async def new_visitor(web: ASGIApp, sandbox: Sandbox) -> AsyncIterator[NewVisitor]:
    """Opens browsers that share nothing with each other."""
    visitors: list[Visitor] = []

    def open_one() -> Visitor:
        visitors.append(Visitor(web, sandbox, HTTPS_URL))
        return visitors[-1]

    yield open_one
    for visitor in visitors:
        await visitor.http.aclose()


@pytest.fixture
def visitor(new_visitor: NewVisitor) -> Visitor:
    return new_visitor()


class FailingDatabase:
    """Fails in every operation, with a message that nobody outside may read."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, operation: str) -> Any:
        async def fail(**_: object) -> NoReturn:
            raise self._error

        return fail


@asynccontextmanager
async def _visitor_of(sandbox: Sandbox, error: Exception) -> AsyncIterator[Visitor]:
    database = cast("Database", FailingDatabase(error))
    async with opened(create_app(settings_for(sandbox.base_url), database=database)) as app:
        visitor = Visitor(app, sandbox, HTTPS_URL)
        yield visitor
        await visitor.http.aclose()


@pytest.fixture
async def broken(sandbox: Sandbox) -> AsyncIterator[Visitor]:
    """In front of a service whose database cannot be reached."""
    async with _visitor_of(sandbox, DatabaseUnavailable("no answer from postgres://u:played-password@db")) as visitor:
        yield visitor


@pytest.fixture
async def crashing(sandbox: Sandbox) -> AsyncIterator[Visitor]:
    """In front of a service with a fault nobody foresaw."""
    async with _visitor_of(sandbox, RuntimeError("played-password")) as visitor:
        yield visitor
