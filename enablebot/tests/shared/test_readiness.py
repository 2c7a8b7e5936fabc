"""A Supabase project of which only the Data API is at hand: what api and web say until its schema is there."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from enablebot.api.main import create_app as create_api
from enablebot.config.reference import Service
from enablebot.config.settings import DatabaseSettings, Settings, load_settings
from enablebot.shared.database import readiness
from enablebot.shared.database.config import open_database
from enablebot.shared.database.init_db import SqlFile, bundle, migrations
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.database.readiness import SchemaCheck, refuse_old_schema
from enablebot.shared.errors import DatabaseError, SchemaMissing
from enablebot.tests.api.conftest import MASTER_KEY
from enablebot.tests.api.slack_side import SIGNING_SECRET, Door, message
from enablebot.tests.database import PostgresServer
from enablebot.tests.postgrest import DataApi, data_api
from enablebot.web.main import create_app as create_web

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

pytestmark = pytest.mark.anyio

BUNDLE = "python -m enablebot migrate --bundle"
EXPOSE = "expose the schema `enablebot`"


def settings(api: DataApi, service: Service) -> Settings:
    """What an operator with nothing but the project's URL and key sets."""
    environ = {
        "ENVIRONMENT": "test",
        "SUPABASE_URL": api.url,
        "SUPABASE_SERVICE_KEY": api.key(),
        "ENCRYPTION_KEYS": MASTER_KEY,
        "SESSION_SECRET": "an-honest-secret-of-forty-characters-0123",
        "SLACK_SIGNING_SECRET": SIGNING_SECRET,
        "SLACK_BASE_URL": "http://127.0.0.1:9",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "OPENAI_API_KEY": "sk-unused",
    }
    return load_settings(environ=environ, env_file=None, service=service)


class Project:
    """Both services on one project, asked as a platform and Slack ask them."""

    def __init__(self, api: DataApi) -> None:
        self.api, self.web = create_api(settings(api, "api")), create_web(settings(api, "web"))

    async def ready(self) -> list[tuple[int, str]]:
        """Status and body of both readiness pages, api's first."""
        return [await self._page(app, "/ready") for app in (self.api, self.web)]

    async def _page(self, app: object, path: str) -> tuple[int, str]:
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.get(path)
            return answer.status_code, str(json.loads(answer.text)["parts"]["database"])

    async def event(self) -> int:
        """The status Slack gets for a message that is for us."""
        return (await Door(self.api).send(message("hello", channel="D1", channel_type="im"))).status


@asynccontextmanager
async def started(api: DataApi) -> AsyncIterator[Project]:
    project = Project(api)
    api_app, web_app = project.api.web, project.web
    async with api_app.router.lifespan_context(api_app), web_app.router.lifespan_context(web_app):
        yield project


@pytest.mark.postgrest
async def test_without_a_schema_nothing_is_ready_until_the_bundle_is_pasted(
    postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    with postgres_server.empty() as name, data_api(postgres_server, name) as api:
        async with started(api) as project:
            complaints = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
            assert len(complaints) == 2, "each service says once, at its start, what is missing"
            for said in complaints:
                assert BUNDLE in said
                assert EXPOSE in said
            for status, said in await project.ready():
                assert status == 503
                assert BUNDLE in said
                assert EXPOSE in said
            assert await project.event() == 503

            connection = await asyncpg.connect(postgres_server.url(name))
            await connection.execute(bundle())
            await connection.close()
            async with asyncio.timeout(20):
                # PostgREST reads the schema again in its own time.
                while await project.ready() != [(200, "ok")] * 2:
                    await asyncio.sleep(0.05)
            # A workspace nobody has installed: known to be none of ours, and said so.
            assert await project.event() == 200


@pytest.mark.postgrest
async def test_a_schema_that_is_not_exposed_is_not_ready_and_named(
    postgres_server: PostgresServer, database_name: str
) -> None:
    with data_api(postgres_server, database_name, schemas="public") as api:
        async with started(api) as project:
            for status, said in await project.ready():
                assert status == 503
                assert EXPOSE in said
                assert BUNDLE in said
            assert await project.event() == 503


@pytest.mark.postgrest
async def test_an_old_schema_is_not_ready_and_named(
    postgres_server: PostgresServer,
    database_name: str,
    admin: Admin,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await admin.execute("drop function enablebot.accept_events")
    with data_api(postgres_server, database_name) as api:
        async with started(api) as project:
            assert "accept_events" in caplog.text
            for status, said in await project.ready():
                assert status == 503
                assert "its functions lack accept_events" in said
                assert BUNDLE in said


async def test_a_migration_that_is_missing_makes_a_schema_old(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await refuse_old_schema(database)
    ours = migrations()
    later = (*ours, SqlFile(name=f"{len(ours) + 1:03}_later.sql", text="select 1"))
    monkeypatch.setattr(readiness, "migrations", lambda: later)
    with pytest.raises(SchemaMissing, match=rf"migration {len(ours)} of {len(ours) + 1}.*enablebot migrate"):
        await refuse_old_schema(database)


async def test_a_schema_newer_than_this_release_is_ready(database: Database, admin: Admin) -> None:
    await admin.execute("insert into enablebot.schema_migrations values (999, '999_later.sql', 'unknown')")
    await refuse_old_schema(database)


async def test_walls_are_looked_at_when_the_schema_comes_late(database: Database, admin: Admin) -> None:
    check = SchemaCheck(database)
    await admin.execute("alter function enablebot.prune rename to pruned")
    with pytest.raises(SchemaMissing):
        await check()
    await admin.execute("alter table enablebot.messages no force row level security")
    await admin.execute("alter function enablebot.pruned rename to prune")
    for _ in range(2):
        with pytest.raises(DatabaseError, match="does not keep workspaces apart"):
            await check()
    await admin.execute("alter table enablebot.messages force row level security")
    await check()


@pytest.mark.parametrize("weaker", ["local", "remote_write", "on"])
async def test_commits_that_reach_this_servers_disk_are_ready(admin: Admin, api_url: str, weaker: str) -> None:
    await set_for_everybody(admin, "synchronous_commit", weaker)
    await (await open_database(DatabaseSettings(url=SecretStr(api_url)), role="api")).aclose()


async def test_a_login_whose_commits_may_be_lost_starts_nothing_and_is_not_ready(admin: Admin, api_url: str) -> None:
    opened = await open_database(DatabaseSettings(url=SecretStr(api_url)), role="api")
    check = SchemaCheck(opened)
    await check()
    await opened.aclose()

    await set_for_everybody(admin, "synchronous_commit", "off")
    with pytest.raises(DatabaseError, match="alter role <login> set synchronous_commit = on"):
        await open_database(DatabaseSettings(url=SecretStr(api_url)), role="api")
    reconnected = await PostgresTransport.connect(api_url)
    with pytest.raises(DatabaseError, match="synchronous_commit is off"):
        await SchemaCheck(Database(reconnected))()
    await reconnected.aclose()


async def set_for_everybody(admin: Admin, name: str, value: str) -> None:
    """Change a setting of this test's database, for sessions to come."""
    database = await admin.fetchval("select current_database()")
    await admin.execute(f'alter database "{database}" set {name} = {value}')
