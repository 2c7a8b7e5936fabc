"""Names, titles, texts, questions and channel names are shown as text, whatever is in them (SD-5)."""

import re
from dataclasses import replace

import pytest

from enablebot.sandbox.app import Sandbox
from enablebot.shared.database.operations import Database
from enablebot.tests.web.knowing import JSON, KNOWLEDGE, add, press, read_waiting
from enablebot.tests.web.reading import Page
from enablebot.tests.web.visiting import ACME, ADA, Visitor

pytestmark = pytest.mark.anyio

PAYLOADS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)' autofocus='",
    "` onload=alert(1) `",
    "<iframe src=javascript:alert(1)></iframe>",
    "<a href=javascript:alert(1)>x</a>",
    "javascript:alert(1)",
    "<body onload=alert(1)>",
    "<style>*{background:url(https://evil.example)}</style>",
    "<link rel=stylesheet href=https://evil.example>",
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<form action=https://evil.example><input name=q>",
    "<object data=https://evil.example></object>",
    "<math><mi xlink:href=javascript:alert(1)>x</mi></math>",
    "<details open ontoggle=alert(1)>",
    "<textarea><img src=x onerror=alert(1)>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "<!--><script>alert(1)</script>-->",
    "{{ 7 * 7 }}{% for x in [] %}",
    "{{ ''.__class__.__mro__ }}",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "\u202e<script>alert(1)</script>",
    "<ScRiPt\n>alert(1)</sCrIpT\t>",
]

Shape = tuple[str, tuple[str, ...]]


def shapes(source: str) -> set[Shape]:
    """The kinds of elements a page has, each with the names of its attributes."""
    return set(Page(source).elements)


def links(source: str) -> set[str]:
    """Where a page leads to, and what it fetches."""
    return {address.split("?")[0].split("#")[0] for address in Page(source).addresses()}


async def newest(visitor: Visitor) -> str:
    """The address of the newest document."""
    found = re.search(rf'href="({KNOWLEDGE}/[0-9a-f-]{{36}})"', (await visitor.get(KNOWLEDGE)).text)
    assert found is not None
    return found[1]


async def pages(visitor: Visitor, text: str) -> dict[str, str]:
    """Every page on which the text can appear."""
    id_ = (await newest(visitor))[-36:]
    looked = {
        "list": await visitor.get(KNOWLEDGE),
        "by name": await visitor.http.get(KNOWLEDGE, params={"q": text[:200]}),
        "document": await visitor.get(f"{KNOWLEDGE}/{id_}"),
        "search": await visitor.http.get(f"{KNOWLEDGE}/search", params={"query": f"canary {text}", "channel": text}),
        "found": await visitor.http.get(f"{KNOWLEDGE}/search", params={"query": f"canary {text}"}),
        "refused": await add(visitor, (text, b"")),
        "same": await add(visitor, (f"other {text}.txt", text.encode()), ("", b""), (f"none {text}.pdf", b"")),
    }
    await press(visitor, f"{KNOWLEDGE}/{id_}/delete")
    looked["deleted"] = await visitor.get(f"{KNOWLEDGE}?told=deleted:{id_}")
    return {name: response.text for name, response in looked.items()}


async def shown_with(visitor: Visitor, database: Database, text: str) -> dict[str, str]:
    """The pages once a file's name, its title and its text all hold the text."""
    content = (
        f"<title>canary {text}</title>\n<h1>canary</h1>\n<p>A canary that sings {text.replace('<', '&lt;')}.</p>\n"
    )
    await add(visitor, (f"canary {text}.html", b"<!doctype html><html><head>" + content.encode()))
    await read_waiting(database)
    return await pages(visitor, text)


# Several at once, as long as a file's name may be: whichever of them came alive would show.
HANDFULS = [" ".join(PAYLOADS[at : at + 6]) for at in range(0, len(PAYLOADS), 6)]


async def test_hostile_text_is_text_on_every_page(visitor: Visitor, database: Database) -> None:
    await visitor.install(team=ACME, user=ADA)
    plain = await shown_with(visitor, database, "plainly")
    known = {shape for source in plain.values() for shape in shapes(source)}
    for name, source in plain.items():
        assert "plainly" in source, name
    for handful in HANDFULS:
        hostile = await shown_with(visitor, database, handful)
        for name, source in hostile.items():
            assert_tame(source, known, (name, handful))
        if "{{ 7 * 7 }}" in handful:
            assert "{{ 7 * 7 }}" in Page(hostile["list"]).text


async def test_hostile_channel_names_are_text(visitor: Visitor, sandbox: Sandbox, database: Database) -> None:
    await visitor.install(team=ACME, user=ADA)
    general = sandbox.world.channels["C0GENERAL"]
    for number, payload in enumerate(PAYLOADS):
        sandbox.world.channels[f"C0EVIL{number}"] = replace(general, id=f"C0EVIL{number}", name=payload)
    general.name = "plainly"
    await shown_with(visitor, database, "plainly")
    await add(visitor, ("notes.txt", b"Lunch is at noon."))
    known = {shape for source in (await pages(visitor, "plainly")).values() for shape in shapes(source)}
    for address in (await newest(visitor), f"{KNOWLEDGE}/search?query=canary&channel=C0EVIL0"):
        source = (await visitor.get(address)).text
        assert "alert(1)" in Page(source).text
        assert_tame(source, known | {("option", ("value", "selected"))}, address)


def assert_tame(source: str, known: set[Shape], where: object) -> None:
    """Nothing but the elements a page has anyway, all of them closed, leading nowhere else."""
    assert shapes(source) <= known, where
    assert Page(source).unclosed == [], where
    for address in links(source):
        assert address.startswith(("/static/", "/dashboard", "/logout", "#")) or address in {"", "/"}, where


async def test_hostile_names_stay_data_in_json(visitor: Visitor) -> None:
    await visitor.install(team=ACME, user=ADA)
    for number, payload in enumerate(PAYLOADS):
        response = await add(visitor, (f"{payload}.txt", f"text {number}".encode()), headers=JSON)
        assert response.status_code == 200, payload
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.json()["href"].startswith(f"{KNOWLEDGE}/")


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/passwd.txt",
        "..\\..\\windows\\system.txt",
        "/etc/passwd.txt",
        "a\x00b.txt",
        "a\r\nContent-Type: text/html\r\n\r\nb.txt",
        "\u202etxt.exe.txt",
        "a" * 10_000 + ".txt",
        "名" * 10_000 + ".txt",
        "con.txt",
        " .txt",
        "%2e%2e%2f.txt",
        "\ud800.txt",
    ],
)
async def test_hostile_file_names_lead_to_one_document_and_one_clean_header(visitor: Visitor, name: str) -> None:
    await visitor.install(team=ACME, user=ADA)
    said = await add(visitor, (name.encode(errors="surrogatepass").decode(errors="replace"), b"text"), headers=JSON)
    assert said.status_code == 200, said.text
    shown = said.json()["name"]
    assert 0 < len(shown) <= 255
    assert shown.isprintable()
    assert not {"/", "\\", "\x00", "\r", "\n", "\u202e"} & set(shown)
    response = await visitor.get(said.json()["href"] + "/original")
    assert response.content == b"text"
    assert len(response.headers.get_list("content-disposition")) == 1
    assert response.headers["content-type"] == "application/octet-stream"
