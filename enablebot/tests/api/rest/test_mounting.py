"""Where /v1 stands in the api: before its start, at its quota, in production; and away from Slack's hot path."""

from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from enablebot.api.main import create_app
from enablebot.config.settings import AccessSettings, KnowledgeSettings
from enablebot.shared.database.operations import Database
from enablebot.shared.database.supabase import SupabaseTransport
from enablebot.tests.api.rest.callers import ACME, GLOBEX, TEXT, Caller, Rest, problem, rest_of, settings
from enablebot.tests.api.serving import Observed, opened
from enablebot.tests.api.slack_side import Door, direct, install
from enablebot.tests.database import PostgresServer
from enablebot.tests.postgrest import data_api

pytestmark = pytest.mark.anyio


async def asked(app: object, method: str, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        return await client.request(method, path)


async def test_before_its_start_the_api_says_not_now(rest: Rest) -> None:
    api = create_app(settings(), database=rest.api.services.database)
    for method, path in (("GET", "/v1/documents"), ("POST", "/v1/search"), ("POST", "/v1/documents")):
        refused = await asked(api, method, path)
        problem(refused, 503, "unavailable")
        assert refused.headers["retry-after"] == "2"
    assert (await asked(api, "GET", "/v1/nothing")).status_code == 404


@pytest.mark.parametrize(("is_public", "status"), [(False, 404), (True, 200)])
async def test_the_description_is_closed_in_production_unless_opened(rest: Rest, is_public: bool, status: int) -> None:
    access = AccessSettings(openapi_public=is_public, metrics_token=SecretStr("a-token-of-the-tests"))
    api = create_app(settings(environment="production", access=access), database=rest.api.services.database)
    assert (await asked(api, "GET", "/openapi.json")).status_code == status


async def test_the_description_says_where_the_api_is_and_names_every_operation(rest: Rest) -> None:
    described = (await asked(rest.api, "GET", "/openapi.json")).json()
    assert described["servers"] == [{"url": "http://localhost:8001"}]
    operations = [operation for path in described["paths"].values() for operation in path.values()]
    assert sorted(operation["operationId"] for operation in operations) == [
        "add_document",
        "delete_document",
        "download_original",
        "find_passages",
        "list_documents",
        "reindex_document",
        "show_document",
    ]
    for operation in operations:
        assert operation["security"] == [{"API key": []}]
        assert operation["description"]
        for status, answer in operation["responses"].items():
            assert answer["description"]
            kinds = set(answer.get("content", {}))
            assert (kinds == {"application/problem+json"}) == status.startswith(("4", "5")), (operation, status)


async def test_slack_s_events_never_meet_the_routes(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    async def forbidden(*_: object) -> None:
        raise AssertionError("Slack's events went through FastAPI")

    monkeypatch.setattr(rest.api, "_web", forbidden)
    assert (await Door(rest.api).send(direct())).status == 200


async def test_a_workspace_that_keeps_as_much_as_it_may_is_told(postgres_server: PostgresServer) -> None:
    async with rest_of(postgres_server, knowledge=KnowledgeSettings(most_documents=2, most_megabytes=1)) as rest:
        caller: Caller = await rest.caller()
        kept = [await caller.upload(b"kept %d" % n, name=f"kept-{n}.txt") for n in range(2)]
        assert [answer.status_code for answer in kept] == [202, 202]
        refused = await caller.upload(b"one too many", name="more.txt", headers={"Idempotency-Key": "more"})
        assert "2" in problem(refused, 409, "over_quota")["detail"]
        assert (await caller.upload(b"kept 0", name="kept-0.txt")).status_code == 200
        assert (await caller.call("DELETE", kept[0].headers["location"])).status_code == 204
        assert (
            await caller.upload(b"one too many", name="more.txt", headers={"Idempotency-Key": "more"})
        ).status_code == 202
        heavy = await caller.upload(b"x" * 1_100_000, name="heavy.txt")
        problem(heavy, 409, "over_quota")


@pytest.mark.postgrest
async def test_all_of_it_works_through_the_data_api_too(postgres_server: PostgresServer, database_name: str) -> None:
    with data_api(postgres_server, database_name) as project:
        database = Database(await SupabaseTransport.connect(project.url, project.key()))
        async with opened(create_app(settings(), database=database)) as api:
            tenants = {team: await install(api.services.installations, team) for team in (ACME, GLOBEX)}
            admin = await asyncpg.connect(postgres_server.url(database_name))
            rest = Rest(api, admin, database, Observed(database._transport), tenants)
            ours, theirs = await rest.caller(), await rest.caller(GLOBEX)
            content = TEXT % b"the Data API" + bytes(range(32, 127)) * 15_000
            sent: dict[str, Any] = {"name": "leave.md", "headers": {"Idempotency-Key": "once"}}
            first, again = await ours.upload(content, **sent), await ours.upload(content, **sent)
            assert (first.status_code, again.content) == (202, first.content)
            document_id = first.json()["id"]
            await rest.ready(ours, document_id)
            assert (await ours.call("GET", f"/v1/documents/{document_id}/original")).content == content
            found = (await ours.search("how many days of leave")).json()["passages"]
            assert found[0]["document_id"] == document_id
            assert (await theirs.search("how many days of leave")).json()["passages"] == []
            problem(await theirs.call("GET", f"/v1/documents/{document_id}"), 404, "not_found")
            assert (await ours.call("DELETE", f"/v1/documents/{document_id}")).status_code == 204
            assert set((await rest.rows(document_id)).values()) == {0}
            await admin.close()
        await database.aclose()
