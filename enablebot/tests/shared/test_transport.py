"""What both transports promise, and what the asyncpg one does about lost, slow and busy connections."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from enablebot.shared.database.connections import Connections
from enablebot.shared.database.embedded import EmbeddedPostgres
from enablebot.shared.database.postgres import PostgresTransport, is_transaction_pooler
from enablebot.shared.database.supabase import SupabaseTransport
from enablebot.shared.database.transport import Argument, Transport
from enablebot.shared.errors import (
    DatabaseError,
    DatabaseUnavailable,
    DataRefused,
    DuplicateKey,
    SchemaMissing,
    StaleClaim,
    WallBreached,
)
from enablebot.tests.database import PostgresServer, PostgresServers, from_sync
from enablebot.tests.postgrest import DataApi, data_api

pytestmark = pytest.mark.anyio

# Functions of every shape that ours have.
PLAYGROUND = """
create schema enablebot;
create function enablebot.echo(
  p_a bytea, p_b bytea[], p_c text[], p_d uuid[], p_e timestamptz, p_f bool[], p_g double precision[], p_h int,
  p_i bigint[], p_j text, p_k uuid
) returns jsonb language sql as $$
  select jsonb_build_object(
    'a', encode(p_a, 'hex'), 'b', (select jsonb_agg(encode(x, 'hex')) from unnest(p_b) x), 'c', p_c, 'd', p_d,
    'e', extract(epoch from p_e)::text, 'f', p_f, 'g', p_g, 'h', p_h, 'i', p_i, 'j', p_j, 'k', p_k)
$$;
create function enablebot.nothing() returns jsonb language sql as 'select null::jsonb';
create function enablebot.fail(p_code text) returns jsonb language plpgsql as $$
begin raise exception 'the words of the database' using errcode = p_code; end $$;
create function enablebot.wait(p_seconds double precision) returns jsonb language sql as $$
  select jsonb_build_object('waited', true) from pg_sleep(p_seconds) $$;
create function enablebot.backend() returns jsonb language sql as 'select to_jsonb(array[pg_backend_pid()])';
create function enablebot.prepared() returns jsonb language sql as $$
  select jsonb_agg(statement) from pg_prepared_statements where statement like '%enablebot.%' $$;
create function enablebot.schema_version(p_functions text[] default '{}') returns jsonb language sql as $$
  select jsonb_build_object('version', 0) $$;
