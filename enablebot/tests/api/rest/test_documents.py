"""/v1/documents as a program with a key uses it, and as another workspace's never may."""

import hashlib
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from enablebot.tests.api.rest.callers import GLOBEX, TEXT, Caller, Rest, problem

pytestmark = pytest.mark.anyio

MISSING = UUID(int=0xDEAD)


async def test_a_file_is_taken_in_read_shown_and_found(rest: Rest, acme: Caller) -> None:
    text = TEXT % b"the first"
    added = await acme.upload(text, name="leave.md", title="Holidays")
    assert added.status_code == 202, added.text
    document = added.json()
    assert added.headers["location"] == f"/v1/documents/{document['id']}"
    assert (document["title"], document["name"], document["format"]) == ("Holidays", "leave.md", "markdown")
    assert (document["status"], document["reason"], document["version"]) == ("queued", None, 1)
    assert (document["size_bytes"], document["source"], document["channels"]) == (len(text), "api", [])
    assert document["added_by"].startswith("api:eb_")
    assert acme.key.startswith(document["added_by"].removeprefix("api:"))

    shown = await rest.ready(acme, document["id"])
    assert (shown["progress"], shown["passages"]) == (100, 1)
    listed = (await acme.call("GET", "/v1/documents?limit=1")).json()
    assert listed["documents"] == [shown]
    original = await acme.call("GET", f"/v1/documents/{document['id']}/original")
    assert original.content == text
    found = (await acme.search("how many days of leave")).json()
    assert document["id"] in {passage["document_id"] for passage in found["passages"]}


async def test_the_same_bytes_again_are_the_same_document(rest: Rest, acme: Caller) -> None:
    first = await acme.upload(TEXT % b"twice", name="twice.md")
    again = await acme.upload(TEXT % b"twice", name="twice.md")
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    assert "location" not in again.headers


async def test_a_file_of_the_same_name_is_the_next_version(rest: Rest, acme: Caller) -> None:
    first = (await acme.upload(TEXT % b"version one", name="prices.md")).json()
    await rest.ready(acme, first["id"])
    second = await acme.upload(TEXT % b"version two", name="prices.md")
    assert (second.status_code, second.json()["id"]) == (202, first["id"])
    shown = await rest.ready(acme, first["id"])
    assert shown["version"] == 2
    original = await acme.call("GET", f"/v1/documents/{first['id']}/original")
    assert b"version two" in original.content


async def test_pages_of_the_list_hold_every_document_once_newest_first(rest: Rest) -> None:
    caller = await rest.caller(GLOBEX)
    added = [(await caller.upload(b"page %d" % n, name=f"page-{n}.txt")).json()["id"] for n in range(7)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (
            await caller.call("GET", f"/v1/documents?limit=3&name=page-{f'&cursor={cursor}' if cursor else ''}")
        ).json()
        assert len(page["documents"]) <= 3
        seen += [document["id"] for document in page["documents"]]
        cursor = page["next"]
    assert seen == added[::-1]


@pytest.mark.parametrize("cursor", ["x", "0", "eyJhIjoxfQ==", "%00", "'; drop table documents", "9" * 200, "é"])
async def test_a_cursor_that_no_page_gave_is_refused(acme: Caller, cursor: str) -> None:
    refused = await acme.call("GET", "/v1/documents", params={"cursor": cursor})
    problem(refused, 400, "bad_request")


async def test_another_workspace_s_cursor_shows_nothing_of_theirs(rest: Rest, acme: Caller, globex: Caller) -> None:
    for n in range(3):
        await globex.upload(b"cursor %d" % n, name=f"cursor-{n}.txt")
    cursor = (await globex.call("GET", "/v1/documents?limit=1")).json()["next"]
    theirs = {document["id"] for document in (await globex.call("GET", "/v1/documents?limit=100")).json()["documents"]}
    ours = (await acme.call("GET", f"/v1/documents?limit=100&cursor={cursor}")).json()["documents"]
    assert not theirs & {document["id"] for document in ours}


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=ten", "limit=1.5", "cursor=", f"cursor={'c' * 201}", f"name={'n' * 201}"]
)
async def test_what_a_list_cannot_mean_is_refused(acme: Caller, query: str) -> None:
    problem(await acme.call("GET", f"/v1/documents?{query}"), 422, "invalid_request")


