"""The sandbox's chat page in a real browser: what a person sees, clicks and writes."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from enablebot.sandbox.app import SandboxConfig
from enablebot.sandbox.sandbox import Sandbox
from enablebot.sandbox.server import running

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

ACME, GLOBEX = "T0SANDBOX1", "T0SANDBOX2"
BUTTONS = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "*Something* went wrong."}},
    {
        "type": "actions",
        "elements": [
            {"type": "button", "action_id": "retry", "value": "q1", "text": {"type": "plain_text", "text": "Try again"}}
        ],
    },
]


@dataclass(slots=True)
class App:
    """The app behind the bot: what it was sent, and its hand on the Web API."""

    sandbox: Sandbox
    events: list[dict[str, Any]] = field(default_factory=list)
    clicks: list[dict[str, Any]] = field(default_factory=list)

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Calls the played Slack as the bot of Acme."""
        token = self.sandbox.world.installs[ACME].token
        url = f"{self.sandbox.base_url}/api/{method}"
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
            session.post(url, json=arguments) as response,
        ):
            answer: dict[str, Any] = await response.json()
        assert answer["ok"], (method, answer)
        return answer

    async def stream(self, root: str, text: str, *, channel: str = "C0GENERAL") -> str:
        """Starts a stream to Ada in a thread and returns its `ts`."""
        started = await self.call(
            "chat.startStream",
            channel=channel,
            thread_ts=root,
            recipient_user_id="U0ADA",
            recipient_team_id=ACME,
            markdown_text=text,
        )
        return str(started["ts"])


@asynccontextmanager
async def _listening(app: App) -> AsyncIterator[str]:
    async def hear(request: web.Request) -> web.Response:
        app.events.append((await request.json())["event"])
        return web.Response()

    async def take_click(request: web.Request) -> web.Response:
        app.clicks.append(json.loads(str((await request.post())["payload"])))
        return web.Response()

    server = web.Application()
    server.router.add_post("/events", hear)
    server.router.add_post("/interactions", take_click)
    runner = web.AppRunner(server)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def app() -> AsyncIterator[App]:
    config = SandboxConfig(
        time_scale=0.01, stream_seconds=30_000, redirect_url="http://localhost:8000/slack/oauth_redirect"
    )
    async with running(config) as sandbox:
        app = App(sandbox)
        async with _listening(app) as url:
            sandbox.config_urls(events_url=f"{url}/events", interactions_url=f"{url}/interactions")
            yield app


@pytest.fixture
async def page(app: App, browser_page: Page) -> Page:
    """The page as Ada in #general of Acme, where the bot is installed."""
    app.sandbox.install(ACME)
    return await _open(browser_page, app)


async def _open(page: Page, app: App, place: str = "") -> Page:
    await page.goto(f"{app.sandbox.base_url}/{place}")
    await page.wait_for_selector("body[data-ready]")
    return page


async def _say(page: Page, text: str, *, field: str = "Message") -> None:
    await page.get_by_label(field, exact=True).fill(text)
    await page.get_by_label(field, exact=True).press("Enter")


async def test_a_stranger_is_told_what_this_is_and_how_to_install(app: App, browser_page: Page) -> None:
    page = await _open(browser_page, app)

    await expect(page.locator(".banner")).to_contain_text("Nothing you write here leaves this machine")
    link = page.get_by_role("link", name="Install EnableBot")
    await expect(link).to_have_attribute("href", "http://localhost:8000/")
    app.sandbox.install(ACME)
    await expect(link).to_have_count(0)
    await expect(page.get_by_role("button", name="Say hello")).to_be_visible()


async def test_the_bot_cannot_be_written_to_before_it_is_installed(app: App, browser_page: Page) -> None:
    page = await _open(browser_page, app)
    await page.get_by_role("button", name="EnableBot").click()

    await expect(page.get_by_label("Message", exact=True)).to_be_disabled()
    app.sandbox.install(ACME)
    await expect(page.get_by_label("Message", exact=True)).to_be_enabled()


async def test_enter_sends_and_shift_enter_starts_a_line(app: App, page: Page) -> None:
    field = page.get_by_label("Message", exact=True)
    await field.fill("first")
    await field.press("Shift+Enter")
    await field.press_sequentially("second @EnableBot")
    await field.press("Enter")

    await expect(page.locator("#channel .message")).to_contain_text("first")
    await expect(page.locator("#channel .message .mention")).to_have_text("@EnableBot")
    await expect(field).to_have_value("")
    (message,) = app.sandbox.messages(ACME, "C0GENERAL")
    assert message["user"] == "U0ADA"
    assert re.fullmatch(r"first\nsecond <@U0BOT\w+>", message["text"])


