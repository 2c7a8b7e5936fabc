"""What every test shares: asyncio as the only backend, and databases of its own (see `tests/database.py`)."""

import os
from collections.abc import AsyncIterator, Generator, Iterator
from itertools import groupby

import asyncpg
import pytest

from enablebot.shared.database.embedded import Version
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.tests.database import VERSIONS, PostgresServer, PostgresServers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests come first, and each of xdist's workers has its share of them: none is left for the end, alone."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    shares: list[list[pytest.Item]] = [[] for _ in range(workers)]
    # A module stays together: its servers are started once.
    modules = [list(module) for _, module in groupby(items, lambda item: item.nodeid.partition("::")[0])]
    long = [module for module in modules if any(_is_long(item) for item in module)]
    for module in sorted(long, key=lambda module: sum(map(_is_long, module)), reverse=True):
        min(shares, key=lambda share: sum(map(_is_long, share))).extend(module)
    short = [item for module in modules if module not in long for item in module]
    # Each begins with an equal run of the list.
    size = -(-len(items) // workers)
    for share in shares:
        wanted = max(0, size - len(share))
        share.extend(short[:wanted])
        del short[:wanted]
    items[:] = [item for share in shares for item in share] + short


def _is_long(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("fault", "slow", "browser"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Spell out what is no valid UTF-8 in captured output: xdist's workers cannot report it, and die."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_servers() -> Iterator[PostgresServers]:
    servers = PostgresServers()
    yield servers
    servers.stop()


@pytest.fixture
def postgres_version(request: pytest.FixtureRequest) -> Version:
    """The version a test runs on; `@postgres_versions` makes it run on each."""
    version: Version = getattr(request, "param", VERSIONS[0])
    return version


@pytest.fixture
def postgres_server(postgres_servers: PostgresServers, postgres_version: Version) -> PostgresServer:
    return postgres_servers.server(postgres_version)


@pytest.fixture
def database_name(postgres_server: PostgresServer) -> Iterator[str]:
    """A database of this test's own, with the current schema."""
    with postgres_server.migrated() as name:
        yield name


@pytest.fixture
def admin_url(postgres_server: PostgresServer, database_name: str) -> str:
    """The superuser's URL of this test's database."""
    return postgres_server.url(database_name)


@pytest.fixture
def api_url(postgres_server: PostgresServer, database_name: str) -> str:
    """The URL of a login that is a member of enablebot_api and nothing else."""
    return postgres_server.url(database_name, login="enablebot_test_api")


@pytest.fixture
def web_url(postgres_server: PostgresServer, database_name: str) -> str:
    """The URL of a login that is a member of enablebot_web and nothing else."""
    return postgres_server.url(database_name, login="enablebot_test_web")


@pytest.fixture
def services_url(postgres_server: PostgresServer, database_name: str) -> str:
    """The URL of a login that is a member of both and nothing else."""
    return postgres_server.url(database_name, login="enablebot_test_services")


@pytest.fixture
async def admin(admin_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A superuser's connection to this test's database, to look behind the functions."""
    connection = await asyncpg.connect(admin_url)
    yield connection
    await connection.close()


@pytest.fixture
async def transport(services_url: str) -> AsyncIterator[PostgresTransport]:
    """The bare transport, as a login that may do what both services may."""
    opened = await PostgresTransport.connect(services_url)
    yield opened
    await opened.aclose()


@pytest.fixture
def database(transport: PostgresTransport) -> Database:
    """Every operation, as a login that may do what both services may, and nothing else."""
    return Database(transport)


@pytest.fixture
async def api_database(api_url: str) -> AsyncIterator[Database]:
    """Every operation, as a login that may do what api may."""
    opened = await PostgresTransport.connect(api_url)
    yield Database(opened)
    await opened.aclose()


@pytest.fixture
async def web_database(web_url: str) -> AsyncIterator[Database]:
    """Every operation, as a login that may do what web may."""
    opened = await PostgresTransport.connect(web_url)
    yield Database(opened)
    await opened.aclose()
