"""The knowledge page: files go in, are read, can be searched, bound, replaced, deleted and had back."""

import re
from uuid import uuid4

import pytest

from enablebot.shared.database.operations import Database
from enablebot.shared.models.document import MOST_BYTES
from enablebot.tests.web.conftest import Admin, NewVisitor
from enablebot.tests.web.knowing import (
    END,
    HANDBOOK,
    JSON,
    KNOWLEDGE,
    OWN,
    Fields,
    Pulled,
    add,
    field,
    file_part,
    post,
    press,
    read_waiting,
    token_of,
)
from enablebot.tests.web.reading import Page
from enablebot.tests.web.visiting import ACME, ADA, EVA, GLOBEX, Visitor

pytestmark = pytest.mark.anyio


@pytest.fixture
async def ada(visitor: Visitor) -> Visitor:
    await visitor.install(team=ACME, user=ADA)
    return visitor


async def read_page(visitor: Visitor, address: str = KNOWLEDGE) -> str:
    response = await visitor.get(address)
    assert response.status_code == 200, response.text
    return Page(response.text).text


async def the_document(visitor: Visitor) -> str:
    """The address of the one document that is listed."""
    found = re.findall(r'href="(/dashboard/knowledge/[0-9a-f-]{36})"', (await visitor.get(KNOWLEDGE)).text)
    assert len(set(found)) == 1, found
    return str(found[0])


async def added(visitor: Visitor, database: Database, name: str = "handbook.md", content: bytes = HANDBOOK) -> str:
    """Add a document, read it, and return its address."""
    response = await add(visitor, (name, content))
    assert response.status_code == 303, response.text
    await read_waiting(database)
    return KNOWLEDGE + "/" + response.headers["location"].rsplit("%3A", 1)[1]


async def count(admin: Admin, table: str) -> int:
    counted: int = await admin.fetchval(f"select count(*) from enablebot.{table}")
    return counted


async def test_an_empty_page_says_what_to_do(ada: Visitor) -> None:
    text = await read_page(ada)
    assert "Nothing is here yet. Add a handbook" in text
    assert "Deleted lately" not in text


async def test_several_files_are_added_without_script_and_become_ready(ada: Visitor, database: Database) -> None:
    response = await add(ada, ("handbook.md", HANDBOOK), ("notes.txt", b"Lunch is at noon."))
    assert response.status_code == 303
    told = await read_page(ada, response.headers["location"])
    assert told.count("Added. It can be searched as soon as it has been read.") == 2
    assert told.count("Waiting to be read") == 2
    assert await read_waiting(database) == 2
    ready = await read_page(ada)
    assert "handbook.md" in ready
    assert "1 passage" in ready
    assert "Ready" in ready
    assert "Waiting" not in ready


async def test_a_document_is_no_word_from_slack(ada: Visitor, database: Database) -> None:
    await added(ada, database)
    overview = await read_page(ada, "/dashboard")
    assert "Last heard from Slack nothing yet" in overview
    assert "waiting" not in overview


async def test_a_script_sends_one_file_and_is_told_in_json(ada: Visitor) -> None:
    headers = JSON | {"X-CSRF-Token": await token_of(ada)}
    said = (await add(ada, ("handbook.md", HANDBOOK), headers=headers)).json()
    assert (said["outcome"], said["name"]) == ("new", "handbook.md")
    assert (await ada.get(said["href"])).status_code == 200
    again = (await add(ada, ("copy of it.md", HANDBOOK), headers=headers)).json()
    assert (again["outcome"], again["href"]) == ("same", said["href"])
    assert again["told"] == "Exactly this content is here already, as “handbook.md”. Nothing was added twice."


@pytest.mark.parametrize(
    ("name", "content", "status", "code", "words"),
    [
        ("empty.pdf", b"", 422, "file_empty", "empty"),
        ("program.pdf", b"MZ\x90\x00\x03" + bytes(200), 415, "unsupported_format", ""),
        ("large.txt", b"a" * (MOST_BYTES + 1), 413, "too_large", "20 MB"),
    ],
)
async def test_what_is_refused_says_why_and_leaves_nothing(
    ada: Visitor, admin: Admin, name: str, content: bytes, status: int, code: str, words: str
) -> None:
    said = await add(ada, (name, content), headers=JSON)
    assert (said.status_code, said.json()["error"]["code"]) == (status, code)
    assert words in said.json()["error"]["message"]
    page = await add(ada, (name, content))
    assert page.status_code == status
    assert said.json()["error"]["message"] in Page(page.text).text
    assert await count(admin, "documents") == await count(admin, "document_pieces") == 0


