"""A running api for a whole module, two workspaces in it, and callers with keys of every kind."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import httpx
from pydantic import SecretStr

from enablebot.api.main import Api, create_app
from enablebot.api.rest.desk import Desk
from enablebot.api.rest.quotas import Quotas
from enablebot.api.rest.turns import UploadTurns
from enablebot.config.settings import EncryptionSettings, ModelSettings, Settings, SlackSettings, WorkerSettings
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.models.api_key import SCOPES, hash_of_key, make_key
from enablebot.tests.api.conftest import MASTER_KEY
from enablebot.tests.api.serving import Observed, opened
from enablebot.tests.api.slack_side import SIGNING_SECRET, install
from enablebot.tests.database import PostgresServer

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

ACME, GLOBEX = "T0ACME", "T0GLOBEX"
TEXT = b"# Leave\n\nEverybody has 30 days of leave a year. The canary of %s sings.\n"


def settings(**changed: object) -> Settings:
    """An api whose Slack and model nobody plays: /v1 needs neither."""
    return Settings(
        environment="test",
        encryption=EncryptionSettings(keys=SecretStr(MASTER_KEY)),
        slack=SlackSettings(signing_secrets=(SecretStr(SIGNING_SECRET),), base_url="http://127.0.0.1:9"),
        model=ModelSettings(api_key=SecretStr("sk-test"), base_url="http://127.0.0.1:9/v1"),
        worker=WorkerSettings(time_scale=0.02, drain_seconds=4),
    ).model_copy(update=changed)


@dataclass(frozen=True)
class Caller:
    """Somebody with a key, or without one."""

    api: Api
    key: str
    tenant_id: UUID
    key_id: UUID

    async def call(self, method: str, path: str, **given: Any) -> httpx.Response:
        """One request. `headers` are added to the key's; `sent` are raw ones, of which there may be several alike."""
        key = [("Authorization", f"Bearer {self.key}")] if self.key else []
        named = [*key, *(given.pop("headers", None) or {}).items()]
        raw = [(name.encode(), value.encode()) for name, value in named]
        headers = [*raw, *given.pop("sent", ())]
        transport = httpx.ASGITransport(app=self.api, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            return await client.request(method, path, headers=headers, **given)

    async def upload(
        self, content: bytes, *, name: str = "handbook.md", headers: Mapping[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        return await self.call(
            "POST", "/v1/documents", files={"file": (name, content)}, data=fields, headers=dict(headers or {})
        )

    async def search(self, query: str, **body: Any) -> httpx.Response:
        return await self.call("POST", "/v1/search", json={"query": query, **body})


@dataclass
class Rest:
    """The api with everything a test looks at."""

    api: Api
    admin: Admin
    web: Database
    observed: Observed
    tenants: dict[str, UUID]

    async def caller(
        self, team: str = ACME, *, scopes: Sequence[str] = SCOPES, expires_at: datetime | None = None
    ) -> Caller:
        """Somebody with a new key."""
        id_ = uuid4()
        key = make_key(id_).reveal()
        await self.web.create_api_key(
            tenant_id=self.tenants[team],
            id=id_,
            key_hash=hash_of_key(key),
            name="of a test",
            scopes=scopes,
            expires_at=expires_at,
            actor="cli",
        )
        return Caller(self.api, key, self.tenants[team], id_)

    @property
    def quotas(self) -> Quotas:
        """The quotas of this process."""
        desk: Desk = self.api.web.state.desk
        return desk.quotas

    @property
    def turns(self) -> UploadTurns:
        """Who uploads at this moment."""
        desk: Desk = self.api.web.state.desk
        return desk.turns

    async def strangers(self, scope: str) -> dict[str, tuple[Caller, int, str]]:
        """Callers who must not get in where `scope` is needed, each with the status and code they get."""
        nobody = replace(await self.caller(), key="")
        revoked = await self.caller()
        await self.web.revoke_api_key(tenant_id=revoked.tenant_id, id=revoked.key_id, actor="cli")
        wrong = make_key(uuid4()).reveal()
        return {
            "no key": (nobody, 401, "unauthorized"),
            "no key at all like ours": (replace(nobody, key="hello"), 401, "unauthorized"),
            "a key nobody made": (replace(nobody, key=wrong), 401, "unauthorized"),
            "a revoked key": (revoked, 401, "unauthorized"),
            "an expired key": (
                await self.caller(expires_at=datetime.now(UTC) - timedelta(seconds=1)),
                401,
                "unauthorized",
            ),
            "a key for other things": (
                await self.caller(scopes=[other for other in SCOPES if other != scope]),
                403,
                "scope_missing",
            ),
        }

    async def rows(self, document_id: str | None = None) -> dict[str, int]:
        """How much is stored of a document, or of all, by table; passages of all come and go by themselves."""
        tables = ["documents", "document_versions", "document_pieces", "document_channels"]
        tables += ["passages"] if document_id else []
        where = {table: f"where {'id' if table == 'documents' else 'document_id'} = $1" for table in tables}
        return {
            table: int(
                await self.admin.fetchval(
                    f"select count(*) from enablebot.{table} {where[table] if document_id else ''}",
                    *([UUID(document_id)] if document_id else []),
                )
            )
            for table in tables
        }

    async def until(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something is so that the worker brings about."""
        async with asyncio.timeout(60):
            while not await is_so():
                await asyncio.sleep(0.02)

    async def ready(self, caller: Caller, document_id: str) -> dict[str, Any]:
        """Wait until a document is read, and return it."""
        shown: dict[str, Any] = {}

        async def is_read() -> bool:
            shown.update((await caller.call("GET", f"/v1/documents/{document_id}")).json())
            return shown["status"] in {"ready", "failed"} and shown["replacement"] is None

        await self.until(is_read)
        assert shown["status"] == "ready", shown
        return shown


@asynccontextmanager
async def rest_of(server: PostgresServer, **changed: object) -> AsyncIterator[Rest]:
    """A running api over a database of its own, with the least rights it can do with."""
    with server.migrated() as name:
        observed = Observed(await PostgresTransport.connect(server.url(name, login="enablebot_test_api")))
        web = Database(await PostgresTransport.connect(server.url(name, login="enablebot_test_web")))
        admin = await asyncpg.connect(server.url(name))
        async with opened(create_app(settings(**changed), database=Database(observed))) as api:
            tenants = {team: await install(api.services.installations, team) for team in (ACME, GLOBEX)}
            yield Rest(api, admin, web, observed, tenants)
        await admin.close()
        await web.aclose()
        await observed.aclose()


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return the body of a problem, once it has the form of one."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), (
        response.text
    )
    body: dict[str, Any] = json.loads(response.content)
    assert list(body) == ["type", "title", "status", "detail", "code", "instance", *(["request_id"] * (status >= 500))]
    assert (body["status"], body["code"], body["instance"]) == (status, code, response.request.url.path)
    assert body["detail"][-1] in ".”`" or body["detail"].endswith("channels.")
    return body
