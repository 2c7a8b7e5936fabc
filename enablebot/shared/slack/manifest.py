"""The app as Slack has to know it: what we ask for, what we are told, and not one thing more.

Schema: https://github.com/slackapi/manifest-schema, version 2.0.0.
"""

from typing import Any

from enablebot.shared.models.installation import REQUIRED_SCOPES

BOT_SCOPES: tuple[str, ...] = REQUIRED_SCOPES

# What Slack calls our entry in the menu of a message.
ADD_SHORTCUT = "enablebot_add_to_knowledge"

BOT_EVENTS: tuple[str, ...] = (
    "agent_session_stopped",
    "app_mention",
    "app_uninstalled",
    "message.channels",
    "message.groups",
    "message.im",
    "message.mpim",
    "tokens_revoked",
)


def build_manifest(*, api_url: str, web_url: str, by_socket: bool = False) -> dict[str, Any]:
    """The manifest to create the Slack app from, for services reachable at these addresses.

    With `by_socket` for an app in development that no address leads to: Slack refuses addresses that are not https.
    """
    api, web = api_url.rstrip("/"), web_url.rstrip("/")
    return {
        "_metadata": {"major_version": 2, "minor_version": 0},
        "display_information": {
            "name": "EnableBot",
            "description": "Answers your team's questions in channels, threads and direct messages.",
            "long_description": (
                "EnableBot is a teammate for your workspace. Mention it in a channel, go on in the thread, or write to "
                "it directly, and it answers where you asked. What it writes is made by a language model and can be "
                "wrong: check what matters. Tokens and conversation text are encrypted with a key of your workspace's "
                "own, and removing the app deletes its tokens at once."
            ),
            "background_color": "#1d1c1d",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": False,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            "bot_user": {"display_name": "EnableBot", "always_online": True},
            "agent_view": {
                "agent_description": "Answers your team's questions, in the thread where they were asked.",
                "suggested_prompts": [{"title": "What can you do?", "message": "What can you do?"}],
            },
            "shortcuts": [
                {
                    "name": "Add to knowledge",
                    "type": "message",
                    "callback_id": ADD_SHORTCUT,
                    "description": "EnableBot reads this message and its files",
                }
            ],
        },
        "oauth_config": {
            **({} if by_socket else {"redirect_urls": [f"{web}/slack/oauth_redirect"]}),
            "scopes": {"bot": list(BOT_SCOPES)},
        },
        "settings": {
            "event_subscriptions": {
                **({} if by_socket else {"request_url": f"{api}/slack/events"}),
                "bot_events": list(BOT_EVENTS),
            },
            "interactivity": {
                "is_enabled": True,
                **({} if by_socket else {"request_url": f"{api}/slack/interactions"}),
            },
            "org_deploy_enabled": not by_socket,
            "socket_mode_enabled": by_socket,
            "token_rotation_enabled": False,
        },
    }
