"""What people see: complete, readable, from one host only, and without anything that a strict policy would refuse."""

import gzip
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest

from enablebot.config.settings import SLACK_BASE_URL
from enablebot.shared.database.models import OverviewInstallationRow, OverviewRow, OverviewTenantRow
from enablebot.shared.models.installation import REQUIRED_SCOPES
from enablebot.tests.web.conftest import NewVisitor
from enablebot.tests.web.knowing import JSON, add
from enablebot.tests.web.reading import Page
from enablebot.tests.web.visiting import Visitor
from enablebot.web import notices
from enablebot.web.assets import STATIC_DIRECTORY, Assets
from enablebot.web.dashboard.moment import moment
from enablebot.web.dashboard.overview import overview_page
from enablebot.web.dashboard.scopes import granted_in_words, missing_in_words
from enablebot.web.notices import Notice
from enablebot.web.pages import Pages

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
JSON_ONLY = {"Accept": "application/json"}


def all_notices() -> Iterator[Notice]:
    yield from (value for value in vars(notices).values() if isinstance(value, Notice))
    for status in (400, 401, 403, 404, 405, 409, 413, 418, 422, 500, 502, 503):
        yield notices.notice_for(status, "some_code", "A sentence of the error's own.")


async def every_page(visitor: Visitor) -> dict[str, Page]:
    landing = await visitor.get("/")
    await visitor.install(scopes="chat:write")
    document = (await add(visitor, ("notes.txt", b"Lunch is at noon."), headers=JSON)).json()["href"]
    await add(visitor, ("old.txt", b"Lunch was at one."))
    pages = {
        "landing": landing,
        "landing, signed in": await visitor.get("/"),
        "dashboard": await visitor.get("/dashboard"),
        "knowledge": await visitor.get("/dashboard/knowledge"),
        "document": await visitor.get(document),
        "search": await visitor.get("/dashboard/knowledge/search?query=notice"),
        "nothing there": await visitor.get("/nothing"),
    }
    return {name: Page(response.text) for name, response in pages.items()}


async def test_the_landing_page_says_what_it_does_and_what_it_costs_to_trust_it(visitor: Visitor) -> None:
    page = Page((await visitor.get("/")).text)
    assert "/slack/install" in page.addresses()
    for sentence in (
        "Add to Slack",
        "answers questions in channels, threads and direct messages",
        "Sources",
        "EnableBot uses AI and can be wrong.",
        "large language model",
        "What does it read?",
        "What does it keep?",
        "Who else sees it?",
        "How do I stop it?",
    ):
        assert sentence in page.text


async def test_the_landing_page_needs_no_database(broken: Visitor) -> None:
    assert (await broken.get("/")).status_code == 200


async def test_every_page_is_whole_and_from_this_host_only(visitor: Visitor) -> None:
    for name, page in (await every_page(visitor)).items():
        assert page.unclosed == [], name
        assert not any(tag in {"style", "iframe", "object", "embed", "base"} for tag, _ in page.elements), name
        assert all(not attribute.startswith("on") for _, attributes in page.elements for attribute in attributes), name
        assert all("style" not in attributes for _, attributes in page.elements), name
        assert all(script.get("src", "").startswith("/static/") for script in page.all("script")), name
        for address in page.addresses():
            assert re.match(r"(/|#)(?!/)", address), (name, address)
            if address.startswith("/static/"):
                assert (await visitor.get(address)).status_code == 200, address


async def test_every_page_can_be_read_aloud_and_walked_by_keyboard(visitor: Visitor) -> None:
    for name, page in (await every_page(visitor)).items():
        tags = [tag for tag, _ in page.elements]
        assert page.all("html") == [{"lang": "en"}], name
        assert (tags.count("main"), tags.count("h1"), tags.count("header"), tags.count("footer")) == (1, 1, 1, 1), name
        assert page.text_of("title"), name
        assert page.all("a")[0]["href"] == "#content", name
        assert page.all("main")[0]["id"] == "content", name
        assert all("alt" in image for image in page.all("img")), name
        assert all(svg.get("aria-hidden") == "true" or "aria-label" in svg for svg in page.all("svg")), name
        levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
        assert all(after - before <= 1 for before, after in pairwise(levels)), name
        ids = {attributes["id"] for _, attributes in page.attributes if "id" in attributes}
        for _, attributes in page.attributes:
            for reference in attributes.get("aria-labelledby", "").split():
                assert reference in ids, (name, reference)
        assert all("aria-label" in navigation for navigation in page.all("nav")), name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(scheme: str) -> None:
    style = (STATIC_DIRECTORY / "enablebot.css").read_text()
    light, dark = style.split("@media (prefers-color-scheme: dark)")[:2]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light))
    if scheme == "dark":
        colours |= dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", dark.split("*, *::before")[0]))
    pairs = [(text, back) for text in ("ink", "soft", "accent") for back in ("paper", "band", "card")]
    pairs += [("ink", "warn-soft"), ("soft", "warn-soft"), ("warn", "card"), ("warn", "warn-soft")]
    pairs += [("accent-ink", "accent"), ("accent", "accent-soft"), ("ink", "accent-soft"), ("marker-ink", "marker")]
    pairs += [("ink", "marker")]
    for text, back in pairs:
        assert contrast(colours[text], colours[back]) >= 4.5, (text, back)


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio of two #rrggbb colours."""
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("notice", [*all_notices()], ids=lambda notice: f"{notice.status}-{notice.code}")
def test_every_failure_says_what_happened_why_and_what_to_do(notice: Notice) -> None:
    response = Pages(Assets()).notice(notice, request_id="0123456789abcdef")
    page = Page(bytes(response.body).decode())
    assert response.status_code == notice.status >= 400
    for words in (notice.title, notice.happened, notice.why, notice.remedy):
        assert words.endswith(".") or words is notice.title
        assert words in page.text
    assert {action.href for action in notice.actions} <= set(page.addresses())
    assert ("0123456789abcdef" in page.text) == (notice.status >= 500)


