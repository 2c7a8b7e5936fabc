from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from enablebot.sandbox.app import Installed, Sandbox
from enablebot.tests.sandbox.conftest import ACME, Page
from enablebot.tests.sandbox.played_app import PlayedApp

pytestmark = pytest.mark.anyio


async def spoken(page: Page, sandbox: Sandbox, **given: Any) -> list[dict[str, Any]]:
    """What the crowd said, once it has said all of it."""
    answer = await page.post("talk", **{"messages": 60, "per_second": 2000, "seed": 7, **given})
    assert answer["http"] == 200, answer
    await sandbox.changes.wait_for(lambda: len(sandbox.crowd.said) == given.get("messages", 60))
    await sandbox.settled()
    said: list[dict[str, Any]] = (await page.get("crowd"))["said"]
    return said


async def test_workspaces_come_on_order_with_the_app_in_every_channel(page: Page, sandbox: Sandbox) -> None:
    made = await page.post("crowd", workspaces=12, channels=2)
    installs = made["installs"]
    assert len({one["team"] for one in installs}) == 12
    assert len({one["bot_user"] for one in installs}) == 12, "each workspace has a bot of its own"
    assert len({one["token"] for one in installs}) == 12
    for one in installs:
        rooms = [c for c in sandbox.world.channels.values() if c.team == one["team"]]
        assert [one["bot_user"] in room.members for room in rooms] == [True, True]
    again = await page.post("crowd", workspaces=1, channels=1)
    assert again["installs"][0]["team"] not in {one["team"] for one in installs}


async def test_a_crowd_mentions_writes_directly_follows_up_and_talks_aside(
    page: Page, sandbox: Sandbox, played_app: PlayedApp
) -> None:
    await page.post("crowd", workspaces=3, channels=2)
    said = await spoken(page, sandbox)
    assert {one["talk"] for one in said} == {"mention", "follow_up", "dm", "aside"}
    assert len({one["team"] for one in said}) == 3
    assert len({one["token"] for one in said}) == len(said), "each message has a word of its own"
    assert {one["talk"] for one in said if not one["asks"]} == {"aside"}
    mentioned = {event["ts"] for heard in played_app.heard if (event := heard.event)["type"] == "app_mention"}
    assert mentioned == {one["ts"] for one in said if one["talk"] in ("mention", "follow_up")}
    threads = {one["ts"] for one in said if one["talk"] == "mention"}
    assert {one["thread_ts"] for one in said if one["talk"] == "follow_up"} <= threads


async def test_the_same_seed_says_the_same(page: Page, sandbox: Sandbox) -> None:
    async def talk() -> list[tuple[str, str]]:
        await page.post("crowd", workspaces=3, channels=2)
        return [(one["talk"], one["token"]) for one in await spoken(page, sandbox)]

    first = await talk()
    await page.post("reset")
    assert await talk() == first


async def test_an_edit_changes_a_question_and_asks_nothing_new(
    page: Page, sandbox: Sandbox, played_app: PlayedApp
) -> None:
    await page.post("crowd", workspaces=1, channels=1)
    said = await spoken(page, sandbox, mix={"mention": 1, "edit": 1})
    edits = [one for one in said if one["talk"] == "edit"]
    assert edits
    assert not any(one["asks"] for one in edits)
    subtypes = [heard.event.get("subtype") for heard in played_app.heard]
    assert subtypes.count("message_changed") == len(edits)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"mix": {"shout": 1}}, "does not know how to shout"),
        ({"messages": 100_000, "twice": True}, "is talking already"),
        ({"nobody": True}, "there is no crowd"),
    ],
)
async def test_what_a_crowd_cannot_do_is_refused(page: Page, wrong: dict[str, Any], error: str) -> None:
    given = {"messages": 1, "per_second": 1, **wrong}
    if not given.pop("nobody", False):
        await page.post("crowd", workspaces=1, channels=1)
    if given.pop("twice", False):
        await page.post("talk", **given)
    refused = await page.post("talk", **given)
    assert refused["http"] == 400
    assert error in refused["error"]
    await page.post("talk", messages=0)


async def test_hushed_a_crowd_falls_silent(page: Page) -> None:
    await page.post("crowd", workspaces=1, channels=1)
    await page.post("talk", messages=100_000, per_second=10)
    assert (await page.get("progress"))["talking"] is True
    await page.post("talk", messages=0)
    assert (await page.get("progress"))["talking"] is False


async def test_shown_are_the_bot_s_messages_of_all_workspaces_and_nobody_else_s(
    page: Page, sandbox: Sandbox, acme: Installed
) -> None:
    (other,) = (await page.post("crowd", workspaces=1, channels=1))["installs"]
    for token, channel in ((acme.token, "C0GENERAL"), (other["token"], "C0CROWD000N0")):
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{sandbox.base_url}/api/chat.postMessage"
        async with page.http.post(url, json={"channel": channel, "text": "hello"}, headers=headers) as response:
            assert (await response.json())["ok"]
    await page.post("messages", team=ACME, channel="C0GENERAL", user="U0ADA", text="hello yourself")
    shown = (await page.get("shown"))["messages"]
    assert [(one["team"], one["text"]) for one in shown] == [(ACME, "hello"), (other["team"], "hello")]


async def test_further_instances_of_the_app_get_their_turn(sandbox: Sandbox, acme: Installed) -> None:
    heard: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        heard.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_post("/{name}", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    sandbox.config_urls(events_url=f"{url}/one")
    sandbox.urls.more_events_urls = (f"{url}/two", f"{url}/three")
    for _ in range(6):
        await sandbox.post(team=ACME, channel="@bot", user="U0ADA", text="hi")
        await sandbox.settled()
    await runner.cleanup()
    assert sorted(heard) == sorted(["/one", "/two", "/three"] * 2)


async def test_a_new_address_takes_the_place_of_all_instances(sandbox: Sandbox) -> None:
    sandbox.urls.more_events_urls = ("http://127.0.0.1:9/",)
    sandbox.config_urls(events_url="http://127.0.0.1:8/")
    assert not sandbox.urls.more_events_urls


async def test_the_ledger_says_what_message_an_event_is_about(page: Page, sandbox: Sandbox, acme: Installed) -> None:
    ts = await sandbox.post(team=ACME, channel="@bot", user="U0ADA", text="hi")
    await sandbox.settled()
    (delivery,) = (await page.get("ledger"))["deliveries"]
    assert (delivery["channel"], delivery["ts"], delivery["user"], delivery["subtype"]) == ("D0ADA", ts, "U0ADA", "")
