"""The story that the demo plays: install, share a file, ask in a channel, a thread and a DM, uninstall."""

import asyncio
import textwrap
from collections.abc import Callable
from typing import Any

import aiohttp

from enablebot.local.children import Say
from enablebot.local.household import Household
from enablebot.local.visitor import Visitor

TEAM, CHANNEL, PERSON = "T0SANDBOX1", "C0GENERAL", "U0ADA"
ANSWER_WITHIN_SECONDS = 30.0
HANDBOOK = (
    "travel-policy.md",
    b"# Travel policy\n\nTrips above 500 EUR are approved by the head of finance before they are booked.\n",
)
# Edits of a posted answer come at most every 1.5 s; a text that stood still longer than that is whole.
STANDS_STILL_SECONDS = 1.8


class StoryBroken(Exception):
    """An act of the story did not end as it must."""


async def play(household: Household, *, say: Say) -> None:
    """Play every act and print it; raises StoryBroken with what was expected and what happened."""
    assert household.sandbox_url is not None
    async with Visitor() as ada, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        workspace = Workspace(household.sandbox_url, session)
        await _install(ada, household, workspace, say)
        await _share_file(workspace, say)
        thread = await _ask_in_channel(workspace, say)
        await _ask_in_thread(workspace, thread, say)
        await _ask_in_dm(workspace, say)
        await _uninstall(ada, household, workspace, say)
        await _no_rule_was_broken(workspace)


async def _install(ada: Visitor, household: Household, workspace: "Workspace", say: Say) -> None:
    say("\n1. Ada adds EnableBot to the workspace Acme.")
    landing = await ada.open(household.web_url)
    _insist(
        landing.status == 200 and "/slack/install" in landing.html, "the landing page offers Add to Slack", landing.url
    )
    consent = await ada.open(f"{household.web_url}/slack/install")
    _insist(
        consent.url.startswith(str(household.sandbox_url)), "Add to Slack leads to Slack's consent page", consent.url
    )
    dashboard = await ada.press(consent, "Allow")
    _insist(
        dashboard.status == 200 and dashboard.url.startswith(f"{household.web_url}/dashboard"),
        "after Allow she sees the dashboard",
        f"{dashboard.status} {dashboard.url}",
    )
    _insist("Acme" in dashboard.html, "the dashboard names her workspace", dashboard.url)
    _insist("xoxb-" not in dashboard.html, "no page shows a token", dashboard.url)
    say("   She is on the dashboard of Acme.")


async def _share_file(workspace: "Workspace", say: Say) -> None:
    say("\n2. She drops a file into its direct messages.")
    name, content = HANDBOOK
    shared = await workspace.share("@bot", name, content)
    confirmation = await workspace.answer_to(shared, channel="@bot", begins="Added")
    say(f"   Ada        [{name}]")
    say(f"   EnableBot  {confirmation['text']}")
    say("              (in the thread under the file, edited in place, with an Undo button)")
    _insist(name in confirmation["text"], "the confirmation names the file", confirmation["text"])
    _insist("enablebot_undo_add" in str(confirmation.get("blocks")), "it can be undone", str(confirmation))


async def _ask_in_channel(workspace: "Workspace", say: Say) -> str:
    say("\n3. She asks in #general.")
    asked = await workspace.post(CHANNEL, "@EnableBot Where do I find the travel policy?")
    answer = await workspace.answer_to(asked, channel=CHANNEL)
    _tell(say, "Where do I find the travel policy?", answer, where="in a thread under the question")
    _insist(answer["thread_ts"] == asked, "the answer stands in the question's thread", str(answer))
    return asked


async def _ask_in_thread(workspace: "Workspace", thread: str, say: Say) -> None:
    say("\n4. She follows up in the thread, without a mention.")
    asked = await workspace.post(CHANNEL, "And who approves a trip?", thread_ts=thread)
    answer = await workspace.answer_to(asked, channel=CHANNEL, thread=thread)
    _tell(say, "And who approves a trip?", answer, where="in the same thread")
    await workspace.post(CHANNEL, "Lunch, anybody?")
    await asyncio.sleep(0.5)
    _insist(len(await workspace.bot_messages(CHANNEL)) == 2, "what is not addressed to the bot stays unanswered", "")


async def _ask_in_dm(workspace: "Workspace", say: Say) -> None:
    say("\n5. She asks in the DM, where the answer streams.")
    before = len((await workspace.ledger())["calls"])
    asked = await workspace.post("@bot", "What can you do for me?")
    answer = await workspace.answer_to(asked, channel="@bot")
    calls = [call["method"] for call in (await workspace.ledger())["calls"][before:]]
    _insist("chat.startStream" in calls and "chat.stopStream" in calls, "the DM's answer is a stream", str(calls))
    pieces = calls.count("chat.appendStream") + 1
    _tell(say, "What can you do for me?", answer, where=f"streamed in {pieces} pieces")