async def test_pages_answer_head_as_they_answer_get(visitor: Visitor) -> None:
    for address in ("/", "/dashboard", "/static/mark.svg", "/nothing"):
        head, got = await visitor.http.head(address), await visitor.get(address)
        assert head.status_code == got.status_code
        assert head.headers["content-type"] == got.headers["content-type"]


@pytest.mark.parametrize(
    ("method", "address", "status", "code", "words"),
    [
        ("GET", "/nothing", 404, "not_found", "There is no such page"),
        ("POST", "/", 405, "method_not_allowed", "This address does not work that way"),
        ("GET", "/slack/oauth_redirect?code=" + "a" * 2000, 422, "invalid_request", "is not valid"),
        ("GET", "/dashboard", 401, "not_signed_in", "You are not signed in"),
    ],
)
async def test_failures_are_pages_for_people_and_json_for_programs(
    visitor: Visitor, method: str, address: str, status: int, code: str, words: str
) -> None:
    page = await visitor.http.request(method, address)
    assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert words in page.text
    data = await visitor.http.request(method, address, headers=JSON_ONLY)
    assert (data.status_code, data.headers["content-type"]) == (status, "application/json")
    error = data.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert error["request_id"] == data.headers["x-request-id"]


async def test_a_broken_database_is_a_page_and_its_fault_stays_inside(broken: Visitor) -> None:
    response = await broken.get("/slack/install")
    assert response.status_code == 503
    assert "EnableBot cannot reach its database" in response.text
    assert "played-password" not in response.text
    assert "retry-after" in response.headers


async def test_what_nobody_foresaw_is_a_page_with_a_reference(crashing: Visitor) -> None:
    response = await crashing.get("/slack/install")
    assert response.status_code == 500
    assert "Something broke on our side" in response.text
    assert response.headers["x-request-id"] in response.text
    assert "played-password" not in response.text