async def test_an_answer_arrives_live_in_a_thread_that_opens_by_itself(app: App, page: Page) -> None:
    await _say(page, "@EnableBot what is new?")
    await page.wait_for_selector("#channel .message")
    root = app.sandbox.messages(ACME, "C0GENERAL")[0]["ts"]
    ts = await app.stream(root, "It is **new")
    thread = page.locator("#thread")

    await expect(thread.locator(".caret")).to_be_visible()
    await app.call("chat.appendStream", channel="C0GENERAL", ts=ts, markdown_text="s**:\n\n- one\n- two")
    await expect(thread.locator(".message strong").last).to_have_text("news")
    await expect(thread.locator("li")).to_have_text(["one", "two"])
    await expect(page.locator("#announcer")).to_be_empty()
    await app.call("chat.stopStream", channel="C0GENERAL", ts=ts)
    await expect(thread.locator(".caret")).to_have_count(0)
    await expect(page.locator("#channel .thread-link")).to_contain_text("1 reply")
    await expect(page.locator("#announcer p")).to_have_text(re.compile(r"^EnableBot: It is"))


async def test_the_stop_button_ends_a_running_answer(app: App, page: Page) -> None:
    await _say(page, "@EnableBot tell me everything")
    await page.wait_for_selector("#channel .message")
    root = app.sandbox.messages(ACME, "C0GENERAL")[0]["ts"]
    ts = await app.stream(root, "Everything began")

    await page.locator("#thread").get_by_role("button", name="Stop").click()

    await expect(page.locator("#thread .caret")).to_have_count(0)
    await app.sandbox.wait_for(lambda: [event for event in app.events if event["type"] == "agent_session_stopped"])
    (stopped,) = [event for event in app.events if event["type"] == "agent_session_stopped"]
    assert (stopped["user"], stopped["streaming_message_ts"]) == ("U0ADA", [ts])


async def test_the_bot_at_work_is_shown_until_it_is_done(app: App, page: Page) -> None:
    await _open(page, app, "#/T0SANDBOX1/U0ADA/bot")
    await _say(page, "Are you there?")
    await page.wait_for_selector("#channel .message")
    root = app.sandbox.messages(ACME, "@bot/U0ADA")[0]["ts"]

    await app.call("agents.sessions.setStatus", channel_id="D0ADA", thread_ts=root, status="processing")
    await expect(page.locator(".working")).to_contain_text("EnableBot is working…")
    await app.call("agents.sessions.setStatus", channel_id="D0ADA", thread_ts=root, status="active")
    await expect(page.locator(".working")).to_have_count(0)


async def test_text_is_shown_and_never_becomes_part_of_the_page(app: App, page: Page) -> None:
    await _say(page, '<img src=x onerror="document.title=1"> & <script>document.title=2</script>')
    hostile = (
        "[go](javascript:alert(1)) <img src=x> ![p](https://evil.example/p.png) **<b>bold</b>** <javascript:alert(1)|x>"
    )
    await app.call("chat.postMessage", channel="C0GENERAL", markdown_text=hostile)
    messages = page.locator("#channel .message")

    await expect(messages).to_have_count(2)
    await expect(messages.first).to_contain_text("<script>document.title=2</script>")
    await expect(messages.last).to_contain_text("<b>bold</b>")
    assert await page.locator(".message img, .message script, .message b").count() == 0
    hrefs = await page.locator(".message a").evaluate_all("links => links.map(link => link.href)")
    assert [href for href in hrefs if not href.startswith("https://")] == []
    assert "sandbox" in await page.title()


async def test_markdown_is_drawn(app: App, page: Page) -> None:
    text = "## Plan\n\n1. *one* `x < y`\n2. [docs](https://example.com)\n\n> quoted\n\n```\ncode & more\n```\n\n"
    text += "|a|b|\n|-|-|\n|1|2|"
    await app.call("chat.postMessage", channel="C0GENERAL", markdown_text=text)
    body = page.locator("#channel .message-body")

    await expect(body.get_by_role("heading", name="Plan")).to_be_visible()
    await expect(body.locator("ol > li em")).to_have_text("one")
    await expect(body.locator("ol code")).to_have_text("x < y")
    await expect(body.get_by_role("link", name="docs")).to_have_attribute("rel", re.compile("noopener"))
    await expect(body.locator("blockquote")).to_have_text("quoted")
    await expect(body.locator("pre")).to_have_text("code & more")
    await expect(body.locator("tbody td")).to_have_text(["1", "2"])


