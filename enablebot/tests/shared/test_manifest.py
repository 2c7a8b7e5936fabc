"""The manifest asks for what is used and for nothing else."""

import re
from pathlib import Path

import enablebot
from enablebot.api.slack.relevance import relevance
from enablebot.shared.models.installation import REQUIRED_SCOPES
from enablebot.shared.slack.manifest import BOT_EVENTS, build_manifest

MANIFEST = build_manifest(api_url="https://api.example.com/", web_url="https://bot.example.com/")

# https://docs.slack.dev/reference/events: the scope without which Slack does not send an event.
SCOPE_OF_EVENT = {
    "agent_session_stopped": "chat:write",
    "app_mention": "app_mentions:read",
    "app_uninstalled": None,
    "message.channels": "channels:history",
    "message.groups": "groups:history",
    "message.im": "im:history",
    "message.mpim": "mpim:history",
    "tokens_revoked": None,
}


def test_addresses_are_those_of_the_two_services() -> None:
    settings = MANIFEST["settings"]
    assert settings["event_subscriptions"]["request_url"] == "https://api.example.com/slack/events"
    assert settings["interactivity"]["request_url"] == "https://api.example.com/slack/interactions"
    assert MANIFEST["oauth_config"]["redirect_urls"] == ["https://bot.example.com/slack/oauth_redirect"]


def test_scopes_are_those_the_installation_insists_on() -> None:
    assert MANIFEST["oauth_config"]["scopes"] == {"bot": list(REQUIRED_SCOPES)}


def test_every_event_has_its_scope_and_every_reading_scope_its_event() -> None:
    needed = {SCOPE_OF_EVENT[event] for event in BOT_EVENTS} - {None}
    assert needed <= set(REQUIRED_SCOPES)
    # What remains hears nothing: acting as an agent, shortcuts, and what methods need.
    methods = {scope for scope in SCOPE_OF_METHOD.values() if scope}
    assert set(REQUIRED_SCOPES) - needed - methods == {"assistant:write", "commands", "groups:read"}


def test_every_event_it_asks_for_is_handled() -> None:
    common = {"channel": "C1", "user": "U1", "ts": "1.000001", "text": "<@UBOT> hi"}
    for name in BOT_EVENTS:
        kind, _, channel_type = name.partition(".")
        event = {**common, "type": kind, "channel_type": channel_type or "channel", "thread_ts": "1.000001"}
        envelope = {
            "event_id": "Ev1",
            "event": event,
            "authorizations": [{"team_id": "T1", "user_id": "UBOT", "is_enterprise_install": False}],
        }
        assert relevance(envelope) is not None, name


def test_texts_keep_within_slacks_limits() -> None:
    shown = MANIFEST["display_information"]
    assert len(shown["name"]) <= 35
    assert len(shown["description"]) <= 140
    assert 175 <= len(shown["long_description"]) <= 4000
    assert len(MANIFEST["features"]["agent_view"]["agent_description"]) <= 300
    assert re.fullmatch(r"#[0-9a-f]{6}", shown["background_color"])


def test_warns_that_answers_can_be_wrong() -> None:
    assert "can be wrong" in MANIFEST["display_information"]["long_description"]


def test_the_shortcut_keeps_within_slacks_limits() -> None:
    (shortcut,) = MANIFEST["features"]["shortcuts"]
    assert (shortcut["type"], shortcut["callback_id"]) == ("message", "enablebot_add_to_knowledge")
    assert len(shortcut["name"]) <= 24
    assert len(shortcut["description"]) <= 150


SCOPE_OF_METHOD = {
    "auth.test": None,
    "oauth.v2.access": None,
    # Socket Mode, with a token of the app's own.
    "apps.connections.open": None,
    "chat.postMessage": "chat:write",
    "chat.postEphemeral": "chat:write",
    "chat.update": "chat:write",
    "chat.delete": "chat:write",
    "chat.startStream": "chat:write",
    "chat.appendStream": "chat:write",
    "chat.stopStream": "chat:write",
    "conversations.replies": "channels:history",
    # Private channels only with groups:read besides.
    "users.conversations": "channels:read",
    "users.info": "users:read",
    "files.info": "files:read",
    "agents.sessions.setStatus": "chat:write",
}


def test_the_product_calls_only_methods_its_scopes_allow() -> None:
    client = Path(enablebot.__file__).parent / "shared" / "slack" / "client.py"
    called = set(re.findall(r'"([a-z]+(?:\.[a-zA-Z0-9]+)+)"', client.read_text()))
    # A logger, and a host.
    called -= {"slack_sdk.enablebot", "hooks.slack.com"}
    assert called == set(SCOPE_OF_METHOD)
    assert {scope for scope in SCOPE_OF_METHOD.values() if scope} <= set(REQUIRED_SCOPES)
