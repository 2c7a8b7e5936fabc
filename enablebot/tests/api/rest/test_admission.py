"""Who gets into /v1, what strangers learn, and how often anybody may ask."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from enablebot.api.rest.problems import TooManyRequests
from enablebot.api.rest.quotas import FAILURES, REQUESTS, UPLOADS, Quota, Quotas
from enablebot.shared.errors import DatabaseUnavailable
from enablebot.shared.models.api_key import make_key
from enablebot.tests.api.rest.callers import TEXT, Caller, Rest, problem

pytestmark = pytest.mark.anyio

SOMETHING = UUID(int=1)
ENDPOINTS = [
    ("POST", "/v1/documents", "documents:write"),
    ("GET", "/v1/documents", "documents:read"),
    ("GET", f"/v1/documents/{SOMETHING}", "documents:read"),
    ("GET", f"/v1/documents/{SOMETHING}/original", "documents:read"),
    ("DELETE", f"/v1/documents/{SOMETHING}", "documents:write"),
    ("POST", f"/v1/documents/{SOMETHING}/reindex", "documents:write"),
    ("POST", "/v1/search", "search"),
]


@pytest.fixture(autouse=True)
async def fresh_quotas(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test begins with whole quotas, which do not fill while it runs."""
    rest.quotas._buckets.clear()
    monkeypatch.setattr(rest.quotas, "_clock", lambda: 0.0)


async def test_every_endpoint_is_among_these(rest: Rest) -> None:
    described = rest.api.web.openapi()["paths"]
    found = {
        (method.upper(), path.replace("{document_id}", str(SOMETHING)))
        for path, methods in described.items()
        for method in methods
    }
    assert found == {(method, path) for method, path, _ in ENDPOINTS}


@pytest.mark.parametrize(("method", "path", "scope"), ENDPOINTS)
async def test_a_stranger_gets_a_plain_refusal_and_nothing_else(rest: Rest, method: str, path: str, scope: str) -> None:
    before = await rest.rows()
    for stranger, status, code in (await rest.strangers(scope)).values():
        # Whatever they send: what is wrong with it is none of their business.
        for sent in ({}, {"content": b"{"}, {"json": {"query": "leave"}}, {"files": {"file": ("a.txt", TEXT)}}):
            refused = await stranger.call(method, path, **sent)
            problem(refused, status, code)
            assert ("www-authenticate" in refused.headers) == (status == 401)
    assert await rest.rows() == before


@pytest.mark.parametrize(("method", "path", "scope"), ENDPOINTS)
async def test_a_key_whose_workspace_left_is_refused(rest: Rest, method: str, path: str, scope: str) -> None:
    caller = await rest.caller()
    await rest.admin.execute("update enablebot.tenants set status = 'uninstalled' where id = $1", caller.tenant_id)
    try:
        problem(await caller.call(method, path), 403, "workspace_left")
    finally:
        await rest.admin.execute("update enablebot.tenants set status = 'active' where id = $1", caller.tenant_id)


async def test_a_key_of_a_workspace_whose_slack_token_died_still_works(rest: Rest, acme: Caller) -> None:
    await rest.admin.execute("update enablebot.tenants set status = 'paused' where id = $1", acme.tenant_id)
    try:
        assert (await acme.call("GET", "/v1/documents")).status_code == 200
    finally:
        await rest.admin.execute("update enablebot.tenants set status = 'active' where id = $1", acme.tenant_id)


async def test_a_key_works_until_the_moment_it_is_revoked(rest: Rest, acme: Caller) -> None:
    assert (await acme.call("GET", "/v1/documents")).status_code == 200
    await rest.web.revoke_api_key(tenant_id=acme.tenant_id, id=acme.key_id, actor="cli")
    problem(await acme.call("GET", "/v1/documents"), 401, "unauthorized")


async def test_how_a_key_may_be_sent_and_how_not(rest: Rest, acme: Caller) -> None:
    nobody = replace(acme, key="")

    async def status(*values: str) -> int:
        headers = [(b"Authorization", value.encode()) for value in values]
        return (await nobody.call("GET", "/v1/documents", headers=None, sent=headers)).status_code

    key = acme.key
    for good in (f"Bearer {key}", f"bearer {key}", f"BEARER  {key} "):
        assert await status(good) == 200, good
    for bad in (
        key,
        f"Basic {key}",
        f"Bearer {key[:-1]}",
        f"Bearer {key}x",
        f"Bearer {key[:-1]}{'0' if key[-1] != '0' else '1'}",
        f"Bearer {key.swapcase()}",
        "Bearer",
        "Bearer ",
        "",
    ):
        assert await status(bad) == 401, bad
    assert await status(f"Bearer {key}", f"Bearer {key}") == 401
    assert (await nobody.call("GET", f"/v1/documents?api_key={key}&access_token={key}")).status_code == 401


