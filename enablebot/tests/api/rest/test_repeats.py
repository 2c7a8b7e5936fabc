"""Idempotency keys: the same request again does nothing again, and is answered the same."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from starlette.types import Message

from enablebot.api.rest import repeats as repeats_module
from enablebot.shared.errors import DatabaseUnavailable
from enablebot.tests.api.rest.callers import TEXT, Caller, Rest, problem
from enablebot.tests.api.rest.test_uploads import Body, file, part

pytestmark = pytest.mark.anyio


def named(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


async def test_a_repetition_gets_the_very_same_answer_even_when_the_document_has_moved_on(
    rest: Rest, acme: Caller
) -> None:
    text = TEXT % b"repeated"
    first = await acme.upload(text, name="repeated.md", title="Once", headers=named("a"))
    await rest.ready(acme, first.json()["id"])
    again = await acme.upload(text, name="repeated.md", title="Once", headers=named("a"))
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    without = await acme.upload(text, name="repeated.md", title="Once")
    assert (without.status_code, without.json()["status"]) == (200, "ready")


async def test_the_repetition_of_a_deleted_document_does_not_bring_it_back(rest: Rest, acme: Caller) -> None:
    first = await acme.upload(TEXT % b"deleted", name="deleted.md", headers=named("d"))
    await acme.call("DELETE", f"/v1/documents/{first.json()['id']}")
    again = await acme.upload(TEXT % b"deleted", name="deleted.md", headers=named("d"))
    assert again.content == first.content
    problem(await acme.call("GET", f"/v1/documents/{first.json()['id']}"), 404, "not_found")


@pytest.mark.parametrize(
    "other",
    [
        {"content": TEXT % b"other bytes"},
        {"name": "other.md"},
        {"title": "Other"},
        {"title": None},
        {"channels": ["C0OTHER"]},
        {"channels": []},
    ],
    ids=str,
)
async def test_the_same_key_for_something_else_is_refused(rest: Rest, acme: Caller, other: dict[str, Any]) -> None:
    sent: dict[str, Any] = {"content": TEXT % b"mine", "name": "mine.md", "title": "Mine", "channels": ["C0MINE"]}
    first = await acme.upload(**sent, headers=named("mine"))
    assert first.status_code in {200, 202}
    before = await rest.rows()
    changed = {name: value for name, value in {**sent, **other}.items() if value is not None}
    problem(await acme.upload(**changed, headers=named("mine")), 422, "idempotency_key_reused")
    assert await rest.rows() == before


async def test_order_and_boundaries_of_a_form_make_no_difference(acme: Caller) -> None:
    async def sent(*parts: bytes, boundary: str) -> bytes:
        body = b"".join(parts).replace(b"of-the-tests", boundary.encode()) + f"--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        answer = await acme.call("POST", "/v1/documents", content=body, headers={"Content-Type": kind} | named("order"))
        assert answer.status_code == 202, answer.text
        return answer.content

    whole, title = file(b"in any order", "order.txt"), part('name="title"', b"T")
    first, second = part('name="channels"', b"C1"), part('name="channels"', b"C2")
    one = await sent(title, first, second, whole, boundary="one")
    assert await sent(whole, second, title, first, boundary="another-one") == one


async def test_keys_of_different_callers_never_meet(rest: Rest, acme: Caller, globex: Caller) -> None:
    mate = await rest.caller()
    answers = [
        await caller.upload(TEXT % b"shared", name="shared.md", headers=named("s")) for caller in (acme, mate, globex)
    ]
    assert [answer.status_code for answer in answers] == [202, 200, 202]
    assert answers[0].json()["id"] == answers[1].json()["id"] != answers[2].json()["id"]
    assert not any("idempotent-replayed" in answer.headers for answer in answers)


async def test_of_simultaneous_requests_one_is_done_and_the_others_wait_their_turn(rest: Rest, acme: Caller) -> None:
    async def once() -> Any:
        return await acme.upload(b"all at once" * 1000, name="race.txt", headers=named("race"))

    answers = await asyncio.gather(*(once() for _ in range(8)))
    statuses = sorted({answer.status_code for answer in answers})
    assert statuses in ([202], [202, 409])
    for answer in answers:
        if answer.status_code == 409:
            problem(answer, 409, "request_under_way")
            assert answer.headers["retry-after"] == "1"
    assert len({answer.content for answer in answers if answer.status_code == 202}) == 1
    assert len((await acme.call("GET", "/v1/documents?name=race.txt")).json()["documents"]) == 1
    assert (await once()).status_code == 202


async def test_what_failed_may_be_sent_again_under_its_key(rest: Rest, acme: Caller) -> None:
    problem(await acme.upload(b"", name="retry.txt", headers=named("retry")), 422, "file_empty")
    rest.observed.fails_in = {"queue_document": DatabaseUnavailable("The database does not answer. Try again.")}
    try:
        problem(await acme.upload(b"at last", name="retry.txt", headers=named("retry")), 503, "database_unavailable")
    finally:
        rest.observed.fails_in = {}
    assert (await acme.upload(b"at last", name="retry.txt", headers=named("retry"))).status_code == 202


async def test_a_process_that_died_in_the_middle_is_succeeded_after_its_lease(rest: Rest, acme: Caller) -> None:
    rest.observed.fails_in = {
        name: DatabaseUnavailable("Dead.") for name in ("finish_api_request", "give_up_api_request")
    }
    try:
        first = await acme.upload(b"a short life", name="died.txt", headers=named("died"))
    finally:
        rest.observed.fails_in = {}
    # The document is there, whatever became of the answer.
    assert first.status_code == 202
    problem(await acme.upload(b"a short life", name="died.txt", headers=named("died")), 409, "request_under_way")
    await rest.admin.execute("update enablebot.api_requests set lease_until = now() where status is null")
    heir = await acme.upload(b"a short life", name="died.txt", headers=named("died"))
    assert (heir.status_code, heir.json()["id"]) == (200, first.json()["id"])


async def test_an_upload_asks_for_more_time_while_it_arrives(
    rest: Rest, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So short that every piece that comes finds it nearly over.
    monkeypatch.setattr(repeats_module, "LEASE_SECONDS", 0)
    rest.observed.called.clear()
    told = await Body([file(b"")[:-2], *[b"slowly "] * 10, b"\r\n--of-the-tests--\r\n"]).post(
        acme, headers=named("slow")
    )
    assert told.status == 202, told.body
    assert rest.observed.called.count("begin_api_request") == 11


async def test_an_upload_that_another_has_taken_over_stops(
    rest: Rest, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats_module, "LEASE_SECONDS", 0)

    async def too_late() -> Message:
        await rest.admin.execute(
            "update enablebot.api_requests set token = gen_random_uuid(), lease_until = now() + interval '1 hour' "
            "where api_key_id = $1",
            acme.key_id,
        )
        return {"type": "http.request", "body": b"late\r\n--of-the-tests--\r\n", "more_body": False}

    before = await rest.rows()
    told = await Body([file(b"")[:-2]], at_end=too_late).post(acme, headers=named("lost"))
    assert (told.status, told.problem["code"]) == (409, "request_under_way")
    assert await rest.rows() == before


async def test_the_answer_is_kept_sealed_and_for_a_day(rest: Rest, acme: Caller) -> None:
    title = "CANARY in a title"
    answer = await acme.upload(b"sealed", name="sealed.txt", title=title, headers=named("sealed"))
    row = await rest.admin.fetchrow(
        "select r.*, to_jsonb(r)::text as shown from enablebot.api_requests r where api_key_id = $1", acme.key_id
    )
    assert row is not None
    assert row["status"] == 202
    assert b"CANARY" not in row["response"]
    assert "CANARY" not in row["shown"]
    assert b"sealed" not in row["name_hash"]
    await rest.admin.execute(
        "update enablebot.api_requests set created_at = now() - interval '23 hours' where api_key_id = $1", acme.key_id
    )
    database = rest.api.services.database
    await database.prune_api_requests(hours=repeats_module.KEPT_HOURS, limit=1000)
    assert (
        await acme.upload(b"sealed", name="sealed.txt", title=title, headers=named("sealed"))
    ).content == answer.content
    await rest.admin.execute(
        "update enablebot.api_requests set created_at = now() - interval '25 hours' where api_key_id = $1", acme.key_id
    )
    await database.prune_api_requests(hours=repeats_module.KEPT_HOURS, limit=1000)
    assert (await acme.upload(b"sealed", name="sealed.txt", title=title, headers=named("sealed"))).status_code == 200


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_a_key_that_is_none_is_refused(acme: Caller, key: str) -> None:
    problem(await acme.upload(b"x", headers=named(key)), 422, "invalid_request")


async def test_any_text_may_be_a_key(acme: Caller) -> None:
    for number, key in enumerate(("k" * 255, "'; drop table api_requests; --", "é", "a b", "{}")):
        content, name = b"key %d" % number, f"key-{number}.txt"
        sent = [(b"Idempotency-Key", key.encode("latin-1"))]
        answers = [
            await acme.call("POST", "/v1/documents", files={"file": (name, content)}, sent=sent) for _ in range(2)
        ]
        assert [answer.status_code for answer in answers] == [202, 202]
        assert answers[1].headers["idempotent-replayed"] == "true"
        assert UUID(json.loads(answers[1].content)["id"])
