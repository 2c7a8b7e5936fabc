"""What the Data API adds to the ways of failing: keys, exposure, gateways, and addresses that are no Supabase."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from enablebot.shared.database.operations import Database
from enablebot.shared.database.supabase import SupabaseTransport
from enablebot.shared.errors import DatabaseError, DatabaseUnavailable, SchemaMissing, WallBreached
from enablebot.tests.database import PostgresServer
from enablebot.tests.postgrest import SECRET_KEY, DataApi, data_api, serving

pytestmark = pytest.mark.anyio


async def outcome_of(url: str, key: str, *, timeout_seconds: float = 10) -> DatabaseError:
    transport = await SupabaseTransport.connect(url, key, timeout_seconds=timeout_seconds)
    try:
        with pytest.raises(DatabaseError) as caught:
            await transport.call("get_inbox_depth", {})
    finally:
        await transport.aclose()
    return caught.value


@pytest.mark.postgrest
class TestKeys:
    @pytest.fixture
    def api(self, postgres_server: PostgresServer, database_name: str) -> Iterator[DataApi]:
        with data_api(postgres_server, database_name) as api:
            yield api

    @pytest.mark.parametrize("form", ["legacy", "secret"])
    async def test_the_service_key_may_call_in_either_form(self, api: DataApi, form: str) -> None:
        transport = await SupabaseTransport.connect(api.url, SECRET_KEY if form == "secret" else api.key())
        await transport.ping()
        assert (await Database(transport).get_inbox_depth()).ready == 0
        await transport.aclose()

    @pytest.mark.parametrize("role", ["anon", "authenticated"])
    async def test_keys_that_browsers_hold_may_call_nothing(self, api: DataApi, role: str) -> None:
        assert type(await outcome_of(api.url, api.key(role))) is WallBreached

    async def test_a_forged_key_names_the_setting_to_check(self, api: DataApi) -> None:
        refused = await outcome_of(api.url, api.key(secret="somebody else's secret, long enough too"))
        assert type(refused) is DatabaseError
        assert "SUPABASE_SERVICE_KEY" in refused.message

    async def test_a_key_that_is_no_key_names_the_setting_to_check(self, api: DataApi) -> None:
        assert "SUPABASE_SERVICE_KEY" in (await outcome_of(api.url, "sb_secret_of_another_project")).message


@pytest.mark.postgrest
async def test_a_schema_that_is_not_exposed_says_where_to_expose_it(
    postgres_server: PostgresServer, database_name: str
) -> None:
    with data_api(postgres_server, database_name, schemas="public") as api:
        refused = await outcome_of(api.url, api.key())
    assert type(refused) is SchemaMissing
    assert "expose the schema `enablebot`" in refused.message


@pytest.mark.postgrest
async def test_a_project_without_our_schema_says_how_to_get_it(postgres_server: PostgresServer) -> None:
    with postgres_server.empty() as name, data_api(postgres_server, name, schemas="public") as api:
        refused = await outcome_of(api.url, api.key())
    assert type(refused) is SchemaMissing
    assert "migrate --bundle" in refused.message


@contextmanager
def gateway(status: int, body: bytes, *, kind: str = "application/json") -> Iterator[tuple[str, list[str]]]:
    """A gateway that gives everybody the same answer, and notes who asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            if status == 0:
                return
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Say nothing."""

    with serving(Handler) as url:
        yield url, asked


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, b'{"message":"Invalid API key","hint":"Double check it."}', DatabaseError, "SUPABASE_SERVICE_KEY"),
        (401, b"<html>no</html>", DatabaseError, "SUPABASE_SERVICE_KEY"),
        (403, b"", DatabaseError, "SUPABASE_SERVICE_KEY"),
        (502, b"<html>bad gateway</html>", DatabaseUnavailable, "try again"),
        (503, b'{"message":"name resolution failed"}', DatabaseUnavailable, "try again"),
        (503, b'{"code":"PGRST002","message":"no schema cache"}', DatabaseUnavailable, "try again"),
        (504, b'{"code":"PGRST003","message":"no connection"}', DatabaseUnavailable, "try again"),
        (521, b"down", DatabaseUnavailable, "try again"),
        (540, b'{"message":"Project paused"}', DatabaseUnavailable, "try again"),
        (429, b"slow down", DatabaseUnavailable, "try again"),
        (404, b"nothing here", DatabaseError, "SUPABASE_URL"),
        (200, b"<html>welcome to our hotel</html>", DatabaseError, "SUPABASE_URL"),
        (0, b"", DatabaseUnavailable, "try again"),
    ],
)
async def test_what_a_gateway_says_becomes_an_error_with_a_remedy(
    status: int, body: bytes, kind: type[DatabaseError], words: str
) -> None:
    with gateway(status, body) as (url, asked):
        refused = await outcome_of(url, "key")
    assert type(refused) is kind
    assert words in refused.message
    # A call may have taken effect before its answer was lost: it is never repeated from here.
    assert asked == ["/rest/v1/rpc/get_inbox_depth"]


async def test_nobody_at_the_address_is_unavailable() -> None:
    with gateway(200, b"{}") as (url, _):
        pass
    assert type(await outcome_of(url, "key")) is DatabaseUnavailable


async def test_a_gateway_that_never_answers_is_given_up() -> None:
    class Silent(BaseHTTPRequestHandler):
        def handle(self) -> None:
            self.connection.recv(65536)
            self.connection.recv(65536)

    with serving(Silent) as url:
        assert type(await outcome_of(url, "key", timeout_seconds=0.2)) is DatabaseUnavailable


def test_who_uses_a_database_url_never_loads_supabase() -> None:
    code = "import sys, enablebot.shared.database.config; sys.exit(bool({'supabase', 'httpx'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
