"""SD-6: whatever the OpenAPI description allows, and what it does not: no answer of 500, none that is not described.

A few dozen cases an operation here; ENABLEBOT_FAULTS=full takes 200, as security.md asks.
"""

import asyncio
import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from enablebot.api.main import create_app
from enablebot.api.rest.quotas import Quotas
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.tests.api.rest.callers import ACME, GLOBEX, TEXT, Rest
from enablebot.tests.api.rest.callers import settings as api_settings
from enablebot.tests.api.serving import Observed, served
from enablebot.tests.api.slack_side import install
from enablebot.tests.database import VERSIONS, PostgresServer, PostgresServers
from enablebot.tests.faults.scale import FULL

# Which requests must be refused, other tests say: that bytes are no document is more than a description can tell.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    ignored_auth,
    unsupported_method,
    allow_header_conformance,
]
CASES = 200 if FULL else 20


@dataclass
class Served:
    """A running api, a key of each workspace, and a document of each."""

    url: str
    key: str
    own: str
    foreign: str


class Serving(threading.Thread):
    """The api on a loop of its own, as schemathesis asks over HTTP."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._name = name
        self._is_up = threading.Event()
        self._leave: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.served: Served | None = None
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:
            self.failure = failure
        finally:
            self._is_up.set()

    def __enter__(self) -> Served:
        self.start()
        self._is_up.wait()
        if self.served is None:
            raise RuntimeError("the api did not start") from self.failure
        return self.served

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._leave is not None
        self._loop.call_soon_threadsafe(self._leave.set)
        self.join()

    async def _serve(self) -> None:
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        url = self._server.url(self._name, login="enablebot_test_api")
        observed = Observed(await PostgresTransport.connect(url))
        web = Database(await PostgresTransport.connect(self._server.url(self._name, login="enablebot_test_web")))
        admin = await asyncpg.connect(self._server.url(self._name))
        api = create_app(api_settings(), database=Database(observed))
        async with served(api) as base_url:
            tenants = {team: await install(api.services.installations, team) for team in (ACME, GLOBEX)}
            # An hour passes between two requests: this is not about how often one may ask.
            hours = itertools.count(0, 3600)
            api.web.state.desk = replace(api.web.state.desk, quotas=Quotas(clock=lambda: float(next(hours))))
            rest = Rest(api, admin, web, observed, tenants)
            ours, theirs = await rest.caller(), await rest.caller(GLOBEX)
            own, foreign = [(await caller.upload(TEXT % b"a schema")).json()["id"] for caller in (ours, theirs)]
            self.served = Served(base_url, ours.key, own, foreign)
            self._is_up.set()
            await self._leave.wait()
        await admin.close()
        await web.aclose()
        await observed.aclose()


@pytest.fixture(scope="module")
def api(postgres_servers: PostgresServers) -> Iterator[Served]:
    server = postgres_servers.server(VERSIONS[0])
    with server.migrated() as name, Serving(server, name) as served_api:
        yield served_api


@pytest.fixture(scope="module")
def schema(api: Served) -> Any:
    return schemathesis.openapi.from_url(f"{api.url}/openapi.json")


OPERATIONS = [
    ("POST", "/v1/documents"),
    ("GET", "/v1/documents"),
    ("GET", "/v1/documents/{document_id}"),
    ("DELETE", "/v1/documents/{document_id}"),
    ("POST", "/v1/documents/{document_id}/reindex"),
    ("GET", "/v1/documents/{document_id}/original"),
    ("POST", "/v1/search"),
]


def test_these_are_all_operations(schema: Any) -> None:
    found = {(result.ok().method.upper(), result.ok().path) for result in schema.get_all_operations()}
    assert found == set(OPERATIONS)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "not allowed"])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_request_meets_a_fault_or_an_answer_that_is_not_described(
    api: Served, schema: Any, method: str, path: str, mode: GenerationMode
) -> None:
    operation = schema[path][method]
    asked = 0

    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        nonlocal asked
        asked += 1
        if "document_id" in (case.path_parameters or {}) and asked % 3:
            case.path_parameters["document_id"] = api.foreign if asked % 3 == 1 and method != "GET" else api.own
        response = case.call(base_url=api.url, headers={"Authorization": f"Bearer {api.key}"})
        assert response.status_code < 500, response.text
        case.validate_response(response, checks=CHECKS)

    ask()
    assert asked >= CASES / 5