async def test_one_bad_file_does_not_keep_the_others_out(ada: Visitor, admin: Admin) -> None:
    page = await add(ada, ("empty.txt", b""), ("notes.txt", b"Lunch is at noon."), ("also.txt", b""))
    assert page.status_code == 200
    assert "Added. It can be searched" in Page(page.text).text
    assert page.text.count("told-refusal") == 2
    assert await admin.fetchval("select name from enablebot.documents") == "notes.txt"


async def test_a_form_takes_ten_files_and_says_so_of_the_eleventh(ada: Visitor, admin: Admin) -> None:
    page = await add(ada, *((f"note {n}.txt", f"Note {n}.".encode()) for n in range(11)))
    assert "Not more than 10 files" in Page(page.text).text
    assert await count(admin, "documents") == 10


async def test_sending_no_file_says_so(ada: Visitor) -> None:
    page = await add(ada, ("", b""))
    assert (page.status_code, "No file was chosen" in page.text) == (400, True)


async def test_a_form_that_breaks_off_adds_nothing(ada: Visitor, admin: Admin) -> None:
    whole = field("csrf_token", await token_of(ada)) + file_part("notes.txt", b"Lunch is at noon.") + END
    for cut in (1, 60, 200, len(whole) - 30):
        assert (await post(ada, whole[:cut])).status_code in {400, 403}, cut
    assert await count(admin, "documents") == 0


async def test_a_sender_that_falls_silent_or_trickles_is_not_waited_for(
    ada: Visitor, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = field("csrf_token", await token_of(ada)) + file_part("notes.txt", b"Lunch is at noon.")
    for limit in ("IDLE_SECONDS", "LONGEST_SECONDS"):
        with monkeypatch.context() as patched:
            patched.setattr(f"enablebot.web.dashboard.knowledge_upload.{limit}", 0.2)
            response = await post(ada, Pulled([head[:-10]], falls_silent=True))
        assert (response.status_code, "took too long" in response.text) == (408, True)
    assert await count(admin, "documents") == 0


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
]


async def test_nothing_is_read_of_an_upload_that_another_site_sent(ada: Visitor, admin: Admin) -> None:
    token = await token_of(ada)
    for headers in FOREIGN:
        body = Pulled([field("csrf_token", token), file_part("notes.txt", b"a" * 1000), END])
        assert (await post(ada, body, headers=headers)).status_code == 403
        assert body.taken == 0
    assert await count(admin, "documents") == 0


async def test_nothing_is_read_of_a_file_whose_form_has_no_token_of_ours(
    ada: Visitor, new_visitor: NewVisitor, admin: Admin
) -> None:
    eva = new_visitor()
    await eva.install(team=GLOBEX, user=EVA)
    foreign = await token_of(eva)
    by_header = Pulled([file_part("notes.txt", b"a" * 1000), END])
    assert (await post(ada, by_header, headers={"X-CSRF-Token": foreign})).status_code == 403
    assert by_header.taken == 0
    for first in (field("csrf_token", foreign), field("csrf_token", ""), field("other", "x"), b""):
        body = Pulled([first + file_part("notes.txt", b"a" * 1000)[:120], b"a" * 1000, END])
        assert (await post(ada, body)).status_code == 403
        assert body.taken <= 1
    late = [file_part("notes.txt", b"a" * 1000), field("csrf_token", await token_of(ada)), END]
    assert (await post(ada, b"".join(late))).status_code == 403
    assert await count(admin, "documents") == 0


async def test_the_same_name_is_a_new_version_and_the_earlier_one_stays_until_it_is_read(
    ada: Visitor, database: Database
) -> None:
    address = await added(ada, database)
    response = await add(ada, ("handbook.md", b"# Leaving\n\nThe notice period is nine weeks.\n"))
    assert "This is a new version" in await read_page(ada, response.headers["location"])
    assert "eight weeks" in await read_page(ada, address)
    await read_waiting(database)
    text = await read_page(ada, address)
    assert "nine weeks" in text
    assert "eight weeks" not in text
    assert "Version 2 · In use" in text


async def test_a_document_is_replaced_from_its_own_page_by_a_file_of_any_name(ada: Visitor, database: Database) -> None:
    address = await added(ada, database)
    response = await add(ada, ("handbook 2027 final.md", b"# Pets\n\nDogs may come.\n"), replaces=address[-36:])
    assert response.status_code == 303
    await read_waiting(database)
    assert await the_document(ada) == address
    text = await read_page(ada, address)
    assert "Dogs may come" in text
    assert "handbook.md" in text
    assert (await add(ada, ("x.md", b"# X\n"), replaces=uuid4())).status_code == 404
    assert (await add(ada, ("x.md", b"# X\n"), replaces="no id")).status_code == 404


