"""Files as Slack plays them: uploads, what the app is told of them, and who gets their bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from enablebot.sandbox.app import Installed, Sandbox, SandboxConfig
from enablebot.sandbox.persistence import dump, load
from enablebot.sandbox.server import running
from enablebot.tests.sandbox.conftest import ACME, GLOBEX, Page
from enablebot.tests.sandbox.played_app import PlayedApp

pytestmark = pytest.mark.anyio
PDF = b"%PDF-1.7\nhandbook"


async def share(sandbox: Sandbox, *, text: str = "", channel: str = "@bot", **overrides: Any) -> dict[str, Any]:
    file_id = sandbox.upload(team=ACME, user="U0ADA", name="Hand Book.pdf", content=PDF, overrides=overrides)
    ts = await sandbox.post(team=ACME, channel=channel, user="U0ADA", text=text, files=[file_id])
    await sandbox.settled()
    return {"file": file_id, "ts": ts}


async def fetch(url: str, token: str | None = None) -> tuple[int, str, bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession() as http,
        http.get(url, headers=headers, allow_redirects=False) as response,
    ):
        return response.status, response.headers.get("content-type", ""), await response.read()


def url_of(sandbox: Sandbox, file_id: str) -> str:
    return str(sandbox.files.picture(sandbox.world.files[file_id])["url_private_download"])


async def test_a_file_in_the_dm_is_told_as_a_message_with_a_whole_file_object(
    sandbox: Sandbox, acme: Installed, played_app: PlayedApp
) -> None:
    shared = await share(sandbox)
    (event,) = played_app.events("message/file_share")
    assert (event["channel_type"], event["text"], event["ts"]) == ("im", "", shared["ts"])
    (file,) = event["files"]
    assert (file["id"], file["name"], file["size"]) == (shared["file"], "Hand Book.pdf", len(PDF))
    assert (file["mimetype"], file["filetype"], file["mode"]) == ("application/pdf", "pdf", "hosted")
    assert file["url_private_download"] == (
        f"{sandbox.base_url}/files-pri/{ACME}-{shared['file']}/download/hand_book.pdf"
    )
    assert file["ims"] == [event["channel"]]


async def test_a_mention_carries_the_files_of_its_message(
    sandbox: Sandbox, acme: Installed, played_app: PlayedApp
) -> None:
    shared = await share(sandbox, text="@EnableBot read this", channel="C0GENERAL")
    (mention,) = played_app.events("app_mention")
    assert [file["id"] for file in mention["files"]] == [shared["file"]]
    assert mention["files"][0]["channels"] == ["C0GENERAL"]


async def test_the_bytes_are_for_who_carries_a_token_of_the_workspace(sandbox: Sandbox, acme: Installed) -> None:
    globex = sandbox.install(GLOBEX)
    file = (await share(sandbox))["file"]
    assert await fetch(url_of(sandbox, file), acme.token) == (200, "application/pdf", PDF)
    # As Slack: no refusal that a program would notice, but a page for people.
    for token in (None, "xoxb-made-up", globex.token):
        status, kind, body = await fetch(url_of(sandbox, file), token)
        assert (status, kind.partition(";")[0]) == (200, "text/html")
        assert PDF not in body
    status, kind, _ = await fetch(url_of(sandbox, file), token=acme.token)
    assert (status, kind) == (200, "application/pdf")
    calls = [call for call in sandbox.ledger.calls if call.method == "files.download"]
    assert [call.ok for call in calls] == [True, False, False, False, True]


async def test_a_token_in_a_files_address_is_a_violation(sandbox: Sandbox, acme: Installed) -> None:
    file = (await share(sandbox))["file"]
    await fetch(f"{url_of(sandbox, file)}?token={acme.token}")
    assert [violation.kind for violation in sandbox.ledger.violations] == ["secret_in_query"]


async def test_without_files_read_there_is_no_file(sandbox: Sandbox, client_of: Any) -> None:
    poor = sandbox.install(ACME, scopes=("chat:write", "im:history"))
    file = (await share(sandbox))["file"]
    assert (await fetch(url_of(sandbox, file), poor.token))[1].startswith("text/html")
    with pytest.raises(SlackApiError) as refused:
        await client_of(poor.token).files_info(file=file)
    assert (refused.value.response["error"], refused.value.response["needed"]) == ("missing_scope", "files:read")


async def test_files_info_tells_what_a_stub_hides(
    sandbox: Sandbox, slack: AsyncWebClient, played_app: PlayedApp
) -> None:
    file = (await share(sandbox, file_access="check_file_info"))["file"]
    (event,) = played_app.events("message/file_share")
    assert set(event["files"][0]) == {"id", "created", "timestamp", "file_access"}
    info = (await slack.files_info(file=file))["file"]
    assert (info["name"], info["size"]) == ("Hand Book.pdf", len(PDF))


async def test_the_bot_sees_only_files_of_conversations_it_is_in(sandbox: Sandbox, slack: AsyncWebClient) -> None:
    unshared = sandbox.upload(team=ACME, user="U0ADA", name="draft.txt", content=b"draft")
    elsewhere = (await share(sandbox, channel="C0RANDOM"))["file"]
    for file in (unshared, elsewhere, "F0NONE"):
        with pytest.raises(SlackApiError, match="file_not_found"):
            await slack.files_info(file=file)
        assert (await fetch(url_of(sandbox, unshared), slack.token))[1].startswith("text/html")
    sandbox.invite(ACME, "C0RANDOM")
    assert (await slack.files_info(file=elsewhere))["file"]["id"] == elsewhere


async def test_the_control_api_takes_bytes_and_shares_them(page: Page, sandbox: Sandbox, acme: Installed) -> None:
    async with page.http.post(
        f"{page.url}/upload",
        params={"team": ACME, "user": "U0ADA", "name": "a.txt", "object": '{"size": 7}'},
        data=b"hello",
        headers={"content-type": "application/octet-stream"},
    ) as response:
        file = (await response.json())["file"]
    posted = await page.post("messages", team=ACME, channel="@bot", user="U0ADA", files=[file])
    shown = (await page.get("messages", team=ACME, channel="@bot", user="U0ADA"))["messages"][0]
    assert (shown["ts"], shown["files"][0]["size"]) == (posted["ts"], 7)
    assert sandbox.files.content(sandbox.world.files[file]) == b"hello"
    stolen = await page.post("messages", team=ACME, channel="C0GENERAL", user="U0BEN", text="mine", files=[file])
    assert stolen["error"] == "file_not_found"
    async with page.http.post(f"{page.url}/upload", data=b"x", headers={"content-type": "text/plain"}) as response:
        assert response.status == 415


async def test_a_file_can_be_told_to_fail_on_its_way(sandbox: Sandbox, acme: Installed) -> None:
    url = url_of(sandbox, (await share(sandbox))["file"])
    sandbox.faults.add("files.download", "redirect", location="http://localhost:1/elsewhere")
    assert (await fetch(url, acme.token))[0] == 302
    sandbox.faults.add("files.download", "sign_in")
    assert b"Sign in" in (await fetch(url, acme.token))[2]
    sandbox.faults.add("files.download", "cut")
    assert len((await fetch(url, acme.token))[2]) == len(PDF) // 2
    sandbox.faults.add("files.download", "lost_answer", lost="half")
    with pytest.raises(aiohttp.ClientPayloadError):
        await fetch(url, acme.token)
    sandbox.faults.add("files.download", "status", status=503)
    assert (await fetch(url, acme.token))[0] == 503
    assert (await fetch(url, acme.token))[2] == PDF


async def test_files_outlive_a_restart(tmp_path: Path, config: SandboxConfig) -> None:
    kept = SandboxConfig(events_url=config.events_url, data_dir=tmp_path)
    async with running(kept) as sandbox:
        acme = sandbox.install(ACME)
        file = (await share(sandbox))["file"]
    async with running(kept) as sandbox:
        assert await fetch(url_of(sandbox, file), acme.token) == (200, "application/pdf", PDF)
        assert sandbox.messages(ACME, "@bot/U0ADA")[0]["files"][0]["id"] == file
    older = dump(sandbox.world)
    del older["files"]
    assert load(older).files == {}


async def test_a_shortcut_is_a_signed_form_with_the_message_it_was_chosen_on(
    page: Page, sandbox: Sandbox, acme: Installed, played_app: PlayedApp
) -> None:
    ts = await sandbox.post(team=ACME, channel="C0GENERAL", user="U0BEN", text="The door code is 4711")
    await sandbox.settled()
    chosen = {"team": ACME, "channel": "C0GENERAL", "user": "U0ADA", "ts": ts}
    answer = await page.post("shortcut", **chosen, callback_id="enablebot_add_to_knowledge")
    assert answer["acknowledged"]
    heard = played_app.heard[-1]
    assert heard.signed
    payload = heard.payload
    assert (payload["type"], payload["callback_id"]) == ("message_action", "enablebot_add_to_knowledge")
    assert (payload["message_ts"], payload["message"]["text"]) == (ts, "The door code is 4711")
    assert (payload["user"]["id"], payload["channel"]) == ("U0ADA", {"id": "C0GENERAL", "name": "general"})
    assert payload["trigger_id"]
    async with page.http.post(payload["response_url"], json={"text": "only for Ada"}) as response:
        assert response.status == 200
    assert sandbox.messages(ACME, "C0GENERAL")[-1]["ephemeral_to"] == "U0ADA"
    # Somebody's message is not the app's to replace.
    async with page.http.post(payload["response_url"], json={"text": "x", "replace_original": True}) as response:
        assert (response.status, await response.text()) == (400, "invalid_payload")


async def test_a_shortcut_needs_the_scope_commands(page: Page, sandbox: Sandbox) -> None:
    sandbox.install(ACME, scopes=("chat:write",))
    ts = await sandbox.post(team=ACME, channel="C0GENERAL", user="U0BEN", text="hello")
    chosen = {"team": ACME, "channel": "C0GENERAL", "user": "U0ADA", "ts": ts}
    assert (await page.post("shortcut", **chosen, callback_id="enablebot_add_to_knowledge"))["error"] == (
        "shortcut_not_found"
    )


async def test_a_click_on_what_only_one_person_sees_says_so_and_tells_no_text(
    page: Page, sandbox: Sandbox, slack: AsyncWebClient, played_app: PlayedApp
) -> None:
    button = {"type": "button", "action_id": "undo", "text": {"type": "plain_text", "text": "Undo"}}
    blocks = [{"type": "actions", "elements": [button]}]
    ts = (await slack.chat_postEphemeral(channel="C0GENERAL", user="U0ADA", text="secret", blocks=blocks))["message_ts"]
    place = {"team": ACME, "channel": "C0GENERAL", "ts": ts, "action_id": "undo"}
    assert (await page.post("click", **place, user="U0BEN"))["error"] == "message_not_found"
    await page.post("click", **place, user="U0ADA")
    payload = played_app.heard[-1].payload
    assert payload["container"]["is_ephemeral"] is True
    assert "message" not in payload


async def test_users_info_tells_who_became_an_admin(page: Page, slack: AsyncWebClient) -> None:
    assert (await slack.users_info(user="U0BEN"))["user"]["is_admin"] is False
    await page.post("promote", team=ACME, user="U0BEN", is_admin=True)
    assert (await slack.users_info(user="U0BEN"))["user"]["is_admin"] is True
    await page.post("promote", team=ACME, user="U0BEN")
    assert (await slack.users_info(user="U0BEN"))["user"]["is_admin"] is False