async def test_files_are_named_by_their_content_and_kept_for_a_year(visitor: Visitor) -> None:
    assets = Assets()
    for name in ("enablebot.css", "mark.svg", "copy.js"):
        response = await visitor.get(assets.url(name))
        assert response.status_code == 200
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert response.content == (STATIC_DIRECTORY / name).read_bytes()
        again = await visitor.get(assets.url(name), headers={"If-None-Match": response.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_a_file_of_another_release_is_not_kept(visitor: Visitor) -> None:
    for address in ("/static/enablebot.css", "/static/enablebot.css?v=0123456789abcdef"):
        response = await visitor.get(address)
        assert response.status_code == 200
        assert response.headers["cache-control"] == "public, no-cache"


async def test_files_travel_compressed(visitor: Visitor) -> None:
    request = visitor.http.build_request("GET", "/static/enablebot.css", headers={"Accept-Encoding": "gzip"})
    response = await visitor.http.send(request, stream=True)
    raw = b"".join([part async for part in response.aiter_raw()])
    assert response.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == (STATIC_DIRECTORY / "enablebot.css").read_bytes()
    plain = await visitor.get("/static/enablebot.css", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize(
    "name",
    ["nothing.css", "../main.py", "..%2fmain.py", "%2e%2e/main.py", "....//main.py", "/etc/passwd", ".", "", "a\x00b"],
)
async def test_only_our_own_files_are_served(visitor: Visitor, name: str) -> None:
    response = await visitor.get("/static/" + name.replace("\x00", "%00"))
    assert response.status_code == 404
    assert response.headers["cache-control"] == "no-store"


async def test_the_whole_landing_page_weighs_little(visitor: Visitor) -> None:
    page = Page((await visitor.get("/")).text)
    weight = len(gzip.compress(page.source.encode()))
    for address in {address for address in page.addresses() if address.startswith("/static/")}:
        weight += len(gzip.compress((await visitor.get(address)).content))
    assert weight < 20_000


def overview(**changes: object) -> OverviewRow:
    installation = OverviewInstallationRow(
        id=uuid4(),
        team_id="T1",
        enterprise_id=None,
        is_org_wide=False,
        app_id="A1",
        bot_user_id="U1",
        scopes=REQUIRED_SCOPES,
        installed_by="U2",
        installed_at=NOW - timedelta(hours=3),
        status="active",
    )
    tenant = OverviewTenantRow(
        id=uuid4(), kind="workspace", team_id="T1", enterprise_id=None, name="Acme", status="active", created_at=NOW
    )
    row = OverviewRow(
        tenant=tenant,
        installation=installation,
        last_event_at=None,
        last_answer_at=None,
        waiting=0,
        answered=0,
        failed=0,
        set_aside=0,
    )
    return row.model_copy(update=changes)


def test_the_dashboard_tells_a_fresh_installation_from_one_in_use() -> None:
    fresh = overview_page(overview(), now=NOW, slack_url=SLACK_BASE_URL)
    used = overview_page(overview(last_event_at=NOW, last_answer_at=NOW, answered=2), now=NOW, slack_url=SLACK_BASE_URL)
    assert (fresh.status.is_well, used.status.is_well) == (True, True)
    assert "Nobody has written to it yet" in fresh.status.explanation
    assert "messages arrive" in used.status.explanation
    for page in (fresh, used):
        assert page.status.action is not None
        assert page.status.action.href == "https://slack.com/app_redirect?app=A1&team=T1"
    assert (fresh.steps[0].is_done, used.steps[0].is_done) == (False, True)
    assert fresh.added is not None
    assert fresh.added.ago == "3 hours ago"


def test_the_dashboard_says_when_the_app_is_gone_or_paused() -> None:
    row = overview()
    gone = overview_page(overview(installation=None), now=NOW, slack_url=SLACK_BASE_URL)
    paused = overview_page(
        overview(tenant=row.tenant.model_copy(update={"status": "paused"})), now=NOW, slack_url=SLACK_BASE_URL
    )
    assert gone.status.action is not None
    assert gone.status.action.href == "/slack/install"
    assert "not in this workspace any more" in gone.status.headline
    assert (gone.granted, gone.missing, gone.added) == ((), (), None)
    assert paused.status.headline == "EnableBot is paused"


@pytest.mark.parametrize("missing", REQUIRED_SCOPES)
def test_each_missing_scope_is_named_with_what_does_not_work_without_it(missing: str) -> None:
    row = overview()
    assert row.installation is not None
    scopes = tuple(scope for scope in REQUIRED_SCOPES if scope != missing)
    page = overview_page(
        overview(installation=row.installation.model_copy(update={"scopes": scopes})), now=NOW, slack_url=SLACK_BASE_URL
    )
    assert not page.status.is_well
    assert page.status.headline == "One permission is missing"
    assert [scope.name for scope in page.missing] == [missing]
    assert page.missing[0].without.startswith(("EnableBot", "In ", "Direct"))
    assert {scope.name for scope in page.granted} == set(scopes)


def test_every_scope_we_ask_for_has_words() -> None:
    assert not any("does not use" in scope.words for scope in granted_in_words(REQUIRED_SCOPES))
    assert [scope.name for scope in missing_in_words(())] == [scope.name for scope in granted_in_words(REQUIRED_SCOPES)]
    assert "does not use" in granted_in_words(["reactions:read"])[0].words


@pytest.mark.parametrize(
    ("seconds", "ago"),
    [
        (-5, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (3599, "59 minutes ago"),
        (3600, "1 hour ago"),
        (86_399, "23 hours ago"),
        (86_400, "1 day ago"),
        (14 * 86_400 - 1, "13 days ago"),
        (14 * 86_400, "8 November 2026"),
    ],
)
def test_time_is_told_as_people_tell_it(seconds: int, ago: str) -> None:
    told = moment(NOW - timedelta(seconds=seconds), now=NOW)
    assert told is not None
    assert told.ago == ago
    assert told.exact.endswith("UTC")


async def test_the_landing_page_offers_the_dashboard_to_those_who_have_been_there(new_visitor: NewVisitor) -> None:
    visitor = new_visitor()
    assert "/dashboard" not in Page((await visitor.get("/")).text).addresses()
    await visitor.install()
    assert "/dashboard" in Page((await visitor.get("/")).text).addresses()


def test_the_service_loads_neither_model_nor_bolt_nor_supabase_and_slack_only_when_needed() -> None:
    code = "import sys, enablebot.scripts.start_web; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "enablebot.web.main" in loaded
    assert not {"openai", "slack_bolt", "supabase", "postgrest", "sqlalchemy", "slack_sdk", "aiohttp"} & set(loaded)
