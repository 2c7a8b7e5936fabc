"""Files dropped into the played Slack: confirmed, read, told; undone and put back. The whole api, nothing replaced."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from enablebot.sandbox.app import Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.shared.database.operations import Database
from enablebot.shared.models.document import Document
from enablebot.tests.api.test_end_to_end import ACME, GENERAL, GLOBEX, Admin, Town, town

pytestmark = pytest.mark.anyio

HANDBOOK = b"# Travel\n\nTrips above 500 EUR are approved by the head of finance, before they are booked.\n"
ADA_DM, BEN_DM = "@bot/U0ADA", "@bot/U0BEN"
ADD = "enablebot_add_to_knowledge"
UNDO, REDO = "enablebot_undo_add", "enablebot_redo_add"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(SandboxConfig(time_scale=0.02, model_delay_ms=0, rate_limits=False)) as sandbox:
        yield sandbox


@pytest.fixture
async def acme(sandbox: Sandbox, api_database: Database, admin: Admin) -> AsyncIterator[Town]:
    async with town(sandbox, api_database, admin) as found:
        await found.install(ACME)
        yield found


async def drop(
    town: Town,
    *files: tuple[str, bytes],
    user: str = "U0ADA",
    channel: str = "@bot",
    text: str = "",
    thread: str | None = None,
    **overrides: Any,
) -> str:
    """Share files as a person and wait until all that follows is settled; returns the message's ts."""
    ts = await share(town, *files, user=user, channel=channel, text=text, thread=thread, **overrides)
    await town.quiet()
    return ts


async def share(
    town: Town,
    *files: tuple[str, bytes],
    user: str = "U0ADA",
    channel: str = "@bot",
    text: str = "",
    thread: str | None = None,
    **overrides: Any,
) -> str:
    ids = [
        town.sandbox.upload(team=ACME, user=user, name=name, content=content, overrides=overrides)
        for name, content in files
    ]
    return await town.sandbox.post(team=ACME, channel=channel, user=user, text=text, thread_ts=thread, files=ids)