async def test_a_name_is_looked_for_as_it_is_written(acme: Caller) -> None:
    await acme.upload(b"percent", name="zz100%zz.txt")
    for name, count in (("zz%00zz", 0), ("zz%ffzz", 0), ("%25z", 1), ("zz%25zz", 0), ("zz_zz", 0), ("%5c", 0)):
        answer = await acme.call("GET", f"/v1/documents?name={name}")
        assert len(answer.json()["documents"]) == count, name


async def test_deleting_leaves_nothing_behind_and_deleting_twice_finds_nothing(rest: Rest) -> None:
    caller = await rest.caller()
    document = (await caller.upload(TEXT % b"a mayfly", name="mayfly.md", channels=["C0GENERAL"])).json()
    await rest.ready(caller, document["id"])
    assert min((await rest.rows(document["id"])).values()) >= 1
    gone = await caller.call("DELETE", f"/v1/documents/{document['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert set((await rest.rows(document["id"])).values()) == {0}
    for method, path in (("DELETE", ""), ("GET", ""), ("GET", "/original"), ("POST", "/reindex")):
        problem(await caller.call(method, f"/v1/documents/{document['id']}{path}"), 404, "not_found")
    audited = await rest.admin.fetch(
        "select actor, action from enablebot.audit where object like $1 order by seq", f"%{document['id']}%"
    )
    assert [row["action"] for row in audited] == ["document.add", "document.delete"]
    assert {row["actor"] for row in audited} == {document["added_by"]}


async def test_reading_anew_keeps_what_is_found_and_ends_ready(rest: Rest, acme: Caller) -> None:
    document = (await acme.upload(TEXT % b"rereading", name="reread.md")).json()
    await rest.ready(acme, document["id"])
    again = await acme.call("POST", f"/v1/documents/{document['id']}/reindex")
    assert again.status_code == 202
    assert again.json()["id"] == document["id"]
    found = (await acme.search("canary rereading")).json()["passages"]
    assert document["id"] in {passage["document_id"] for passage in found}
    await rest.ready(acme, document["id"])


async def test_a_document_bound_to_channels_is_found_there_only(rest: Rest, acme: Caller) -> None:
    bound = await acme.upload(b"The zanzibar protocol is secret.", name="bound.txt", channels=["C0LEGAL", "C0BOARD"])
    assert bound.json()["channels"] == ["C0BOARD", "C0LEGAL"]
    await rest.ready(acme, bound.json()["id"])
    for query, count in (("", 0), ("?channel=C0OTHER", 0), ("?channel=C0LEGAL", 1)):
        found = await acme.call("POST", f"/v1/search{query}", json={"query": "zanzibar protocol"})
        assert len(found.json()["passages"]) == count, query


# Another workspace (SD-4)


async def test_another_workspace_s_document_is_as_unknown_as_one_that_never_was(
    rest: Rest, acme: Caller, globex: Caller
) -> None:
    foreign = (await globex.upload(TEXT % b"globex", name="secret-plans.md", title="Canary")).json()["id"]
    await rest.ready(globex, foreign)
    before = await _everything(rest, globex)
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/reindex"),
        ("GET", "/original"),
        ("PUT", ""),
        ("PATCH", ""),
        ("HEAD", ""),
        ("POST", ""),
    ):
        theirs = await acme.call(method, f"/v1/documents/{foreign}{path}")
        missing = await acme.call(method, f"/v1/documents/{MISSING}{path}")
        assert theirs.status_code == missing.status_code in {404, 405}, method
        assert len(theirs.content) == len(missing.content)
        assert theirs.content == missing.content.replace(str(MISSING).encode(), foreign.encode())
        assert _told(theirs) == _told(missing)
        assert b"Canary" not in theirs.content
    assert await _everything(rest, globex) == before


async def test_another_workspace_finds_and_lists_nothing_of_it(rest: Rest, acme: Caller, globex: Caller) -> None:
    canary = f"canary{uuid4().hex}"
    added = await globex.upload(f"The word is {canary}.".encode(), name=f"{canary}.txt")
    await rest.ready(globex, added.json()["id"])
    assert len((await globex.search(canary)).json()["passages"]) == 1
    searched, listed = await acme.search(canary), await acme.call("GET", f"/v1/documents?name={canary}")
    assert searched.json()["passages"] == []
    assert listed.json() == {"documents": [], "next": None}
    assert canary not in searched.text


async def test_two_workspaces_with_the_same_file_have_a_document_each(rest: Rest, acme: Caller, globex: Caller) -> None:
    ours = (await acme.upload(TEXT % b"both", name="both.md")).json()
    theirs = (await globex.upload(TEXT % b"both", name="both.md")).json()
    assert ours["id"] != theirs["id"]
    assert (await acme.call("DELETE", f"/v1/documents/{ours['id']}")).status_code == 204
    assert (await globex.call("GET", f"/v1/documents/{theirs['id']}")).status_code == 200


