"""The api from outside: what it refuses, what it acknowledges, and what becomes of it.

reference/security.md RA-1 to RA-6, and the bad input a Slack app has to live with.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, urlencode
from uuid import UUID

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from enablebot.api.main import Api, create_app
from enablebot.api.slack.endpoints import SlackEndpoints
from enablebot.api.slack.reading import LARGEST_BODY
from enablebot.config.settings import AccessSettings
from enablebot.sandbox.app import Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.errors import DatabaseUnavailable, SettingsError
from enablebot.shared.sensitive import Sensitive
from enablebot.tests.api.serving import Observed, opened, settings_for
from enablebot.tests.api.slack_side import (
    SIGNING_SECRET,
    Door,
    direct,
    envelope,
    grant,
    mention,
    pressed_retry,
    signed,
    written,
)
from enablebot.tests.database import VERSIONS, PostgresServers

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

pytestmark = pytest.mark.anyio

ACME, GLOBEX = "T0SANDBOX1", "T0SANDBOX2"


@dataclass
class House:
    """One api for the whole module: starting one for each of so many refusals would be most of the time."""

    api: Api
    admin: Admin
    observed: Observed
    sandbox: Sandbox
    tenant_id: UUID

    @property
    def events(self) -> Door:
        return Door(self.api)

    @property
    def interactions(self) -> Door:
        return Door(self.api, path="/slack/interactions")

    async def rows(self, key: str | None = None) -> int:
        where = "" if key is None else " where event_key = $1"
        return int(await self.admin.fetchval(f"select count(*) from enablebot.inbox{where}", *([key] if key else [])))

    def counted(self, verdict: str) -> float:
        registry = self.api.services.metrics.registry
        return registry.get_sample_value("enablebot_events_received_total", {"verdict": verdict}) or 0.0


@pytest.fixture(scope="module")
async def house(postgres_servers: PostgresServers) -> AsyncIterator[House]:
    server = postgres_servers.server(VERSIONS[0])
    config = SandboxConfig(
        # Nobody listens there: this module plays Slack's side itself.
        events_url="http://127.0.0.1:9/slack/events",
        signing_secret=SIGNING_SECRET,
        rate_limits=False,
        model_delay_ms=0,
        time_scale=0.001,
    )
    with server.migrated() as name:
        observed = Observed(await PostgresTransport.connect(server.url(name, login="enablebot_test_api")))
        admin = await asyncpg.connect(server.url(name))
        async with (
            running(config) as sandbox,
            opened(create_app(settings_for(sandbox), database=Database(observed))) as api,
        ):
            installed = sandbox.install(ACME)
            token, bot = Sensitive(installed.token), installed.bot_user
            tenant = await api.services.installations.save(
                grant(ACME, bot_token=token, bot_user_id=bot, bot_id=installed.bot_id), audit_actor="U0ADA"
            )
            yield House(api, admin, observed, sandbox, tenant)
        await admin.close()
        await observed.aclose()


@pytest.fixture
async def untouched(house: House) -> AsyncIterator[None]:
    """Nothing is stored and nothing asked of the database."""
    await house.events.send(direct(), team="T0WARMUP")
    rows = await house.rows()
    house.observed.called.clear()
    yield
    assert await house.rows() == rows
    assert house.observed.touched == []


BODY = written(envelope(mention(), team=ACME))


# Made when they are sent: what was signed minutes ago would be refused for its age alone.
UNSIGNED: dict[str, Callable[[], dict[str, str]]] = {
    "nothing": dict,
    "no time": lambda: {"X-Slack-Signature": signed(BODY)["X-Slack-Signature"]},
    "no signature": lambda: {"X-Slack-Request-Timestamp": str(int(time.time()))},
    "another version": lambda: (
        signed(BODY) | {"X-Slack-Signature": signed(BODY)["X-Slack-Signature"].replace("v0=", "v1=")}
    ),
    "another second": lambda: signed(BODY) | {"X-Slack-Request-Timestamp": str(int(time.time()) - 1)},
    "an endless time": lambda: signed(BODY) | {"X-Slack-Request-Timestamp": "9" * 5000},
    "a broken time": lambda: signed(BODY) | {"X-Slack-Request-Timestamp": "1.5e9"},
    "no ASCII": lambda: signed(BODY) | {"X-Slack-Signature": "v0=\xe9"},
    "another secret": lambda: signed(BODY, secret="another secret"),
    "long ago": lambda: signed(BODY, at=time.time() - 400),
    "not yet": lambda: signed(BODY, at=time.time() + 400),
    "another body": lambda: signed(BODY + b" "),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("case", UNSIGNED)
async def test_what_slack_did_not_sign_is_refused(house: House, case: str) -> None:
    refused = await house.events.post(BODY, headers=UNSIGNED[case]())
    assert refused.status == 401
    assert refused.json()["error"]["code"] == "unauthorized"


@pytest.mark.usefixtures("untouched")
async def test_two_signatures_are_none(house: House) -> None:
    genuine = list(signed(BODY).items())
    forged = ("X-Slack-Signature", "v0=" + "0" * 64)
    for headers in ([*genuine, forged], [forged, *genuine], [*genuine, genuine[0]]):
        told = await house.events.request([{"type": "http.request", "body": BODY, "more_body": False}], headers)
        assert told.status == 401


@pytest.mark.usefixtures("untouched")
async def test_a_thousand_mutants_are_refused(house: House) -> None:
    chance = random.Random(826)
    headers = signed(BODY)
    for _ in range(1000):
        parts = [bytearray(BODY), *(bytearray(value.encode()) for value in headers.values())]
        part = chance.choice(parts)
        bit = chance.randrange(len(part) * 8)
        part[bit // 8] ^= 1 << bit % 8
        names = [name.lower().encode() for name in headers]
        told = await house.events.request(
            [{"type": "http.request", "body": bytes(parts[0]), "more_body": False}],
            [(name.decode(), bytes(value).decode("latin-1")) for name, value in zip(names, parts[1:], strict=True)],
        )
        assert told.status == 401


@pytest.mark.parametrize(("seconds", "status"), [(-301, 401), (-299, 200), (299, 200), (301, 401)])
async def test_five_minutes_either_way_are_accepted(house: House, seconds: int, status: int) -> None:
    body, now = written(envelope({"type": "emoji_changed"})), 1_800_000_000.0
    services = house.api.services
    endpoints = SlackEndpoints(
        services.intake, signing_secrets=[SIGNING_SECRET], metrics=services.metrics, now=lambda: now
    )
    assert (await Door(endpoints.events).post(body, headers=signed(body, at=now + seconds))).status == status


async def test_both_secrets_are_valid_while_one_replaces_the_other(house: House) -> None:
    body = written(envelope({"type": "emoji_changed"}))

    def door(*secrets: str) -> Door:
        services = house.api.services
        return Door(SlackEndpoints(services.intake, signing_secrets=secrets, metrics=services.metrics).events)

    both = door("next", SIGNING_SECRET)
    assert (await both.post(body, headers=signed(body, secret="next"))).status == 200
    assert (await both.post(body, headers=signed(body))).status == 200
    assert (await door("next").post(body, headers=signed(body))).status == 401
    assert (await door().post(body, headers=signed(body))).status == 401
    assert (await door("").post(body, headers=signed(body, secret="x"))).status == 401


async def test_a_replayed_request_is_one_event(house: House) -> None:
    body = written(envelope(mention(), team=ACME, event_id="EvReplayed"))
    headers = signed(body)
    told = await asyncio.gather(*(house.events.post(body, headers=headers) for _ in range(50)))
    assert {response.status for response in told} == {200}
    assert await house.rows("EvReplayed") == 1


@pytest.mark.usefixtures("untouched")
async def test_a_body_announced_too_large_is_not_read(house: House) -> None:
    async def never_read() -> Any:
        raise AssertionError("it was read")

    told = await house.events.request([never_read], [("Content-Length", str(LARGEST_BODY + 1))])
    assert (told.status, told.headers["connection"]) == (413, "close")
    assert (await house.events.request([never_read], [("Content-Length", "9" * 4000)])).status == 413


@pytest.mark.usefixtures("untouched")
async def test_a_body_that_grows_too_large_is_cut_off(house: House) -> None:
    read = 0

    async def a_piece() -> Any:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 65536, "more_body": True}

    assert (await house.events.request([a_piece] * 1000, [])).status == 413
    assert read <= LARGEST_BODY // 65536 + 1


async def test_the_largest_body_is_accepted(house: House) -> None:
    body = written(envelope({"type": "emoji_changed"}))
    body += b" " * (LARGEST_BODY - len(body))
    assert (await house.events.post(body, chunk=100_000)).status == 200


@pytest.mark.usefixtures("untouched")
async def test_a_body_that_drips_is_not_waited_for(house: House) -> None:
    async def never() -> Any:
        await asyncio.Event().wait()

    services = house.api.services
    endpoints = SlackEndpoints(
        services.intake, signing_secrets=[SIGNING_SECRET], metrics=services.metrics, read_seconds=0.01
    )
    drop = {"type": "http.request", "body": b"{", "more_body": True}
    told = await Door(endpoints.events).request([drop, never], list(signed(BODY).items()))
    assert (told.status, told.headers["connection"]) == (408, "close")


async def test_whoever_hangs_up_gets_no_answer(house: House) -> None:
    told = await house.events.request([{"type": "http.disconnect"}], list(signed(BODY).items()))
    assert told.status == 0


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_only_post_is_answered(house: House, method: str) -> None:
    for door in (house.events, house.interactions):
        told = await door.request([], [], method=method)
        assert (told.status, told.headers["allow"]) == (405, "POST")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe{}",
        b'{"type": "event_callback", "text": "\xed\xa0\x80"}',
        b"[1, 2]",
        b"null",
        b'"a string"',
        b"[" * 100_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"type": "url_verification"}',
        b'{"type": "url_verification", "challenge": 5}',
    ],
    ids=range(11),
)
async def test_a_signed_body_that_is_no_envelope_is_refused(house: House, body: bytes) -> None:
    assert (await house.events.post(body)).status == 400


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"payload=",
        b"payload=not+json",
        b"payload=%5B%5D",
        b"payload=%ED%A0%80",
        b"\xff\xfe",
        b"other=1",
        b"payload=%7B%7D&payload=%7B%7D",
        b"a=1&" * 200_000,
        b"payload=" + b"%5B" * 100_000,
    ],
    ids=range(10),
)
async def test_a_signed_form_that_carries_no_payload_is_refused(house: House, body: bytes) -> None:
    assert (await house.interactions.post(body)).status == 400


@pytest.mark.parametrize("text", ["a\0b", "lone \ud800 surrogate", "\udfff", "\ufffe\uffff", "😀" * 1000])
async def test_odd_characters_in_a_message_are_stored_like_any_other(house: House, text: str) -> None:
    key = f"EvOdd{abs(hash(text))}"
    assert (await house.events.send(mention(text), team=ACME, event_id=key)).status == 200
    assert await house.rows(key) == 1


@pytest.mark.parametrize(
    "event",
    [direct(channel="D0\0ADA"), direct(ts="1\0"), direct(channel="D" * 5000), direct(thread_ts="9" * 5000 + ".1")],
)
async def test_keys_no_index_could_hold_are_ignored(house: House, event: Any) -> None:
    rows = await house.rows()
    assert (await house.events.send(event, team=ACME)).status == 200
    assert await house.rows() == rows


async def test_the_url_is_verified_by_its_challenge(house: House) -> None:
    told = await house.events.post(written({"type": "url_verification", "challenge": "abc", "token": "x"}))
    assert (told.status, told.json()) == (200, {"challenge": "abc"})
    unsigned = await house.events.post(written({"type": "url_verification", "challenge": "abc"}), headers={})
    assert unsigned.status == 401


@pytest.mark.parametrize(
    ("payload", "verdict"),
    [
        (envelope({"type": "emoji_changed"}, team=ACME), "ignored"),
        (envelope({"type": "a_type_of_next_year"}, team=ACME), "ignored"),
        (envelope(None, team=ACME), "ignored"),
        ({"type": "a_wrapper_of_next_year"}, "unknown_type"),
        ({}, "unknown_type"),
        ({"type": "app_rate_limited", "team_id": ACME, "minute_rate_limited": 1518467820}, "app_rate_limited"),
        (envelope(direct(), team="T0NOBODY"), "unknown_workspace"),
    ],
)
async def test_what_is_none_of_ours_is_acknowledged_counted_and_not_stored(
    house: House, payload: dict[str, Any], verdict: str
) -> None:
    rows, counted = await house.rows(), house.counted(verdict)
    assert (await house.events.post(written(payload))).status == 200
    assert await house.rows() == rows
    assert house.counted(verdict) == counted + 1


async def test_events_of_an_uninstalled_workspace_are_acknowledged_counted_and_not_stored(house: House) -> None:
    installations = house.api.services.installations
    tenant = await installations.save(grant("T0GONE"), audit_actor="U0ADA")
    await installations.end(tenant, event_time=datetime.now(UTC) + timedelta(days=1), reason="app_uninstalled")
    rows, counted = await house.rows(), house.counted("unknown_workspace")
    assert (await house.events.send(direct(), team="T0GONE")).status == 200
    assert await house.rows() == rows
    assert house.counted("unknown_workspace") == counted + 1


async def test_without_the_database_nothing_is_acknowledged(house: House) -> None:
    house.observed.failure = DatabaseUnavailable("gone")
    try:
        refused = await house.events.send(mention(), team=ACME, event_id="EvAway")
        assert refused.status == 503
        assert (await house.events.send({"type": "emoji_changed"})).status == 200
    finally:
        house.observed.failure = None
    assert (await house.events.send(mention(), team=ACME, event_id="EvAway")).status == 200
    assert await house.rows("EvAway") == 1


async def test_a_database_that_hangs_is_not_waited_for(house: House) -> None:
    services = house.api.services
    endpoints = SlackEndpoints(
        services.intake, signing_secrets=[SIGNING_SECRET], metrics=services.metrics, accept_seconds=0.05
    )
    house.observed.hangs = True
    try:
        assert (await Door(endpoints.events).send(mention(), team=ACME, event_id="EvHung")).status == 503
    finally:
        house.observed.hangs = False


async def test_a_press_on_retry_is_stored_and_other_interactions_are_not(house: House) -> None:
    def form(payload: dict[str, Any]) -> bytes:
        return urlencode({"payload": written(payload)}, quote_via=quote).encode()

    rows = await house.rows()
    for other in ({"type": "view_submission"}, pressed_retry(team=ACME, actions=[{"action_id": "other"}])):
        assert (await house.interactions.post(form(other))).status == 200
    assert await house.rows() == rows
    pressed = pressed_retry(team=ACME)
    assert (await house.interactions.post(form(pressed))).status == 200
    assert await house.rows(f"trigger:{pressed['trigger_id']}") == 1


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.one_of(st.binary(max_size=300), st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))))
async def test_no_signed_bytes_are_answered_with_a_fault(house: House, body: bytes) -> None:
    for door in (house.events, house.interactions):
        assert (await door.post(body)).status in {200, 400}


async def get(house: House, path: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=house.api)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        return await client.get(path, headers=headers)


async def test_health_and_readiness_are_open_and_say_little(house: House) -> None:
    assert (await get(house, "/health")).json() == {"status": "ok"}
    ready = await get(house, "/ready")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "parts": {"database": "ok"}})


async def test_readiness_tells_that_the_database_is_away(house: House) -> None:
    house.observed.failure = DatabaseUnavailable("The database is away.")
    try:
        away = await get(house, "/ready")
    finally:
        house.observed.failure = None
    assert (away.status_code, away.json()["parts"]) == (503, {"database": "The database is away."})


async def test_every_route_is_on_the_list_of_open_ones_or_asks_for_credentials(house: House) -> None:
    is_open = {"/health", "/ready", "/metrics", "/openapi.json"}
    paths = {route.path for route in house.api.web.routes if hasattr(route, "path")}
    assert is_open >= {path for path in paths if (await get(house, path)).status_code < 400}
    for path in ("/slack/events", "/slack/interactions"):
        assert (await get(house, path)).status_code == 405


async def test_an_unknown_address_is_answered_in_the_one_shape_of_errors(house: House) -> None:
    told = await get(house, "/nowhere", **{"X-Request-Id": "request-4711"})
    assert told.status_code == 404
    assert told.json()["error"]["request_id"] == "request-4711"
    assert told.headers["x-content-type-options"] == "nosniff"


async def test_production_closes_metrics_and_the_api_description(house: House) -> None:
    closed = settings_for(house.sandbox, environment="production")
    with_token = settings_for(
        house.sandbox,
        environment="production",
        access=AccessSettings(metrics_token=SecretStr("a-token-for-metrics"), openapi_public=True),
    )
    for given_settings, statuses in ((closed, (404, 404)), (with_token, (401, 200))):
        app = create_app(given_settings, database=house.api.services.database)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            assert (await client.get("/metrics")).status_code == statuses[0]
            assert (await client.get("/openapi.json")).status_code == statuses[1]
            bearer = {"Authorization": "Bearer a-token-for-metrics"}
            assert (await client.get("/metrics", headers=bearer)).status_code == (404 if statuses[0] == 404 else 200)


async def test_without_a_master_key_it_does_not_start(house: House) -> None:
    keyless = settings_for(house.sandbox).model_copy(
        update={"encryption": settings_for(house.sandbox).encryption.model_copy(update={"keys": None})}
    )
    with pytest.raises(SettingsError, match="ENCRYPTION_KEYS"):
        create_app(keyless)


async def test_before_the_start_slack_is_told_to_come_again(house: House) -> None:
    assert (await Door(create_app(settings_for(house.sandbox))).post(BODY)).status == 503