async def test_a_reply_stays_in_its_thread_and_escape_closes_it(app: App, page: Page) -> None:
    await _say(page, "Who is in?")
    await page.locator("#channel .message").hover()
    await page.get_by_role("button", name="Reply in thread").click()
    await _say(page, "I am", field="Reply")

    await expect(page.locator("#thread .message")).to_have_count(2)
    await expect(page.locator("#channel .message")).to_have_count(1)
    await page.keyboard.press("Escape")
    await expect(page.locator("#thread")).to_be_hidden()
    root, reply = app.sandbox.messages(ACME, "C0GENERAL")
    assert (reply["text"], reply["thread_ts"]) == ("I am", root["ts"])


async def test_a_direct_message_follows_up_until_a_new_topic_is_begun(app: App, page: Page) -> None:
    await page.get_by_role("button", name="EnableBot", exact=True).click()
    await _say(page, "The launch is on Friday.")
    await page.wait_for_selector("#channel .message")
    first = app.sandbox.messages(ACME, "@bot/U0ADA")[0]["ts"]
    ts = await app.stream(first, "Noted.", channel="D0ADA")
    await app.call("chat.stopStream", channel="D0ADA", ts=ts)

    await expect(page.locator("#channel-foot")).to_contain_text("Follow-up to “The launch is on Friday.”")
    await _say(page, "When is it?")
    await expect(page.locator("#channel .message")).to_have_count(3)
    await page.get_by_role("button", name="New topic").click()
    await _say(page, "Something else")
    await expect(page.locator("#channel .message")).to_have_count(4)
    threads = [message.get("thread_ts") for message in app.sandbox.messages(ACME, "@bot/U0ADA")]
    assert threads == [first, first, first, None]


async def test_a_button_presses_for_the_person_on_screen(app: App, page: Page) -> None:
    await app.call("chat.postMessage", channel="C0GENERAL", text="fallback", blocks=BUTTONS)
    await expect(page.locator("#channel .message")).not_to_contain_text("fallback")
    await page.get_by_role("button", name="Ben").click()
    await page.get_by_role("button", name="Try again").click()

    await app.sandbox.wait_for(lambda: app.clicks)
    (click,) = app.clicks
    assert click["user"]["id"] == "U0BEN"
    assert (click["actions"][0]["action_id"], click["actions"][0]["value"]) == ("retry", "q1")


async def test_a_click_the_app_does_not_take_is_said(app: App, page: Page) -> None:
    await app.call("chat.postMessage", channel="C0GENERAL", text="fallback", blocks=BUTTONS)
    app.sandbox.config_urls(interactions_url=f"{app.sandbox.base_url}/nowhere")
    await page.get_by_role("button", name="Try again").click()

    await expect(page.locator(".toast")).to_contain_text("did not take the click")


async def test_people_and_workspaces_are_kept_apart(app: App, page: Page) -> None:
    await page.get_by_role("button", name="Ben").click()
    await _say(page, "Ben was here")
    await expect(page.locator("#channel .message-head strong")).to_have_text("Ben")
    await page.get_by_role("button", name="Workspace Globex").click()

    await expect(page.locator("#rail h1")).to_have_text("Globex")
    await expect(page.locator("#channel .message")).to_have_count(0)
    await expect(page.get_by_role("link", name="Install EnableBot")).to_be_visible()
    await page.get_by_role("button", name="Workspace Acme").click()
    await expect(page.locator("#channel .message")).to_have_count(1)
    assert app.sandbox.messages(ACME, "C0GENERAL")[0]["user"] == "U0BEN"


async def test_the_bot_is_invited_where_it_is_missing(app: App, page: Page) -> None:
    await page.get_by_role("button", name="random").click()
    await page.get_by_role("button", name="Invite EnableBot").click()

    await expect(page.get_by_role("button", name="Invite EnableBot")).to_have_count(0)
    assert "U0BOT1" in app.sandbox.world.channels["C0RANDOM"].members