@pytest.mark.parametrize("id_", ["1", "x" * 300, "%00", "..%2f..", "null", str(MISSING).replace("-", ""), "%ed%a0%80"])
async def test_what_is_no_id_is_unknown_too(acme: Caller, id_: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/original"), ("POST", "/reindex")):
        refused = await acme.call(method, f"/v1/documents/{id_}{path}")
        assert refused.status_code == 404
        assert refused.headers["content-type"] == "application/problem+json"


async def test_no_answer_holds_more_than_is_described(rest: Rest, acme: Caller) -> None:
    document = (await acme.upload(TEXT % b"fields", name="fields.md")).json()
    described = rest.api.web.openapi()["components"]["schemas"]
    assert set(document) == set(described["DocumentShape"]["properties"])
    await rest.ready(acme, document["id"])
    found = (await acme.search("fields canary")).json()
    assert set(found) == set(described["FoundShape"]["properties"])
    assert set(found["passages"][0]) == set(described["PassageShape"]["properties"])
    for name in set(document) | set(found["passages"][0]):
        assert not any(word in name for word in ("hash", "token", "secret", "key", "tenant", "lane", "seal")), name


# What is not there, or not for this


async def test_unknown_addresses_and_methods_are_problems_too(acme: Caller) -> None:
    problem(await acme.call("GET", "/v1/nothing"), 404, "not_found")
    problem(await acme.call("GET", "/v1"), 404, "not_found")
    problem(await acme.call("GET", "/v1/documents/"), 404, "not_found")
    for method, path, allowed in (
        ("PUT", "/v1/documents", "GET, POST"),
        ("PATCH", f"/v1/documents/{MISSING}", "DELETE, GET"),
        ("GET", "/v1/search", "POST"),
        ("GET", f"/v1/documents/{MISSING}/reindex", "POST"),
    ):
        refused = await acme.call(method, path)
        problem(refused, 405, "method_not_allowed")
        assert refused.headers["allow"] == allowed
    elsewhere = await acme.call("GET", "/nothing")
    assert elsewhere.json()["error"]["code"] == "not_found"


async def test_a_fault_of_ours_names_its_request_and_nothing_else(
    rest: Rest, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("CANARY of the inside")

    monkeypatch.setattr(rest.api.services.library, "get", broken)
    failed = await acme.call("GET", f"/v1/documents/{MISSING}")
    body = problem(failed, 500, "internal_error")
    assert body["request_id"] == failed.headers["x-request-id"]
    assert "CANARY" not in failed.text


@pytest.mark.parametrize(
    ("name", "ascii_name", "full_name"),
    [
        ("plan.txt", "plan.txt", "plan.txt"),
        ("Über uns.txt", "Uber uns.txt", "%C3%9Cber%20uns.txt"),
        ('a"b;c.txt', "a_b;c.txt", "a%22b%3Bc.txt"),
    ],
)
async def test_an_original_is_a_download_under_its_own_name(
    rest: Rest, acme: Caller, name: str, ascii_name: str, full_name: str
) -> None:
    content = f"<script>alert(1)</script> {name}".encode()
    document = (await acme.upload(content, name=name)).json()
    assert document["name"] == name
    original = await acme.call("GET", f"/v1/documents/{document['id']}/original")
    assert hashlib.sha256(original.content).digest() == hashlib.sha256(content).digest()
    assert original.headers["content-disposition"] == (
        f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{full_name}"
    )
    assert original.headers["content-type"] == "application/octet-stream"
    assert original.headers["x-content-type-options"] == "nosniff"
    assert original.headers["content-security-policy"].startswith("default-src 'none'")
    assert original.headers["content-length"] == str(len(content))


async def _everything(rest: Rest, caller: Caller) -> list[Any]:
    return list(
        await rest.admin.fetch(
            "select to_jsonb(d)::text from enablebot.documents d where tenant_id = $1 "
            "union all select to_jsonb(v)::text from enablebot.document_versions v where tenant_id = $1 order by 1",
            caller.tenant_id,
        )
    )


def _told(response: httpx.Response) -> list[tuple[str, str]]:
    """The headers, without those that differ from request to request."""
    return [item for item in response.headers.multi_items() if item[0] not in {"x-request-id", "ratelimit"}]
