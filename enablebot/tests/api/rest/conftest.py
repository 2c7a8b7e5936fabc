"""One api for each module of these tests: starting one for each test would be most of the time."""

from collections.abc import AsyncIterator

import pytest

from enablebot.tests.api.rest.callers import GLOBEX, Caller, Rest, rest_of
from enablebot.tests.database import VERSIONS, PostgresServers


@pytest.fixture(scope="module")
async def rest(postgres_servers: PostgresServers) -> AsyncIterator[Rest]:
    async with rest_of(postgres_servers.server(VERSIONS[0])) as rest:
        yield rest


@pytest.fixture
async def acme(rest: Rest) -> Caller:
    return await rest.caller()


@pytest.fixture
async def globex(rest: Rest) -> Caller:
    return await rest.caller(GLOBEX)
