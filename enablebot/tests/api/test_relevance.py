"""Is this for us? Asked of every shape Slack sends, and of shapes it never would."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enablebot.api.slack.relevance import Relevant, relevance, retry_pressed
from enablebot.tests.api.slack_side import (
    CHANNEL,
    ROOT,
    TEAM,
    bot_of,
    deletion,
    direct,
    envelope,
    mention,
    message,
    pressed_retry,
    reply,
    tombstone,
)

BOT = bot_of(TEAM)


def relevant(event: Any, **fields: Any) -> Relevant:
    found = relevance(envelope(event, **fields))
    assert found is not None
    return found


def test_a_mention_and_its_twin_are_one_message() -> None:
    announced = relevant(mention(ts=ROOT))
    plain = relevant(message(f"<@{BOT}> hello", ts=ROOT))
    assert announced.kind == plain.kind == "mention"
    assert announced.message_key == plain.message_key == f"{CHANNEL}:{ROOT}"
    assert announced.lane == plain.lane == f"{CHANNEL}:{ROOT}"
    assert announced.event_key != plain.event_key
    assert announced.joins
    assert plain.joins


def test_a_mention_with_a_label_is_a_mention() -> None:
    assert relevant(message(f"<@{BOT}|enablebot> hello")).kind == "mention"


def test_an_edited_mention_falls_on_its_message() -> None:
    edited = relevant(mention(ts=ROOT, edited={"user": "U0ADA", "ts": "1700000009.000000"}))
    assert edited.message_key == f"{CHANNEL}:{ROOT}"


def test_a_direct_message_needs_no_mention_and_opens_its_own_thread() -> None:
    found = relevant(direct(ts=ROOT))
    assert (found.kind, found.joins, found.lane) == ("message", True, f"D0ADA:{ROOT}")
    in_thread = relevant(direct(ts="1700000001.000200", thread_ts=ROOT))
    assert (in_thread.lane, in_thread.message_key) == (f"D0ADA:{ROOT}", "D0ADA:1700000001.000200")


def test_a_thread_reply_without_a_mention_does_not_open_a_conversation() -> None:
    found = relevant(reply())
    assert (found.kind, found.joins, found.lane) == ("message", False, f"{CHANNEL}:{ROOT}")


def test_a_mention_in_a_thread_joins_the_thread() -> None:
    found = relevant(mention(ts="1700000001.000200", thread_ts=ROOT))
    assert (found.joins, found.lane) == (True, f"{CHANNEL}:{ROOT}")


@pytest.mark.parametrize("subtype", ["file_share", "thread_broadcast", "me_message"])
def test_what_people_write_arrives_under_several_subtypes(subtype: str) -> None:
    assert relevant(direct(subtype=subtype)).kind == "message"


@pytest.mark.parametrize(
    "event",
    [
        message("nobody in particular"),
        message(f"<@{BOT}X> not the bot"),
        message(BOT),
        message("<!here> everybody"),
        direct(subtype="message_changed", hidden=True),
        direct(subtype="message_deleted"),
        direct(subtype="message_changed", message={"subtype": "tombstone"}),
        deletion(direct(), previous_message=None),
        deletion(direct(user=BOT)),
        deletion(direct(bot_id="B0OTHER")),
        deletion(direct(user="USLACKBOT", subtype="tombstone")),
        deletion(direct(user=None)),
        deletion(direct(ts="not a time")),
        deletion(direct(thread_ts="x")),
        deletion(direct(channel="D0\0ADA")),
        deletion(direct(), subtype="message_changed", message={"text": "edited"}),
        deletion(direct(subtype="tombstone"), subtype="message_changed", message={"subtype": "tombstone"}),
        direct(subtype="bot_message", bot_id="B1"),
        direct(subtype="channel_join"),
        direct(subtype="assistant_app_thread"),
        direct(subtype="ekm_access_denied"),
        direct(subtype={"a": 1}),
        direct(subtype=["file_share"]),
        direct(hidden=True),
        direct(bot_id="B0OTHER"),
        direct(bot_profile={"id": "B0OTHER", "app_id": "A0OTHER"}),
        mention(bot_id="B0OTHER"),
        direct(user="USLACKBOT"),
        direct(user=None),
        direct(ts="not a time"),
        direct(ts="1" * 40 + ".000001"),
        direct(channel="D0\0ADA"),
        direct(channel="D" * 65),
        direct(channel=None),
        direct(thread_ts="x"),
        direct(thread_ts=5),
        {"type": "reaction_added"},
        {"type": "app_home_opened"},
        {"type": ["message"]},
        {},
        None,
        "message",
        [message()],
    ],
)
def test_everything_else_is_dropped_unread(event: Any) -> None:
    assert relevance(envelope(event)) is None


@pytest.mark.parametrize("event_id", [None, "", 5, "Ev\0", "Ev" * 40, "Ev 1", "Ev\ud800", ["Ev1"]])
def test_an_event_that_cannot_be_told_from_others_is_dropped(event_id: Any) -> None:
    assert relevance(envelope(direct(), event_id=event_id)) is None


@pytest.mark.parametrize("kind", ["app_uninstalled", "tokens_revoked"])
def test_the_end_of_an_installation_bypasses_the_lanes(kind: str) -> None:
    found = relevant({"type": kind}, event_time=1_700_000_000)
    assert (found.kind, found.lane, found.message_key, found.event_time) == ("lifecycle", None, None, 1_700_000_000)


def test_the_stop_button_bypasses_the_lanes() -> None:
    found = relevant({"type": "agent_session_stopped", "channel": "D0ADA", "thread_ts": ROOT})
    assert (found.kind, found.lane) == ("stop", None)


@pytest.mark.parametrize("told", [deletion, tombstone])
@pytest.mark.parametrize("question", [direct(ts=ROOT), mention(ts=ROOT), reply(ts=ROOT, to="1699999999.000100")])
def test_a_deletion_is_an_event_of_its_own_about_a_message_of_a_person(
    told: Callable[[dict[str, Any]], dict[str, Any]], question: dict[str, Any]
) -> None:
    question = {"channel_type": "channel", **question}
    asked, deleted = relevant(question), relevant(told(question))
    assert (deleted.kind, deleted.joins) == ("delete", False)
    assert (deleted.channel, deleted.ts, deleted.thread_ts) == (asked.channel, asked.ts, asked.thread_ts)
    assert deleted.lane == asked.lane
    assert deleted.message_key == f"deleted:{asked.channel}:{ROOT}" != asked.message_key


def test_two_notices_of_one_deletion_are_one_event() -> None:
    first, second = relevant(deletion(direct(ts=ROOT))), relevant(tombstone(direct(ts=ROOT)))
    assert first.message_key == second.message_key
    assert first.event_key != second.event_key


def test_our_own_words_are_evidence_and_never_a_question() -> None:
    for event in (direct(user=BOT, bot_id="B1"), reply(user=BOT), message(f"<@{BOT}> I", user=BOT), mention(user=BOT)):
        found = relevant(event)
        assert found.kind == "own_message"
        assert not found.joins
    streamed = relevant(reply(user=BOT, bot_id="B1", ts="1700000001.000200"))
    assert (streamed.channel, streamed.thread_ts, streamed.ts) == (CHANNEL, ROOT, "1700000001.000200")


def test_the_same_apps_bot_of_another_workspace_is_a_stranger() -> None:
    assert relevance(envelope(reply(user="UBOTSECOND", bot_id="B2", app_id="A0ENABLEBOT"))) is None


def test_in_a_shared_channel_the_authorization_says_whose_event_it_is() -> None:
    found = relevant(mention(), team_id="T0STRANGER")
    assert (found.team_id, found.is_org_wide) == (TEAM, False)


def test_an_organisations_installation_hears_through_a_workspace() -> None:
    authorization = {"enterprise_id": "E1", "team_id": TEAM, "user_id": BOT, "is_enterprise_install": True}
    found = relevant(mention(), authorizations=[authorization])
    assert (found.enterprise_id, found.team_id, found.is_org_wide) == ("E1", TEAM, True)
    without_team = {**authorization, "team_id": None}
    assert relevant(mention(), authorizations=[without_team]).team_id == TEAM
    gone = relevant({"type": "app_uninstalled"}, authorizations=[without_team], team_id=None, context_team_id=None)
    assert (gone.enterprise_id, gone.team_id) == ("E1", None)


def test_without_an_authorization_the_envelope_names_the_workspace() -> None:
    found = relevant({"type": "app_uninstalled"}, authorizations=[], team_id="T0ALONE", context_team_id=None)
    assert (found.team_id, found.is_org_wide) == ("T0ALONE", False)
    assert (
        relevance(envelope({"type": "app_uninstalled"}, authorizations=[], team_id=None, context_team_id=None)) is None
    )


def test_a_retry_is_an_interaction_of_its_conversation() -> None:
    found = retry_pressed(pressed_retry())
    assert found is not None
    assert (found.kind, found.lane, found.joins, found.team_id) == ("interaction", f"{CHANNEL}:{ROOT}", True, TEAM)
    assert found.event_key.startswith("trigger:")


def test_two_presses_on_one_message_are_one_wish_until_it_changes() -> None:
    first, second = retry_pressed(pressed_retry()), retry_pressed(pressed_retry())
    changed = {"ts": "1700000050.000100", "edited": {"ts": "1700000060.000100"}}
    third = retry_pressed(pressed_retry(message=changed))
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.event_key != second.event_key
    assert first.message_key == second.message_key != third.message_key


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "view_submission"},
        {"actions": []},
        {"actions": [{"action_id": "something_else"}]},
        {"actions": "enablebot_retry"},
        {"trigger_id": None},
        {"trigger_id": "x" * 200},
        {"channel": None, "container": {}},
        {"team": None, "user": None},
        {"container": None, "message": None},
    ],
)
def test_other_interactions_are_none_of_ours(changed: dict[str, Any]) -> None:
    assert retry_pressed(pressed_retry(**changed)) is None


ODD: list[Any] = [
    None, True, False, 0, -1, 1 << 80, float("nan"), "", "x", "\0", "\ud800", "x" * 10_000, ROOT, CHANNEL, TEAM, [], {},
    [None], [[]], [{}], {"id": {}}, {"id": "\0"}, {"ts": []}, [{"team_id": 5}], [{"team_id": TEAM, "user_id": []}],
    [{"team_id": TEAM, "user_id": "\0", "is_enterprise_install": True}], [{"action_id": "enablebot_retry"}],
]  # fmt: skip
FIELDS = [
    "type",
    "event",
    "event_id",
    "event_time",
    "team_id",
    "authorizations",
    "subtype",
    "user",
    "text",
    "ts",
    "channel",
    "channel_type",
    "thread_ts",
    "bot_id",
    "hidden",
    "previous_message",
    "actions",
    "container",
    "message",
    "trigger_id",
]


def shaped(event: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {**event, **changes}


@settings(max_examples=500, deadline=None)
@given(
    wrapper=st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(ODD), max_size=5),
    inner=st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(ODD), max_size=5),
)
def test_no_shape_of_json_makes_it_raise(wrapper: dict[str, Any], inner: dict[str, Any]) -> None:
    for event in (direct(), mention(), reply(), deletion(direct()), tombstone(direct())):
        found = relevance(shaped(envelope(shaped(event, inner)), wrapper))
        assert found is None or "\0" not in f"{found.event_key}{found.lane}{found.message_key}"
    retry_pressed(shaped(pressed_retry(), wrapper))