async def test_a_failed_document_says_why_and_what_to_do(ada: Visitor, database: Database) -> None:
    address = await added(ada, database, "broken.pdf", b"%PDF-1.7\n" + b"nothing that a PDF has\n" * 20)
    for where in (KNOWLEDGE, address):
        text = await read_page(ada, where)
        assert "Could not be read" in text
        assert "A mended file takes its place" in text


async def test_deleting_hides_and_undoing_brings_back_without_script(ada: Visitor, database: Database) -> None:
    address = await added(ada, database)
    deleted = await press(ada, f"{address}/delete")
    assert deleted.status_code == 303
    text = await read_page(ada, deleted.headers["location"])
    assert "handbook.md : Deleted." in text
    assert "Nothing is here yet" in text
    assert "kept for 10 more minutes" in text
    assert "Nothing found" in await read_page(ada, f"{KNOWLEDGE}/search?query=notice+period")
    assert (await ada.get(address)).status_code == 404
    restored = await press(ada, f"{address}/restore")
    assert "It is back" in await read_page(ada, restored.headers["location"])
    assert "eight weeks" in await read_page(ada, f"{KNOWLEDGE}/search?query=notice+period")
    assert "Deleted lately" not in await read_page(ada)


async def test_deleting_and_undoing_tell_a_script_what_to_offer(ada: Visitor, database: Database) -> None:
    address = await added(ada, database)
    deleted = (await press(ada, f"{address}/delete", headers=JSON)).json()
    assert (deleted["name"], deleted["undo"]) == ("handbook.md", f"{address}/restore")
    restored = await press(ada, deleted["undo"], headers=JSON)
    assert restored.json()["told"] == "It is back, as it was before."
    assert (await press(ada, f"{KNOWLEDGE}/{uuid4()}/restore", headers=JSON)).status_code == 404


async def test_every_change_is_audited_under_the_persons_name(ada: Visitor, database: Database, admin: Admin) -> None:
    address = await added(ada, database)
    for action in ("reindex", "delete", "restore"):
        assert (await press(ada, f"{address}/{action}")).status_code == 303
    await press(ada, f"{address}/channels", fields={"seen_by": "chosen", "channel": "C0GENERAL"})
    rows = await admin.fetch("select action from enablebot.audit where action like 'document.%' order by seq")
    assert {row["action"] for row in rows} >= {
        "document.add",
        "document.reindex",
        "document.delete",
        "document.restore",
        "document.bind",
    }


async def test_reading_it_again_keeps_what_is_known_until_that_is_done(ada: Visitor, database: Database) -> None:
    address = await added(ada, database)
    again = await press(ada, f"{address}/reindex")
    assert "It is being read again" in await read_page(ada, again.headers["location"])
    assert "eight weeks" in await read_page(ada, f"{KNOWLEDGE}/search?query=notice+period")
    assert await read_waiting(database) == 1
    assert "eight weeks" in await read_page(ada, address)


async def test_a_document_bound_to_a_channel_is_found_there_only(ada: Visitor, database: Database) -> None:
    address = await added(ada, database)
    page = await ada.get(address)
    assert "#general" in page.text
    bound = await press(
        ada, f"{address}/channels", fields={"seen_by": "chosen", "channel": "C0GENERAL", "more": "C0123456789"}
    )
    assert "Saved" in await read_page(ada, bound.headers["location"])
    assert "2 channels only" in await read_page(ada)
    for channel, is_found in (("", False), ("C0RANDOM", False), ("C0GENERAL", True), ("%23general", True)):
        text = await read_page(ada, f"{KNOWLEDGE}/search?query=notice+period&channel={channel}")
        assert ("eight weeks" in text) == is_found, channel
    await press(ada, f"{address}/channels", fields={"seen_by": "everyone", "channel": "C0GENERAL"})
    assert "everywhere" in await read_page(ada)
    assert "eight weeks" in await read_page(ada, f"{KNOWLEDGE}/search?query=notice+period")


@pytest.mark.parametrize(
    "fields",
    [
        {"seen_by": "chosen"},
        {"seen_by": "chosen", "more": "#general"},
        {"seen_by": "nobody", "channel": "C0GENERAL"},
        {"channel": "C0GENERAL"},
        {"seen_by": "chosen", "channel": [f"C{n:09d}" for n in range(101)]},
    ],
)
async def test_channels_that_are_none_change_nothing(
    ada: Visitor, database: Database, admin: Admin, fields: Fields
) -> None:
    address = await added(ada, database)
    response = await press(ada, f"{address}/channels", fields=fields)
    assert response.status_code == 400
    assert "Nothing was changed." in Page(response.text).text
    assert await count(admin, "document_channels") == 0


