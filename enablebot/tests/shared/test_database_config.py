"""Where the database is, and what start-up asks of it before it is used."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from enablebot.config.settings import DatabaseSettings
from enablebot.shared.database.config import Role, admin_url, open_database, prepare_embedded
from enablebot.shared.database.embedded import EmbeddedPostgres
from enablebot.shared.errors import DatabaseError, DatabaseUnavailable, WallBreached
from enablebot.tests.database import PostgresServer
from enablebot.tests.postgrest import data_api

pytestmark = pytest.mark.anyio

ROLES: tuple[Role, ...] = ("api", "web")


def at(url: str, *, admin: str | None = None) -> DatabaseSettings:
    return DatabaseSettings(url=SecretStr(url), admin_url=None if admin is None else SecretStr(admin))


async def test_database_url_comes_first(api_url: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = at(api_url).model_copy(
        update={"supabase_url": "https://nowhere.invalid", "supabase_service_key": SecretStr("unused")}
    )
    database = await open_database(settings, role="api")
    assert (await database.login_strength()).login == "enablebot_test_api"
    await database.aclose()
    assert caplog.records == []


async def test_the_strength_of_the_login_is_told_for_the_metrics(api_url: str, admin_url: str) -> None:
    told: list[bool] = []
    for url in (api_url, admin_url):
        await (await open_database(at(url), role="api", on_login=told.append)).aclose()
    assert told == [False, True]


@pytest.mark.postgrest
async def test_supabase_comes_second(postgres_server: PostgresServer, database_name: str) -> None:
    with data_api(postgres_server, database_name) as api:
        settings = DatabaseSettings(supabase_url=api.url, supabase_service_key=SecretStr(api.key()))
        database = await open_database(settings, role="web")
        assert (await database.schema_version()).version > 0
        await database.aclose()


async def test_with_no_address_a_postgres_of_our_own_is_started_migrated_and_stopped(tmp_path: Path) -> None:
    settings = DatabaseSettings(data_dir=tmp_path)
    opened = await asyncio.gather(*(open_database(settings, role=role) for role in ROLES))
    for role, database in zip(ROLES, opened, strict=True):
        found = await database.login_strength()
        assert (found.superuser, found.member_of, found.faults) == (False, (f"enablebot_{role}",), ())
    server = EmbeddedPostgres(tmp_path)
    await opened[0].aclose()
    assert server.postmaster_pid() is not None
    await opened[1].aclose()
    assert server.postmaster_pid() is None


async def test_each_service_of_our_own_postgres_may_do_its_own_job_only(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, settings={"fsync": "off"}) as server:
        urls = await prepare_embedded(server)
        assert await prepare_embedded(server) == urls
        web = await open_database(at(urls["web"]), role="web")
        with pytest.raises(WallBreached):
            await web.claim_events(worker="w", after_tenant=None, limit=1, tenant_cap=1, lease_seconds=1)
        await web.aclose()


async def test_development_may_migrate_first(postgres_server: PostgresServer) -> None:
    with postgres_server.empty() as name:
        admin = postgres_server.url(name)
        services = postgres_server.url(name, login="enablebot_test_services")
        # The group roles exist from other databases' migrations, so this login is a member already.
        database = await open_database(at(services, admin=admin), role="api", migrate_first=True)
        assert (await database.schema_version()).version > 0
        await database.aclose()


async def test_a_missing_schema_is_said_and_left_to_ready(
    postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    with postgres_server.empty() as name:
        database = await open_database(at(postgres_server.url(name)), role="api")
        await database.aclose()
    assert "enablebot migrate" in caplog.text


async def test_nobody_at_the_address_refuses_to_start(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable):
        await open_database(at(f"postgresql://u@/db?host={tmp_path}"), role="api")


async def test_a_strong_login_works_and_is_warned_about(admin_url: str, caplog: pytest.LogCaptureFixture) -> None:
    database = await open_database(at(admin_url), role="api")
    await database.aclose()
    assert "is a superuser" in caplog.text
    assert "enablebot_api" in caplog.text


@pytest.mark.parametrize(
    "sabotage",
    [
        "alter table enablebot.messages no force row level security",
        "alter table enablebot.messages disable row level security",
        "grant select on enablebot.installations to public",
        "grant select on enablebot.installations to enablebot_api",
        "grant select (bot_token) on enablebot.installations to anon",
        "grant insert on enablebot.audit to authenticated",
        "grant execute on function enablebot.get_installation(uuid) to public",
        "grant execute on function enablebot.get_installation(uuid) to anon",
        "grant execute on function enablebot.get_installation(uuid) to authenticated",
    ],
)
async def test_a_wall_that_is_down_refuses_to_start(
    sabotage: str, admin: "asyncpg.Connection[asyncpg.Record]", api_url: str
) -> None:
    await admin.execute(sabotage)
    with pytest.raises(DatabaseError, match="does not keep workspaces apart"):
        await open_database(at(api_url), role="api")


def test_who_may_migrate_is_found_in_order(tmp_path: Path) -> None:
    with admin_url(at("postgresql://one", admin="postgresql://two")) as url:
        assert url == "postgresql://two"
    with admin_url(at("postgresql://one")) as url:
        assert url == "postgresql://one"
    with admin_url(DatabaseSettings(data_dir=tmp_path)) as url:
        assert url == EmbeddedPostgres(tmp_path).url()
        assert EmbeddedPostgres(tmp_path).postmaster_pid() is not None
    assert EmbeddedPostgres(tmp_path).postmaster_pid() is None


def test_the_data_api_alone_cannot_migrate() -> None:
    settings = DatabaseSettings(supabase_url="https://x.invalid", supabase_service_key=SecretStr("k"))
    with pytest.raises(DatabaseError, match="--bundle"), admin_url(settings):
        pass