async def eventually(look: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while True:
            found = look()
            if found is True or (not isinstance(found, bool) and await found):
                return
            await asyncio.sleep(0.02)


def said(town: Town, channel: str, thread: str) -> list[dict[str, Any]]:
    """What the bot says in a thread."""
    return [message for message in town.sandbox.messages(ACME, channel, thread) if message.get("bot_id")]


def buttons(message: dict[str, Any]) -> list[str]:
    return [
        element["action_id"]
        for block in message.get("blocks") or []
        for element in block.get("elements") or []
        if element.get("type") == "button"
    ]


async def tenant(town: Town) -> UUID:
    return UUID(str(await town.admin.fetchval("select id from enablebot.tenants where team_id = $1", ACME)))


async def documents(town: Town) -> tuple[Document, ...]:
    return (await town.api.services.library.list(await tenant(town))).documents


async def press(town: Town, message: dict[str, Any], action: str, *, user: str = "U0ADA", channel: str) -> None:
    place = town.sandbox.world.direct_channel(ACME, user).id if channel.startswith("@bot") else channel
    answer = await town.sandbox.click(team=ACME, channel=place, ts=message["ts"], user=user, action_id=action)
    assert not answer.reason
    await town.quiet()


async def test_an_admins_file_joins_the_knowledge_and_one_message_tells_it_from_beginning_to_end(acme: Town) -> None:
    thread = await drop(acme, ("handbook.md", HANDBOOK))
    (notice,) = said(acme, ADA_DM, thread)
    assert notice["text"] == "Added handbook.md: 1 passage."
    assert buttons(notice) == [UNDO]
    assert notice["edited"]
    (document,) = await documents(acme)
    assert (document.name, document.status, document.source) == ("handbook.md", "ready", "slack")
    assert (document.added_by, document.lane, document.channels) == ("U0ADA", None, ())
    found = await acme.api.services.search.find(await tenant(acme), "who approves trips above 500 EUR?")
    assert [passage.document_id for passage in found.passages] == [document.id]
    assert not acme.sandbox.ledger.violations


async def test_the_confirmation_begins_before_the_file_is_fetched(acme: Town) -> None:
    acme.sandbox.faults.add("files.download", "slow", seconds=30)
    thread = await share(acme, ("handbook.md", HANDBOOK))
    await eventually(lambda: bool(said(acme, ADA_DM, thread)))
    (notice,) = said(acme, ADA_DM, thread)
    assert notice["text"] == "Reading `handbook.md` …"
    assert await documents(acme) == ()


async def test_undo_takes_it_back_and_put_back_returns_it(acme: Town) -> None:
    thread = await drop(acme, ("handbook.md", HANDBOOK))
    (notice,) = said(acme, ADA_DM, thread)
    await press(acme, notice, UNDO, channel=ADA_DM)
    (undone,) = said(acme, ADA_DM, thread)
    assert undone["ts"] == notice["ts"]
    assert undone["text"].startswith("Removed handbook.md")
    assert buttons(undone) == [REDO]
    assert await documents(acme) == ()
    assert not (await acme.api.services.search.find(await tenant(acme), "trips")).passages
    await press(acme, undone, REDO, channel=ADA_DM)
    (restored,) = said(acme, ADA_DM, thread)
    assert restored["text"] == "handbook.md is back: 1 passage."
    assert buttons(restored) == [UNDO]
    assert [document.name for document in await documents(acme)] == ["handbook.md"]
    assert (await acme.api.services.search.find(await tenant(acme), "trips")).passages


async def test_a_press_that_comes_twice_changes_nothing_more(acme: Town) -> None:
    thread = await drop(acme, ("handbook.md", HANDBOOK))
    (notice,) = said(acme, ADA_DM, thread)
    place = acme.sandbox.world.direct_channel(ACME, "U0ADA").id
    wish = {"team": ACME, "channel": place, "ts": notice["ts"], "user": "U0ADA", "action_id": UNDO}
    value = next(b for b in notice["blocks"] if b["type"] == "actions")["elements"][0]["value"]
    await asyncio.gather(*(acme.sandbox.click(**wish) for _ in range(3)))
    await acme.quiet()
    (undone,) = said(acme, ADA_DM, thread)
    assert buttons(undone) == [REDO]
    await press(acme, undone, REDO, channel=ADA_DM)
    (restored,) = said(acme, ADA_DM, thread)
    # From a window that still shows the old button.
    acme.sandbox.world.log(place).by_ts[notice["ts"]].blocks = undone["blocks"]
    await press(acme, undone, REDO, channel=ADA_DM)
    (again,) = said(acme, ADA_DM, thread)
    assert again["text"] == restored["text"]
    assert [str(document.id) for document in await documents(acme)] == [value]


async def test_what_was_erased_meanwhile_is_said_to_be_gone(acme: Town) -> None:
    thread = await drop(acme, ("handbook.md", HANDBOOK))
    (notice,) = said(acme, ADA_DM, thread)
    await press(acme, notice, UNDO, channel=ADA_DM)
    (undone,) = said(acme, ADA_DM, thread)
    document = UUID(next(b for b in undone["blocks"] if b["type"] == "actions")["elements"][0]["value"])
    await acme.api.services.library.delete(await tenant(acme), document, undo_seconds=0, actor="U0ADA")
    await press(acme, undone, REDO, channel=ADA_DM)
    (gone,) = said(acme, ADA_DM, thread)
    assert "gone for good" in gone["text"]
    assert buttons(gone) == []


async def test_anybody_elses_file_is_read_for_that_conversation_only_and_the_reply_says_so(acme: Town) -> None:
    thread = await drop(acme, ("notes.txt", b"The door code is 4711."), user="U0BEN")
    (notice,) = said(acme, BEN_DM, thread)
    assert notice["text"].startswith("Read notes.txt for this conversation only: 1 passage.")
    assert "admins and owners" in notice["text"]
    assert buttons(notice) == []
    assert await documents(acme) == ()
    search, channel = acme.api.services.search, acme.sandbox.world.direct_channel(ACME, "U0BEN").id
    assert not (await search.find(await tenant(acme), "door code")).passages
    assert (await search.find(await tenant(acme), "door code", lane=f"{channel}:{thread}")).passages
    assert not (await search.find(await tenant(acme), "door code", lane=f"{channel}:1.000001")).passages


async def test_whoever_becomes_an_admin_may_add_and_whoever_installed_it_may_without_being_one(acme: Town) -> None:
    acme.sandbox.people.promote(team=ACME, user="U0BEN", is_admin=True, is_owner=False)
    acme.sandbox.people.promote(team=ACME, user="U0ADA", is_admin=False, is_owner=False)
    for user, channel in (("U0BEN", BEN_DM), ("U0ADA", ADA_DM)):
        thread = await drop(acme, (f"{user}.txt", f"What {user} knows".encode()), user=user)
        (notice,) = said(acme, channel, thread)
        # `grant` says who installed it: Ada.
        assert notice["text"].startswith("Added "), (user, notice["text"])
    assert {call.method for call in acme.sandbox.ledger.calls} >= {"users.info"}


async def test_the_question_beside_a_file_is_answered_and_the_file_is_taken(acme: Town) -> None:
    thread = await drop(acme, ("handbook.md", HANDBOOK), text="Why is the sky blue?")
    notice, answer = said(acme, ADA_DM, thread)
    assert notice["text"] == "Added handbook.md: 1 passage."
    assert "sky" in answer["text"]
    assert [document.name for document in await documents(acme)] == ["handbook.md"]


async def test_a_file_beside_a_mention_is_for_that_thread_only_even_from_an_admin(acme: Town) -> None:
    thread = await drop(acme, ("handbook.md", HANDBOOK), channel=GENERAL, text="@EnableBot why is the sky blue?")
    notice, answer = said(acme, GENERAL, thread)
    assert notice["text"].startswith("Read handbook.md for this conversation only")
    assert "sky" in answer["text"]
    assert await documents(acme) == ()
    # Told twice, as mention and as message, it was one.
    assert len([call for call in acme.sandbox.ledger.calls if call.method == "files.download"]) == 1


async def test_a_file_in_a_channel_that_nobody_mentioned_the_bot_with_is_not_touched(acme: Town) -> None:
    thread = await drop(acme, ("handbook.md", HANDBOOK), channel=GENERAL, text="for everybody")
    assert said(acme, GENERAL, thread) == []
    assert not [call for call in acme.sandbox.ledger.calls if call.method == "files.download"]


async def test_several_files_are_told_in_one_message_each_with_what_became_of_it(acme: Town) -> None:
    thread = await drop(acme, ("a.md", HANDBOOK), ("broken.pdf", b"%PDF-1.7 nothing"), ("tune.mp3", b"ID3\x04\x00\x00"))
    (notice,) = said(acme, ADA_DM, thread)
    added, broken, tune = notice["text"].splitlines()
    assert added == "Added a.md: 1 passage."
    assert broken.startswith("broken.pdf was not added. ")
    assert tune.startswith("tune.mp3 was not added. ")
    assert buttons(notice) == [UNDO]
    assert [document.name for document in await documents(acme) if document.status == "ready"] == ["a.md"]


async def test_the_same_bytes_again_are_said_to_be_there_already_without_an_undo(acme: Town) -> None:
    await drop(acme, ("handbook.md", HANDBOOK))
    thread = await drop(acme, ("handbook.md", HANDBOOK))
    (notice,) = said(acme, ADA_DM, thread)
    assert notice["text"] == "handbook.md was here already: 1 passage. Nothing was added twice."
    assert buttons(notice) == []
    assert len(await documents(acme)) == 1


async def test_a_newer_version_under_the_same_name_replaces_the_older(acme: Town) -> None:
    await drop(acme, ("handbook.md", HANDBOOK))
    thread = await drop(acme, ("handbook.md", HANDBOOK.replace(b"500", b"700")))
    (notice,) = said(acme, ADA_DM, thread)
    assert notice["text"].startswith("Replaced handbook.md: 1 passage.")
    (document,) = await documents(acme)
    assert document.live_version == 2


async def test_a_stub_is_looked_up_and_an_external_file_is_refused_with_a_plain_reason(acme: Town) -> None:
    thread = await drop(acme, ("handbook.md", HANDBOOK), file_access="check_file_info")
    (notice,) = said(acme, ADA_DM, thread)
    assert notice["text"] == "Added handbook.md: 1 passage."
    thread = await drop(
        acme,
        ("plan.gdoc", b"x"),
        is_external=True,
        mode="external",
        url_private="https://drive.example.com/d/1",
        url_private_download=None,
    )
    (notice,) = said(acme, ADA_DM, thread)
    assert notice["text"].startswith("plan.gdoc was not added. It does not lie in Slack, only a link to it does.")


async def test_a_file_that_slack_hands_out_only_later_is_waited_for(acme: Town) -> None:
    acme.sandbox.faults.add("files.download", "status", status=503)
    acme.sandbox.faults.add("files.download", "cut")
    thread = await drop(acme, ("handbook.md", HANDBOOK))
    (notice,) = said(acme, ADA_DM, thread)
    assert notice["text"] == "Added handbook.md: 1 passage."


async def test_a_name_is_shown_as_text_whatever_it_is_made_of(acme: Town) -> None:
    thread = await drop(acme, ("<!channel> [x](https://evil.example) *b*\u202e.txt", b"words to read"))
    (notice,) = said(acme, ADA_DM, thread)
    assert "<!channel>" not in notice["text"]
    assert "\u202e" not in notice["text"]
    assert all(block["text"]["type"] == "plain_text" for block in notice["blocks"] if block["type"] == "section")


async def test_a_shortcut_makes_a_document_of_a_message_for_a_manager(acme: Town) -> None:
    ts = await acme.sandbox.post(team=ACME, channel=GENERAL, user="U0BEN", text="The door code is 4711 & more")
    answer = await acme.sandbox.use_shortcut(team=ACME, channel=GENERAL, ts=ts, user="U0ADA", callback_id=ADD)
    assert not answer.reason
    await acme.quiet()
    shown = [message for message in acme.sandbox.messages(ACME, GENERAL) if message.get("ephemeral_to")]
    assert {message["ephemeral_to"] for message in shown} == {"U0ADA"}
    assert shown[0]["text"].startswith("Reading this message")
    assert shown[-1]["text"] == "Added “The door code is 4711 &amp; more”: 1 passage."
    (document,) = await documents(acme)
    assert (document.title, document.format) == ("The door code is 4711 & more", "text")
    assert (await acme.api.services.search.find(await tenant(acme), "door code")).passages
    # Nobody was drawn into a conversation with the bot by it.
    await acme.asked(ACME, GENERAL, "U0BEN", "thanks", ts)
    assert said(acme, GENERAL, ts) == [message for message in shown if message.get("thread_ts") == ts]
    await press(acme, shown[-1], UNDO, channel=GENERAL)
    (undone,) = [m for m in acme.sandbox.messages(ACME, GENERAL) if m["ts"] == shown[-1]["ts"]]
    assert undone["text"].startswith("Removed “The door code")
    assert await documents(acme) == ()


async def test_a_shortcut_takes_the_files_of_a_message_too(acme: Town) -> None:
    ts = await drop(acme, ("handbook.md", HANDBOOK), user="U0BEN", channel=GENERAL)
    await acme.sandbox.use_shortcut(team=ACME, channel=GENERAL, ts=ts, user="U0ADA", callback_id=ADD)
    await acme.quiet()
    assert [document.name for document in await documents(acme)] == ["handbook.md"]


async def test_a_shortcut_tells_anybody_else_why_not(acme: Town) -> None:
    ts = await acme.sandbox.post(team=ACME, channel=GENERAL, user="U0ADA", text="The door code is 4711")
    await acme.sandbox.use_shortcut(team=ACME, channel=GENERAL, ts=ts, user="U0BEN", callback_id=ADD)
    await acme.quiet()
    (shown,) = [message for message in acme.sandbox.messages(ACME, GENERAL) if message.get("ephemeral_to")]
    assert shown["ephemeral_to"] == "U0BEN"
    assert shown["text"].startswith("I did not add this message: only")
    assert await documents(acme) == ()


async def test_where_the_bot_is_not_a_shortcut_asks_to_be_invited_for_a_file(acme: Town) -> None:
    ts = await drop(acme, ("handbook.md", HANDBOOK), user="U0ADA", channel="C0RANDOM", file_access="check_file_info")
    await acme.sandbox.use_shortcut(team=ACME, channel="C0RANDOM", ts=ts, user="U0ADA", callback_id=ADD)
    await acme.quiet()
    shown = [message for message in acme.sandbox.messages(ACME, "C0RANDOM") if message.get("ephemeral_to")]
    assert "Invite me there" in shown[-1]["text"]


async def test_an_undo_of_a_message_that_somebody_else_forged_reaches_no_other_workspace(acme: Town) -> None:
    thread = await drop(acme, ("handbook.md", HANDBOOK))
    (document,) = await documents(acme)
    await acme.install(GLOBEX)
    place = acme.sandbox.world.direct_channel(GLOBEX, "U1EVA").id
    forged = {
        "type": "block_actions",
        "trigger_id": "1.2.3",
        "team": {"id": GLOBEX},
        "user": {"id": "U1EVA", "team_id": GLOBEX},
        "channel": {"id": place},
        "container": {"type": "message", "channel_id": place, "message_ts": thread},
        "actions": [{"action_id": UNDO, "type": "button", "value": str(document.id)}],
    }
    assert not (await acme.sandbox.delivery.interact(forged)).reason
    await acme.quiet()
    assert [one.id for one in await documents(acme)] == [document.id]


async def test_an_event_that_slack_sends_again_is_confirmed_once(acme: Town) -> None:
    thread = await drop(acme, ("handbook.md", HANDBOOK), text="Why is the sky blue?")
    (event,) = [one for one in acme.sandbox.ledger.deliveries if one.ts == thread and one.subtype == "file_share"]
    for _ in range(3):
        assert acme.sandbox.delivery.redeliver(event.event_id) is not None
    await acme.quiet()
    assert len(said(acme, ADA_DM, thread)) == 2
    assert len([call for call in acme.sandbox.ledger.calls if call.method == "files.download"]) == 1


async def test_a_file_that_never_comes_is_told_with_the_reason(acme: Town) -> None:
    acme.sandbox.faults.add("files.download", "status", status=503, times=100)
    thread = await drop(acme, ("handbook.md", HANDBOOK))
    (notice,) = said(acme, ADA_DM, thread)
    assert notice["text"].startswith(
        "handbook.md was not added. I tried several times and could not get it from Slack."
    )
    assert await documents(acme) == ()
    # Whoever runs the service may have it tried again, and the person is told of that, too.
    acme.sandbox.faults.replace([])
    (event,) = await acme.admin.fetch("select id, tenant_id from enablebot.inbox where state = 'set_aside'")
    await acme.api.services.database.replay_event(tenant_id=event["tenant_id"], id=event["id"], actor="test")
    acme.api.services.worker.wake()
    await acme.quiet()
    (told,) = said(acme, ADA_DM, thread)
    assert told["text"] == "Added handbook.md: 1 passage."


async def test_a_message_deleted_before_it_was_looked_at_adds_nothing(acme: Town) -> None:
    acme.sandbox.faults.add("users.info", "status", status=503, times=2)
    acme.sandbox.people.promote(team=ACME, user="U0BEN", is_admin=True, is_owner=False)
    ts = await share(acme, ("handbook.md", HANDBOOK), user="U0BEN")
    place = acme.sandbox.world.direct_channel(ACME, "U0BEN").id
    acme.sandbox.people.delete(team=ACME, channel=place, user="U0BEN", ts=ts)
    await acme.quiet()
    assert await documents(acme) == ()
    assert [message for message in acme.sandbox.messages(ACME, place) if message.get("bot_id")] == []


async def test_an_app_that_was_added_before_it_could_read_files_says_so(acme: Town) -> None:
    for scopes in (acme.sandbox.world.installs[ACME].scopes, *(t.scopes for t in acme.sandbox.world.tokens.values())):
        scopes[:] = [scope for scope in scopes if scope not in {"files:read", "users:read"}]
    thread = await drop(acme, ("a.md", HANDBOOK))
    (notice,) = said(acme, ADA_DM, thread)
    assert "An admin may have to add EnableBot to this workspace again" in notice["text"]
    # A stub is asked for by a method, which names the scope.
    thread = await drop(acme, ("b.md", HANDBOOK), user="U0BEN", file_access="check_file_info")
    (notice,) = said(acme, BEN_DM, thread)
    assert "before it could read files" in notice["text"]


async def test_what_another_takes_back_is_refused_with_a_plain_reason(acme: Town) -> None:
    thread = await drop(acme, ("handbook.md", HANDBOOK))
    (notice,) = said(acme, ADA_DM, thread)
    place = acme.sandbox.world.direct_channel(ACME, "U0ADA")
    place.members.append("U0BEN")
    answer = await acme.sandbox.click(team=ACME, channel=place.id, ts=notice["ts"], user="U0BEN", action_id=UNDO)
    assert not answer.reason
    await acme.quiet()
    (reason,) = [m for m in acme.sandbox.messages(ACME, place.id) if m.get("ephemeral_to") == "U0BEN"]
    assert reason["text"].startswith("Nothing was changed: only")
    assert len(await documents(acme)) == 1


async def test_a_long_reading_is_waited_for_by_fresh_events_and_told_once(acme: Town) -> None:
    # Nobody reads: all document slots of this workspace are taken by what never ends.
    await acme.admin.execute(
        "create function public.later() returns trigger language plpgsql as $$ begin "
        "new.available_at := now() + interval '1 hour'; return new; end $$; "
        "create trigger later before insert on enablebot.inbox for each row when (new.kind = 'document') "
        "execute function public.later()"
    )
    thread = await share(acme, ("handbook.md", HANDBOOK))
    waits = "select event_key from enablebot.inbox where event_key like 'tell:%' and state in ('ready', 'claimed')"
    seen: set[str] = set()
    for _ in range(3):
        await eventually(lambda: waits_anew(acme, waits, seen))
        # A minute goes by.
        await acme.admin.execute(
            "update enablebot.inbox set received_at = received_at - interval '61 s' where event_key like 'tell:%'"
        )
    assert len(seen) == 3
    (notice,) = said(acme, ADA_DM, thread)
    assert notice["text"].startswith("Reading ")
    await acme.admin.execute("update enablebot.inbox set available_at = now() where kind = 'document'")
    acme.api.services.worker.wake_documents()
    await acme.quiet()
    (told,) = said(acme, ADA_DM, thread)
    assert told["text"] == "Added handbook.md: 1 passage."


async def waits_anew(acme: Town, query: str, seen: set[str]) -> bool:
    """Whether an event waits that was not seen before; it is then."""
    fresh = {row["event_key"] for row in await acme.admin.fetch(query)} - seen
    seen |= fresh
    return bool(fresh)