async def test_the_original_comes_back_byte_by_byte_as_a_download(ada: Visitor, database: Database) -> None:
    content = "Grüße\n".encode() * 400_000
    address = await added(ada, database, 'Grü"ße.txt', content)
    for method in ("GET", "HEAD"):
        response = await ada.http.request(method, f"{address}/original")
        assert response.status_code == 200
        assert response.content == (content if method == "GET" else b"")
        assert response.headers["content-type"] == "application/octet-stream"
        assert response.headers["content-length"] == str(len(content))
        assert response.headers["x-content-type-options"] == "nosniff"
        said = response.headers["content-disposition"]
        assert re.fullmatch(r"attachment; filename=\"Gru_?[^\"]*\.txt\"; filename\*=UTF-8''Gr%C3%BC[^ ]*\.txt", said), (
            said
        )


async def test_long_lists_are_paged_and_searched_by_name(ada: Visitor) -> None:
    for n in range(0, 30, 10):
        await add(ada, *((f"note {each:02}.txt", f"Note {each}.".encode()) for each in range(n, n + 10)))
    first = await ada.get(KNOWLEDGE)
    older = re.search(r'href="([^"]*after=[^"]*)"', first.text)
    assert older is not None
    second = await ada.get(older[1].replace("&amp;", "&"))
    names = [re.findall(r"note \d\d\.txt(?=</a>)", page.text) for page in (first, second)]
    assert [len(each) for each in names] == [25, 5]
    assert len({*names[0], *names[1]}) == 30
    assert "Newest" in second.text
    found = await read_page(ada, f"{KNOWLEDGE}?q=NOTE+07")
    assert "note 07.txt" in found
    assert "note 08.txt" not in found
    assert "No document has “zebra” in its name" in await read_page(ada, f"{KNOWLEDGE}?q=zebra")


@pytest.mark.parametrize(
    "address", ["?after=nonsense", "?after=%00", "?q=%00", "?told=deleted:x", "?told=new:1&told=x"]
)
async def test_an_address_that_somebody_made_up_is_no_fault_of_ours(ada: Visitor, address: str) -> None:
    assert (await ada.get(KNOWLEDGE + address)).status_code in {200, 400, 422}


async def test_long_documents_are_previewed_in_pages(ada: Visitor, database: Database) -> None:
    chapters = "".join(f"# Chapter {n}\n\n" + f"Sentence number {n} of the book. " * 80 + "\n\n" for n in range(30))
    address = await added(ada, database, "book.md", chapters.encode())
    first = await ada.get(address)
    further = re.search(r'href="([^"]*from=(\d+)#passages)"', first.text)
    assert further is not None
    second = await ada.get(further[1])
    assert re.findall(r'<li id="p(\d+)"', first.text) == [str(n) for n in range(20)]
    assert re.findall(r'<li id="p(\d+)"', second.text)[0] == further[2] == "20"
    assert "From the beginning" in second.text
    assert (await ada.get(f"{address}?from=-1")).status_code == 422
    assert "nothing to show" in await read_page(ada, f"{address}?from=100000")


async def test_the_search_shows_what_the_bot_would_find_and_why(ada: Visitor, database: Database) -> None:
    await added(ada, database)
    response = await ada.get(f"{KNOWLEDGE}/search?query=notice+periods")
    assert "<mark>notice</mark> <mark>period</mark>" in response.text
    text = Page(response.text).text
    assert "Compared by words." in text
    assert "Leaving" in text
    assert re.search(r'<meter min="0" max="100" value="100"', response.text)
    assert re.search(r"Score\s+\d+\.\d\d", text)


@pytest.mark.parametrize("query", ["zebra", "?!", "%00", "'; drop table documents; --", "a" * 60_000, "🦓"])
async def test_a_search_that_finds_nothing_says_so(ada: Visitor, database: Database, query: str) -> None:
    await added(ada, database)
    response = await ada.http.get(f"{KNOWLEDGE}/search", params={"query": query})
    assert response.status_code == 200
    assert "Nothing found" in response.text
    assert "Nothing that is known fits this question" in Page(response.text).text


