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
    # What remains is for acting as an agent, not for hearing anything.
    assert set(REQUIRED_SCOPES) - needed == {"assistant:write"}


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


def test_the_product_calls_only_methods_its_scopes_allow() -> None:
    scope_of_method = {
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
        "agents.sessions.setStatus": "chat:write",
    }
    client = Path(enablebot.__file__).parent / "shared" / "slack" / "client.py"
    called = set(re.findall(r'"([a-z]+(?:\.[a-zA-Z0-9]+)+)"', client.read_text()))
    called.discard("slack_sdk.enablebot")
    assert called == set(scope_of_method)
    assert {scope for scope in scope_of_method.values() if scope} <= set(REQUIRED_SCOPES)