async def _uninstall(ada: Visitor, household: Household, workspace: "Workspace", say: Say) -> None:
    say("\n6. Acme uninstalls EnableBot.")
    before = len(await workspace.bot_messages(CHANNEL))
    await workspace.uninstall()

    async def signed_out() -> bool:
        page = await ada.open(f"{household.web_url}/dashboard")
        return not (page.status == 200 and page.url.endswith("/dashboard"))

    deadline = asyncio.get_running_loop().time() + ANSWER_WITHIN_SECONDS
    while not await signed_out():
        _insist(
            asyncio.get_running_loop().time() < deadline, "her session ends with the installation", "still signed in"
        )
        await asyncio.sleep(0.1)
    await workspace.post(CHANNEL, "@EnableBot Are you still there?")
    await asyncio.sleep(0.5)
    _insist(len(await workspace.bot_messages(CHANNEL)) == before, "after that it says nothing more", "")
    say("   Tokens are deleted, her session is over, and the bot stays silent.")


async def _no_rule_was_broken(workspace: "Workspace") -> None:
    violations = (await workspace.ledger())["violations"]
    _insist(not violations, "no rule of Slack's was broken", str(violations))


class Workspace:
    """The sandbox's workspace as Ada sees it, through the sandbox's control API."""

    def __init__(self, sandbox_url: str, session: aiohttp.ClientSession) -> None:
        self._api = f"{sandbox_url}/sandbox/api"
        self._session = session

    async def post(self, channel: str, text: str, *, thread_ts: str | None = None) -> str:
        body = {"team": TEAM, "channel": channel, "user": PERSON, "text": text}
        answer = await self._send("messages", body | ({"thread_ts": thread_ts} if thread_ts else {}))
        return str(answer["ts"])

    async def uninstall(self) -> None:
        await self._send("uninstall", {"team": TEAM})

    async def ledger(self) -> dict[str, Any]:
        return await self._read("ledger", {})

    async def messages(self, channel: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (
            await self._read("messages", {"team": TEAM, "channel": channel, "user": PERSON})
        )["messages"]
        return found

    async def bot_messages(self, channel: str) -> list[dict[str, Any]]:
        return [message for message in await self.messages(channel) if message.get("bot_id")]

    async def share(self, channel: str, name: str, content: bytes) -> str:
        query = {"team": TEAM, "user": PERSON, "name": name}
        headers = {"Content-Type": "application/octet-stream"}
        async with self._session.post(f"{self._api}/upload", params=query, data=content, headers=headers) as response:
            file = (await _taken(response))["file"]
        message = {"team": TEAM, "channel": channel, "user": PERSON, "files": [file]}
        return str((await self._send("messages", message))["ts"])

    async def answer_to(
        self, asked: str, *, channel: str, thread: str | None = None, begins: str = ""
    ) -> dict[str, Any]:
        """Wait for the one finished bot message that is newer than the question, in its thread.

        With `begins` until its text begins so, and no longer.
        """
        clock = asyncio.get_running_loop().time
        deadline, seen, since = clock() + ANSWER_WITHIN_SECONDS, "", clock()
        while clock() < deadline:
            answers = [
                message
                for message in await self.bot_messages(channel)
                if message.get("thread_ts") == (thread or asked) and float(message["ts"]) > float(asked)
            ]
            _insist(len(answers) <= 1, "a question gets one answer", str(answers))
            if answers:
                answer = answers[0]
                if answer["text"] != seen:
                    seen, since = answer["text"], clock()
                state = answer.get("streaming_state")
                stands_still = state is None and seen and clock() - since > STANDS_STILL_SECONDS
                if answer["text"].startswith(begins) if begins else state == "completed" or stands_still:
                    return answer
            await asyncio.sleep(0.05)
        raise StoryBroken(f"No answer came within {ANSWER_WITHIN_SECONDS:g} s. Run it again with --verbose to see why.")

    async def _send(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._session.post(f"{self._api}/{path}", json=body) as response:
            return await _taken(response)

    async def _read(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        async with self._session.get(f"{self._api}/{path}", params=query) as response:
            return await _taken(response)


async def _taken(response: aiohttp.ClientResponse) -> dict[str, Any]:
    if response.status != 200:
        raise StoryBroken(f"The sandbox answered {response.status} to {response.url.path}: {await response.text()}")
    body: dict[str, Any] = await response.json()
    return body


def _tell(say: Callable[[str], None], question: str, answer: dict[str, Any], *, where: str) -> None:
    say(f"   Ada        {question}")
    paragraphs = [textwrap.wrap(line, 84) or [""] for line in answer["text"].splitlines()]
    lines = [line for paragraph in paragraphs for line in paragraph]
    say("\n".join(f"   {'EnableBot' if number == 0 else '':<9}  {line}" for number, line in enumerate(lines)))
    say(f"              ({where})")


def _insist(true: bool, expected: str, seen: str) -> None:
    if not true:
        raise StoryBroken(f"Expected that {expected}. {('Seen instead: ' + seen) if seen else ''}".strip())