async def test_the_delivery_log_tells_each_event_and_call(app: App, page: Page) -> None:
    await _say(page, "@EnableBot hello")
    await app.sandbox.wait_for(lambda: len(app.events) == 2)
    await app.sandbox.settled()
    await app.call("auth.test")
    await page.locator("#drawer summary").click()

    rows = page.locator("#drawer tbody tr")
    await expect(rows).to_have_count(2)
    await expect(rows.filter(has_text="app_mention")).to_contain_text(re.compile(r"Acme.*200.*ms.*Ev"))
    await page.get_by_role("button", name="Calls made").click()
    await expect(rows).to_contain_text("auth.test")
    await page.get_by_role("button", name="Violations").click()
    await expect(page.locator("#drawer")).to_contain_text("kept to Slack’s rules")


async def test_uninstalling_asks_first(app: App, page: Page) -> None:
    for answer in ("Cancel", "Uninstall"):
        await page.get_by_label("More about EnableBot").click()
        await page.get_by_role("button", name="Uninstall EnableBot…").click()
        await page.get_by_role("dialog").get_by_role("button", name=answer).click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        assert (ACME in app.sandbox.world.installs) or answer == "Uninstall"

    await expect(page.get_by_role("link", name="Install EnableBot")).to_be_visible()
    await app.sandbox.settled()
    assert {event["type"] for event in app.events} == {"app_uninstalled", "tokens_revoked"}


async def test_a_message_that_could_not_be_sent_is_kept(app: App, page: Page) -> None:
    await _say(page, "Are we there yet?")
    await page.locator("#channel .message").hover()
    await page.get_by_role("button", name="Reply in thread").click()
    await expect(page.locator("#thread .message")).to_have_count(1)
    await page.route("**/sandbox/api/messages", lambda route: route.abort())
    await _say(page, "Nearly", field="Reply")

    await expect(page.locator("#thread").get_by_role("alert")).to_contain_text("does not answer")
    await expect(page.get_by_label("Reply", exact=True)).to_have_value("Nearly")


async def test_a_phone_shows_one_thing_at_a_time(app: App, page: Page) -> None:
    await page.set_viewport_size({"width": 360, "height": 740})
    await _say(page, "a_very_long_word_" * 20)
    await expect(page.locator("#channel .message")).to_have_count(1)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await expect(page.locator("#rail")).not_to_be_visible()

    await page.get_by_role("button", name="Channels and people").click()
    await page.get_by_role("button", name="EnableBot", exact=True).click()
    await expect(page.locator("#channel-head")).to_contain_text("Direct messages of Ada")
    await expect(page.locator("#rail")).not_to_be_visible()


async def test_the_keyboard_reaches_everything_and_keeps_its_place(app: App, page: Page) -> None:
    random = page.get_by_role("button", name="random")
    await random.focus()
    await random.press("Enter")
    await expect(page.locator("#channel-head h2")).to_have_text("# random")
    await expect(random).to_be_focused()

    ben = page.get_by_role("button", name="Ben")
    await ben.focus()
    await ben.press("Space")
    await expect(ben).to_have_attribute("aria-pressed", "true")
    await expect(ben).to_be_focused()
    await page.locator(".skip").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Message", exact=True)).to_be_focused()


async def test_an_answer_elsewhere_is_marked_unread(app: App, page: Page) -> None:
    await app.sandbox.post(team=ACME, channel="C0RANDOM", user="U0BEN", text="psst")

    await expect(page.locator(".entry.unread")).to_contain_text("random")
    await page.get_by_role("button", name="random").click()
    await expect(page.locator(".entry.unread")).to_have_count(0)
    await expect(page.locator("#channel .message")).to_contain_text("psst")


async def test_a_reload_comes_back_to_the_same_thread(app: App, page: Page) -> None:
    await _say(page, "Who is in?")
    await page.locator("#channel .message").hover()
    await page.get_by_role("button", name="Reply in thread").click()
    await expect(page.locator("#thread .message")).to_have_count(1)
    await page.reload()

    await expect(page.locator("#thread .message")).to_contain_text("Who is in?")


async def test_everything_the_page_loads_is_its_own(app: App, browser_page: Page) -> None:
    asked: list[str] = []
    browser_page.on("request", lambda request: asked.append(request.url))
    response = await browser_page.goto(f"{app.sandbox.base_url}/")
    assert response is not None
    await browser_page.wait_for_selector("body[data-ready]")

    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "unsafe" not in policy
    assert len(asked) > 5
    assert [url for url in asked if not url.startswith(f"{app.sandbox.base_url}/")] == []


async def test_a_page_under_another_name_is_refused(app: App) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{app.sandbox.base_url}/", headers={"Host": "evil.example"}) as response,
    ):
        assert response.status == 403