async def test_what_does_not_read_as_a_key_is_not_looked_up(rest: Rest, acme: Caller) -> None:
    rest.observed.called.clear()
    for key in ("", "hello", acme.key[:-1], "eb_" + "0" * 22 + "_" + "0" * 38):
        problem(await replace(acme, key=key).call("GET", "/v1/documents"), 401, "unauthorized")
    assert "find_api_key" not in rest.observed.called


async def test_the_database_s_silence_is_no_refusal(rest: Rest, acme: Caller) -> None:
    rest.observed.failure = DatabaseUnavailable("The database does not answer. Try again in a moment.")
    try:
        refused = await acme.call("GET", "/v1/documents")
    finally:
        rest.observed.failure = None
    assert problem(refused, 503, "database_unavailable")["request_id"] == refused.headers["x-request-id"]
    assert refused.headers["retry-after"] == "5"


# How often


async def test_every_answer_tells_what_is_left(rest: Rest, acme: Caller) -> None:
    listed = await acme.call("GET", "/v1/documents")
    assert listed.headers["ratelimit-policy"] == '"requests";q=6000;w=60'
    assert listed.headers["ratelimit"] == '"requests";r=5999;t=1'
    missing = await acme.call("GET", f"/v1/documents/{SOMETHING}")
    assert (missing.status_code, missing.headers["ratelimit"]) == (404, '"requests";r=5998;t=1')
    wrong = await acme.upload(b"")
    assert (wrong.status_code, wrong.headers["ratelimit"]) == (422, '"uploads";r=1199;t=1')


@pytest.mark.parametrize(("method", "path", "scope"), ENDPOINTS)
async def test_beyond_its_quota_a_key_waits_and_others_do_not(
    rest: Rest, acme: Caller, globex: Caller, method: str, path: str, scope: str
) -> None:
    quota = UPLOADS if (method, path) == ("POST", "/v1/documents") else REQUESTS
    for _ in range(quota.per_minute):
        rest.quotas.take(quota, acme.key_id)
    refused = await acme.call(method, path)
    body = problem(refused, 429, "too_many_requests")
    assert int(refused.headers["retry-after"]) == 1
    assert refused.headers["ratelimit"].startswith(f'"{quota.name}";r=0;t=')
    assert "Wait 1 s" in body["detail"]
    for other in (await rest.caller(), globex):
        assert (await other.call(method, path)).status_code != 429


async def test_whoever_guesses_keys_is_slowed_down_and_nobody_else(rest: Rest, acme: Caller) -> None:
    guesser = replace(acme, key="guess")
    statuses = [(await guesser.call("GET", "/v1/documents")).status_code for _ in range(FAILURES.per_minute)]
    assert set(statuses) == {401}
    refused = await guesser.call("GET", "/v1/documents")
    problem(refused, 429, "too_many_requests")
    assert int(refused.headers["retry-after"]) >= 1
    problem(await replace(acme, key=make_key(uuid4()).reveal()).call("GET", "/v1/documents"), 429, "too_many_requests")
    # From the same address, with a good key.
    assert (await acme.call("GET", "/v1/documents")).status_code == 200


async def test_a_quota_fills_evenly_and_never_over() -> None:
    now = 0.0
    quotas, quota = Quotas(clock=lambda: now), Quota("tests", 60)

    def taken() -> int:
        count = 0
        while True:
            try:
                quotas.take(quota, "me")
            except TooManyRequests:
                return count
            count += 1

    assert taken() == 60
    now += 0.5
    assert taken() == 0
    now += 0.5
    assert taken() == 1
    now += 10
    assert taken() == 10
    now += 3600
    assert quotas.headers(quota, "me") == [
        (b"ratelimit-policy", b'"tests";q=60;w=60'),
        (b"ratelimit", b'"tests";r=60;t=0'),
    ]
    assert taken() == 60


async def test_a_crowd_of_callers_is_forgotten_from_its_oldest_end() -> None:
    quotas, quota = Quotas(clock=lambda: 0.0, most=3), Quota("tests", 1)
    for caller in "abc":
        quotas.take(quota, caller)
    quotas.headers(quota, "a")
    quotas.take(quota, "d")
    with pytest.raises(TooManyRequests):
        quotas.take(quota, "a")
    quotas.take(quota, "b")