grant usage on schema enablebot to service_role;
"""

EVERYTHING: dict[str, Argument] = {
    "p_a": bytes(range(256)),
    "p_b": [b"one", None, b"", b"\x00\xff"],
    "p_c": ["plain", None, "", '{"quoted", \\ and {braced}}', "é 😀 \u202e", "NULL"],
    "p_d": [UUID(int=0), UUID("0190a5b0-1111-7222-8333-444455556666")],
    "p_e": datetime(2026, 11, 22, 21, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    "p_f": [True, False, None],
    "p_g": [0.5, 3, 1e-300, None],
    "p_h": None,
    "p_i": [1, -(2**63), 2**63 - 1],
    "p_j": "line\nand tab\t",
    "p_k": UUID(int=7),
}


@pytest.fixture(scope="module")
def playground(postgres_servers: PostgresServers) -> Iterator[tuple[PostgresServer, str]]:
    server = postgres_servers.server(18)
    with server.empty() as name:

        async def furnish() -> None:
            connection = await asyncpg.connect(server.url(name))
            await connection.execute(PLAYGROUND)
            await connection.close()

        from_sync(furnish())
        yield server, name


@pytest.fixture
def playground_url(playground: tuple[PostgresServer, str]) -> str:
    server, name = playground
    return server.url(name)


@pytest.fixture(scope="module")
def supabase(playground: tuple[PostgresServer, str]) -> Iterator[DataApi]:
    with data_api(*playground) as api:
        yield api


@pytest.fixture
async def direct(playground_url: str) -> AsyncIterator[PostgresTransport]:
    transport = await PostgresTransport.connect(playground_url, pool_size=3)
    yield transport
    await transport.aclose()


@pytest.fixture(params=["postgres", pytest.param("supabase", marks=pytest.mark.postgrest)])
async def either(request: pytest.FixtureRequest, playground_url: str) -> AsyncIterator[Transport]:
    transport: Transport
    if request.param == "postgres":
        transport = await PostgresTransport.connect(playground_url, pool_size=3)
    else:
        api: DataApi = request.getfixturevalue("supabase")
        transport = await SupabaseTransport.connect(api.url, api.key())
    yield transport
    await transport.aclose()


class TestBoth:
    async def test_every_kind_of_argument_arrives_as_it_was_sent(self, either: Transport) -> None:
        assert await either.call("echo", EVERYTHING) == {
            "a": bytes(range(256)).hex(),
            "b": ["6f6e65", None, "", "00ff"],
            "c": EVERYTHING["p_c"],
            "d": ["00000000-0000-0000-0000-000000000000", "0190a5b0-1111-7222-8333-444455556666"],
            "e": str(datetime(2026, 11, 22, 15, 30, 0, 123456, tzinfo=UTC).timestamp()),
            "f": [True, False, None],
            "g": [0.5, 3, 1e-300, None],
            "h": None,
            "i": [1, -(2**63), 2**63 - 1],
            "j": "line\nand tab\t",
            "k": "00000000-0000-0000-0000-000000000007",
        }

    async def test_null_for_everything_arrives_as_null(self, either: Transport) -> None:
        answer = await either.call("echo", dict.fromkeys(EVERYTHING))
        assert set(answer.values()) == {None}

    async def test_a_function_that_returns_null_returns_none(self, either: Transport) -> None:
        assert await either.call("nothing", {}) is None

    async def test_ping_answers(self, either: Transport) -> None:
        await either.ping()

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("EB001", StaleClaim),
            ("23505", DuplicateKey),
            ("23514", DataRefused),
            ("22003", DataRefused),
            ("42501", WallBreached),
            ("42P01", SchemaMissing),
            ("57014", DatabaseUnavailable),
            ("40P01", DatabaseUnavailable),
            ("55P03", DatabaseUnavailable),
            ("53300", DatabaseUnavailable),
            ("P0001", DatabaseError),
        ],
    )
    async def test_an_sqlstate_means_the_same(self, either: Transport, code: str, kind: type[DatabaseError]) -> None:
        with pytest.raises(DatabaseError) as caught:
            await either.call("fail", {"p_code": code})
        assert type(caught.value) is kind
        assert caught.value.details == {"function": "fail", "sqlstate": code}
        assert "words of the database" not in caught.value.message
        assert "words of the database" in str(caught.value.__cause__)

    @pytest.mark.parametrize("value", ["a\x00b", "a\ud800b"])
    async def test_text_that_postgres_cannot_hold_is_refused(self, either: Transport, value: str) -> None:
        with pytest.raises(DataRefused):
            await either.call("fail", {"p_code": value})

    async def test_a_value_of_the_wrong_type_is_refused(self, either: Transport) -> None:
        with pytest.raises(DataRefused):
            await either.call("echo", {**EVERYTHING, "p_h": 2**40})

    @pytest.mark.parametrize(("function", "arguments"), [("absent", {}), ("fail", {"p_renamed": "x"})])
    async def test_an_unknown_function_or_argument_is_a_schema_too_old(
        self, either: Transport, function: str, arguments: dict[str, Argument]
    ) -> None:
        with pytest.raises(SchemaMissing, match="enablebot migrate"):
            await either.call(function, arguments)

    async def test_an_error_leaves_the_transport_usable(self, either: Transport) -> None:
        for _ in range(10):
            with pytest.raises(StaleClaim):
                await either.call("fail", {"p_code": "EB001"})
        assert await either.call("nothing", {}) is None

    async def test_more_calls_than_connections_all_get_their_answer(self, either: Transport) -> None:
        answers = await asyncio.gather(*(either.call("echo", {**EVERYTHING, "p_h": number}) for number in range(40)))
        assert [answer["h"] for answer in answers] == list(range(40))


class TestPostgres:
    async def test_a_wrong_address_shows_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(DatabaseUnavailable):
            await PostgresTransport.connect(f"postgresql://postgres@/postgres?host={tmp_path}")

    async def test_a_wrong_database_name_says_what_to_check(self, playground: tuple[PostgresServer, str]) -> None:
        with pytest.raises(DatabaseError, match="DATABASE_URL"):
            await PostgresTransport.connect(playground[0].url("absent"))

    async def test_a_call_that_takes_too_long_is_given_up_and_ended_on_the_server(
        self, playground_url: str, direct: PostgresTransport
    ) -> None:
        impatient = await PostgresTransport.connect(playground_url, pool_size=1, timeout_seconds=0.2)
        pid = (await impatient.call("backend", {}))[0]
        with pytest.raises(DatabaseUnavailable):
            await impatient.call("wait", {"p_seconds": 60})
        assert await impatient.call("nothing", {}) is None
        await until_gone(playground_url, pid)
        await impatient.aclose()

    async def test_a_caller_that_goes_away_ends_its_call_and_nobody_elses(
        self, playground_url: str, direct: PostgresTransport
    ) -> None:
        pid = (await direct.call("backend", {}))[0]
        waiting = asyncio.create_task(direct.call("wait", {"p_seconds": 60}))
        await until_active(playground_url, pid)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await asyncio.gather(*(direct.call("nothing", {}) for _ in range(5))) == [None] * 5
        await until_gone(playground_url, pid)

    async def test_there_are_never_more_connections_than_allowed(self, direct: PostgresTransport) -> None:
        pids = [answer[0] for answer in await asyncio.gather(*(direct.call("backend", {}) for _ in range(30)))]
        assert len(set(pids)) <= 3

    async def test_waiting_for_a_free_connection_has_an_end(self, playground_url: str) -> None:
        transport = await PostgresTransport.connect(playground_url, pool_size=1, timeout_seconds=0.3)
        outcomes = await asyncio.gather(
            *(transport.call("wait", {"p_seconds": 60}) for _ in range(3)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [DatabaseUnavailable] * 3
        await transport.aclose()

    async def test_a_function_is_prepared_once_a_connection(self, playground_url: str) -> None:
        transport = await PostgresTransport.connect(playground_url, pool_size=1)
        for _ in range(3):
            await transport.call("nothing", {})
            with pytest.raises(StaleClaim):
                await transport.call("fail", {"p_code": "EB001"})
        assert sorted(await transport.call("prepared", {})) == [
            "select enablebot.fail(p_code => $1)",
            "select enablebot.nothing()",
            "select enablebot.prepared()",
        ]
        await transport.aclose()

    async def test_behind_a_transaction_pooler_nothing_stays_prepared(self, playground_url: str) -> None:
        transport = await PostgresTransport.connect(f"{playground_url}&pgbouncer=true", pool_size=1)
        for _ in range(3):
            await transport.call("nothing", {})
        assert await transport.call("prepared", {}) in (None, ["select enablebot.prepared()"])
        await transport.aclose()

    def test_a_transaction_pooler_is_known_by_its_port_or_by_name(self) -> None:
        assert is_transaction_pooler("postgresql://u:p@aws-0-eu.pooler.supabase.com:6543/postgres")
        assert is_transaction_pooler("postgresql://u:p@host/db?pgbouncer=true&connection_limit=1")
        assert not is_transaction_pooler("postgresql://u:p@host:5432/db")
        assert not is_transaction_pooler("postgresql://u@/db?host=/tmp/x")

    async def test_closing_waits_for_calls_under_way_and_then_says_so(self, playground_url: str) -> None:
        closed: list[str] = []

        async def note() -> None:
            closed.append("closed")

        transport = await PostgresTransport.connect(playground_url, pool_size=2, on_close=note)
        pid = (await transport.call("backend", {}))[0]
        slow = asyncio.create_task(transport.call("wait", {"p_seconds": 0.3}))
        await until_active(playground_url, pid)
        await transport.aclose()
        assert await slow == {"waited": True}
        assert closed == ["closed"]
        await until_gone(playground_url, pid)

    async def test_closing_does_not_wait_for_ever(self, playground_url: str) -> None:
        transport = await PostgresTransport.connect(playground_url, pool_size=1, timeout_seconds=30)
        pid = (await transport.call("backend", {}))[0]
        stuck = asyncio.create_task(transport.call("wait", {"p_seconds": 60}))
        await until_active(playground_url, pid)
        await transport._connections.aclose(grace_seconds=0.1)
        with pytest.raises(DatabaseUnavailable):
            await stuck


async def test_a_restart_of_the_server_needs_none_of_ours(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, settings={"fsync": "off"})
    server.start()
    transport = await PostgresTransport.connect(server.url(), pool_size=4, timeout_seconds=5)
    try:
        await asyncio.gather(*(transport.ping() for _ in range(8)))
        await asyncio.to_thread(server.stop)
        with pytest.raises(DatabaseUnavailable):
            await transport.ping()
        await asyncio.to_thread(server.start)
        await asyncio.gather(*(transport.ping() for _ in range(8)))
    finally:
        await transport.aclose()
        server.stop("immediate")


async def test_a_server_killed_during_a_call_is_unavailable_and_then_back(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, settings={"fsync": "off"})
    server.start()
    transport = await PostgresTransport.connect(server.url(), pool_size=2, timeout_seconds=20)
    try:
        sleeping = asyncio.create_task(transport._fetch("sleep", "select pg_sleep(60)"))
        pid = await until_someone_sleeps(server.url())
        # One backend dying takes all others with it, and the server recovers by itself.
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(DatabaseUnavailable):
            await sleeping
        for _ in range(500):
            try:
                await transport.ping()
                break
            except DatabaseUnavailable:
                await asyncio.sleep(0.01)
        else:
            pytest.fail("the server never came back")
    finally:
        await transport.aclose()
        server.stop("immediate")


async def test_a_connection_idle_for_long_is_replaced_before_it_is_trusted(playground_url: str) -> None:
    now = 0.0

    async def connect() -> Any:
        return await asyncpg.connect(playground_url)

    connections = Connections(connect, size=2, clock=lambda: now)
    async with connections.lend() as first, connections.lend() as second:
        pids = {first.get_server_pid(), second.get_server_pid()}
    now = 299.0
    async with connections.lend() as third:
        assert third.get_server_pid() in pids
    now = 600.0
    async with connections.lend() as fourth:
        assert fourth.get_server_pid() not in pids
    await connections.aclose(grace_seconds=1)
    for pid in pids:
        await until_gone(playground_url, pid)


async def until_active(url: str, pid: int) -> None:
    await _until(url, f"select exists (select from pg_stat_activity where pid = {pid} and query like '%wait(%')")


async def until_gone(url: str, pid: int) -> None:
    await _until(url, f"select not exists (select from pg_stat_activity where pid = {pid})")


async def until_someone_sleeps(url: str) -> int:
    await _until(url, "select exists (select from pg_stat_activity where wait_event = 'PgSleep')")
    connection = await asyncpg.connect(url)
    pid: int = await connection.fetchval("select pid from pg_stat_activity where wait_event = 'PgSleep'")
    await connection.close()
    return pid


async def _until(url: str, question: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for _ in range(1000):
            if await connection.fetchval(question):
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"never came true: {question}")
    finally:
        await connection.close()
