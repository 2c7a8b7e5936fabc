"""Which presses and shortcuts are for us, as a pure function of what Slack posts."""

from typing import Any

import pytest

from enablebot.api.slack.interactions import interaction_for_us

PRESS: dict[str, Any] = {
    "type": "block_actions",
    "trigger_id": "1.2.abc",
    "team": {"id": "T1"},
    "user": {"id": "U1", "team_id": "T1"},
    "channel": {"id": "D1"},
    "container": {"type": "message", "channel_id": "D1", "message_ts": "5.000001", "thread_ts": "4.000001"},
    "message": {"ts": "5.000001"},
    "actions": [{"action_id": "enablebot_undo_add", "value": "x"}],
}
SHORTCUT: dict[str, Any] = {
    "type": "message_action",
    "callback_id": "enablebot_add_to_knowledge",
    "trigger_id": "1.2.abc",
    "team": {"id": "T1"},
    "user": {"id": "U1", "team_id": "T1"},
    "channel": {"id": "C1", "name": "general"},
    "message_ts": "5.000001",
    "message": {"text": "hello", "thread_ts": "4.000001"},
    "response_url": "https://hooks.slack.com/actions/T1/1/x",
}


@pytest.mark.parametrize("action", ["enablebot_undo_add", "enablebot_redo_add"])
def test_both_buttons_are_for_us_and_each_press_is_a_wish_of_its_own(action: str) -> None:
    found = interaction_for_us({**PRESS, "actions": [{"action_id": action}]})
    assert found is not None
    assert (found.kind, found.event_key, found.message_key) == ("interaction", "trigger:1.2.abc", None)
    assert (found.channel, found.ts, found.team_id) == ("D1", "5.000001", "T1")


@pytest.mark.parametrize("payload", [PRESS, SHORTCUT])
def test_neither_draws_the_bot_into_the_conversation(payload: dict[str, Any]) -> None:
    found = interaction_for_us(payload)
    assert found is not None
    # The lane of a conversation is `channel:thread`: whoever has one is answered without a mention.
    assert found.lane == f"files:{payload['channel']['id']}:5.000001"
    assert found.thread_ts is None


def test_a_press_on_what_only_one_person_sees_carries_no_message() -> None:
    payload = {name: value for name, value in PRESS.items() if name != "message"}
    payload["container"] = {**PRESS["container"], "is_ephemeral": True}
    assert interaction_for_us(payload) is not None


def test_the_retry_button_still_is_one() -> None:
    retry = {**PRESS, "actions": [{"action_id": "enablebot_retry"}]}
    found = interaction_for_us(retry)
    assert found is not None
    assert found.lane == "D1:4.000001"


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "shortcut"},
        {"callback_id": "somebody_elses"},
        {"trigger_id": None},
        {"trigger_id": "x" * 200},
        {"message_ts": "now"},
        {"message": None},
        {"channel": {}},
        {"team": {}, "user": {"id": "U1"}},
        {"user": {"team_id": "T1"}},
        {"user": "U1"},
        {"type": "enablebot_take_files"},
        {"type": "enablebot_tell_files"},
    ],
)
def test_what_lacks_a_part_is_none_of_ours(changed: dict[str, Any]) -> None:
    assert interaction_for_us({**SHORTCUT, **changed}) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"actions": []},
        {"actions": [{"action_id": "enablebot_undo_add"}] * 2},
        {"actions": [{"action_id": "other"}]},
        {"actions": "x"},
        {"container": {"channel_id": "D1"}, "message": {}},
        {"type": "view_submission"},
    ],
)
def test_another_press_is_none_of_ours(changed: dict[str, Any]) -> None:
    assert interaction_for_us({**PRESS, **changed}) is None
