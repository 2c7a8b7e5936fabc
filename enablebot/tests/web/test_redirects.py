"""Open redirects: nothing a request says decides where a browser goes next."""

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from enablebot.sandbox.app import Sandbox
from enablebot.shared.database.operations import Database
from enablebot.tests.web.visiting import HTTP_URL, HTTPS_URL, Visitor, cookie_lines, opened, settings_for
from enablebot.web.main import create_app

pytestmark = pytest.mark.anyio

ELSEWHERE = [
    "https://evil.example",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "http://evil.example",
    "HTTPS://EVIL.EXAMPLE",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "/%2f%2fevil.example",
    "/%5cevil.example",
    "%2f%2fevil.example",
    "/dashboard@evil.example",
    "@evil.example",
    "https://bot.example.com@evil.example",
    "https://bot.example.com.evil.example",
    "https://evil.example#bot.example.com",
    "https://evil.example?bot.example.com",
    "https://evil.example\\@bot.example.com",
    "/dashboard\r\nLocation: https://evil.example",
    "/dashboard%0d%0aLocation:%20https://evil.example",
    "\t//evil.example",
    " //evil.example",
    "\n//evil.example",
    "\x00//evil.example",
    "/.evil.example",
    "/..//evil.example",
    "/./\\evil.example",
    "//evil.example/%2e%2e",
    "//evil%E3%80%82example",
    "//evil。example",
    "https://еvil.example",
    "//[::1]",
    "//0x7f000001",
    "//2130706433",
    "ftp://evil.example",
    "file:///etc/passwd",
    "//evil.example:443",
    "///evil.example/dashboard",
    "http:////evil.example",
    ".evil.example",
    "?next=//evil.example",
    "#//evil.example",
]


@pytest.mark.parametrize("name", ["next", "return_to", "redirect_uri"])
async def test_no_parameter_ever_decides_where_a_browser_is_sent(visitor: Visitor, sandbox: Sandbox, name: str) -> None:
    assert len(ELSEWHERE) == 50
    for payload in ELSEWHERE:
        response = await visitor.get("/slack/install", params={name: payload})
        location = urlsplit(response.headers["location"])
        assert f"{location.scheme}://{location.netloc}" == sandbox.base_url
        assert parse_qs(location.query)["redirect_uri"] == [f"{HTTPS_URL}/slack/oauth_redirect"]
        assert "evil" not in response.headers["location"]
    finished = visitor.consent(await visitor.begin())
    response = await visitor.get(f"{finished}&{urlencode({name: ELSEWHERE[0]})}")
    assert response.headers["location"] == "/dashboard"


async def test_no_header_ever_decides_where_a_browser_is_sent(visitor: Visitor, sandbox: Sandbox) -> None:
    for header in ("Host", "X-Forwarded-Host", "X-Original-Host", "Forwarded"):
        value = "host=evil.example" if header == "Forwarded" else "evil.example"
        response = await visitor.get("/slack/install", headers={header: value})
        assert response.headers["location"].startswith(f"{sandbox.base_url}/oauth/v2/authorize?")
        assert "evil" not in response.headers["location"]


async def test_no_tidying_of_an_address_sends_a_browser_to_the_host_it_named(visitor: Visitor) -> None:
    for address in ("/static", "/dashboard/", "//evil.example", "//evil.example/x", "/slack/install/"):
        response = await visitor.http.get(HTTPS_URL + address, headers={"Host": "evil.example"})
        assert response.status_code == 404, address
        assert "location" not in response.headers


async def test_on_this_machine_an_installation_starts_where_slack_will_come_back_to(
    web_database: Database, sandbox: Sandbox
) -> None:
    app = create_app(settings_for(sandbox.base_url, public_url=HTTP_URL), database=web_database)
    async with opened(app) as served:
        visitor = Visitor(served, sandbox, "http://127.0.0.1:8000")
        response = await visitor.get("/slack/install")
    assert response.headers["location"] == f"{HTTP_URL}/slack/install"
    assert not cookie_lines(response)