async def test_a_channel_that_is_none_is_said_to_be_none(ada: Visitor) -> None:
    text = await read_page(ada, f"{KNOWLEDGE}/search?query=x&channel=nonsense")
    assert "There is no such channel here" in text


async def test_one_workspace_sees_nothing_of_anothers_documents(
    ada: Visitor, new_visitor: NewVisitor, database: Database
) -> None:
    await added(ada, database)
    eva = new_visitor()
    await eva.install(team=GLOBEX, user=EVA)
    for address in (KNOWLEDGE, f"{KNOWLEDGE}?q=handbook", f"{KNOWLEDGE}/search?query=notice+period"):
        text = await read_page(eva, address)
        assert "handbook" not in text.replace("Add a handbook", "").replace("for “handbook”", "").replace(
            "“handbook”", ""
        )
        assert "eight weeks" not in text


ONE_DOCUMENT = ["", "/original", "/delete", "/restore", "/reindex", "/channels"]


async def test_anothers_document_is_as_missing_as_one_that_never_was(
    ada: Visitor, new_visitor: NewVisitor, database: Database, admin: Admin
) -> None:
    address = await added(ada, database, "canary.md", b"# Canary\n\nThe canary sings at nine.\n")
    gone = await added(ada, database, "gone canary.md", b"# Gone\n\nThis canary is gone.\n")
    await press(ada, f"{gone}/delete")
    eva = new_visitor()
    await eva.install(team=GLOBEX, user=EVA)
    token, before = await token_of(eva), await everything(admin)
    data = {"csrf_token": token, "seen_by": "everyone"}
    for theirs in (address[-36:], gone[-36:]):
        missing, malformed = str(uuid4()), "x" * 36
        for tail in ONE_DOCUMENT:
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
                answers = []
                for id_ in (theirs, missing, malformed):
                    body = data if method == "POST" else None
                    answers.append(await eva.http.request(method, f"{KNOWLEDGE}/{id_}{tail}", data=body, headers=OWN))
                bodies = {answer.text for answer in answers}
                assert {answer.status_code for answer in answers} <= {404, 405}, (method, tail)
                assert len({answer.status_code for answer in answers}) == len(bodies) == 1, (method, tail)
                assert "canary" not in bodies.pop()
        for id_ in (theirs, missing):
            assert (await add(eva, ("x.md", b"# X\n"), replaces=id_)).status_code == 404
            for told in ("new", "deleted", "restored"):
                assert "canary" not in (await eva.get(f"{KNOWLEDGE}?told={told}:{id_}")).text
    assert await everything(admin) == before


async def everything(admin: Admin) -> dict[str, list[str]]:
    """Every row about documents."""
    tables = ("documents", "document_versions", "document_channels", "document_pieces", "passages")
    return {
        table: [str(row) for row in await admin.fetch(f"select * from enablebot.{table} as t order by t::text")]
        for table in tables
    }


async def test_a_stranger_sees_and_changes_nothing(
    ada: Visitor, new_visitor: NewVisitor, database: Database, admin: Admin
) -> None:
    address = await added(ada, database)
    token, before, stranger = await token_of(ada), await everything(admin), new_visitor()
    headers = OWN | {"X-CSRF-Token": token}
    for method, path in [
        ("GET", KNOWLEDGE),
        ("GET", f"{KNOWLEDGE}/search?query=notice"),
        ("POST", KNOWLEDGE),
        *((method, address + tail) for tail in ONE_DOCUMENT for method in ("GET", "POST")),
    ]:
        response = await stranger.http.request(method, path, headers=headers)
        assert response.status_code in {401, 405}, (method, path)
        assert "eight weeks" not in response.text
    body = Pulled([file_part("notes.txt", b"a" * 1000), END])
    assert (await post(stranger, body, headers=headers)).status_code == 401
    assert body.taken == 0
    assert await everything(admin) == before


async def test_a_form_of_another_site_or_without_a_token_changes_nothing(
    ada: Visitor, database: Database, admin: Admin
) -> None:
    address = await added(ada, database)
    token, before = await token_of(ada), await everything(admin)
    for tail in ("/delete", "/restore", "/reindex", "/channels"):
        good = {"csrf_token": token, "seen_by": "chosen", "channel": "C0GENERAL"}
        for headers in FOREIGN:
            assert (await ada.http.post(address + tail, data=good, headers=headers)).status_code == 403
        for sent in ("", "0" * 64):
            assert (
                await ada.http.post(address + tail, data=good | {"csrf_token": sent}, headers=OWN)
            ).status_code == 403
        assert (await ada.http.get(address + tail, params=good, headers=OWN)).status_code == 405
    assert await everything(admin) == before
