"""The one app this Slack knows: its identity, its scopes and what it subscribed to."""

from __future__ import annotations

from types import MappingProxyType

APP_ID = "A0ENABLEBOT"
APP_NAME = "EnableBot"
VERIFICATION_TOKEN = "sandbox-verification-token"  # noqa: S105 - deprecated, sent because Slack still sends it

SCOPES = MappingProxyType(
    {
        "app_mentions:read": "View messages that directly mention @EnableBot in conversations it is in",
        "assistant:write": "Act as an agent: suggest prompts, set titles and status",
        "channels:history": "View messages in public channels it has been added to",
        "channels:join": "Join public channels",
        "channels:read": "View basic information about public channels",
        "chat:write": "Send messages as @EnableBot",
        "chat:write.customize": "Send messages with a customized name and avatar",
        "chat:write.public": "Send messages to channels it is not a member of",
        "commands": "Add shortcuts and slash commands",
        "files:read": "View files shared in conversations it has been added to",
        "files:write": "Upload, edit and delete files",
        "groups:history": "View messages in private channels it has been added to",
        "groups:read": "View basic information about private channels it has been added to",
        "im:history": "View direct messages with it",
        "im:read": "View basic information about direct messages",
        "im:write": "Start direct messages with people",
        "mpim:history": "View messages in group direct messages it has been added to",
        "mpim:read": "View basic information about group direct messages",
        "reactions:read": "View emoji reactions",
        "reactions:write": "Add and remove emoji reactions",
        "team:read": "View the workspace's name, domain and icon",
        "users:read": "View people in the workspace",
        "users:read.email": "View e-mail addresses of people in the workspace",
    }
)

DEFAULT_SCOPES = (
    "app_mentions:read",
    "assistant:write",
    "channels:history",
    "channels:read",
    "chat:write",
    "commands",
    "files:read",
    "groups:history",
    "groups:read",
    "im:history",
    "im:read",
    "im:write",
    "mpim:history",
    "reactions:read",
    "reactions:write",
    "team:read",
    "users:read",
)

SHORTCUTS = (
    {
        "name": "Add to knowledge",
        "type": "message",
        "callback_id": "enablebot_add_to_knowledge",
        "description": "EnableBot reads this message and its files",
    },
)

# Subscription (as the manifest names it) → the scope without which Slack does not send it.
BOT_EVENTS = MappingProxyType(
    {
        "app_home_opened": None,
        "app_context_changed": "assistant:write",
        "agent_session_stopped": "chat:write",
        "agent_session_title_changed": "chat:write",
        "app_mention": "app_mentions:read",
        "message.im": "im:history",
        "message.channels": "channels:history",
        "message.groups": "groups:history",
        "message.mpim": "mpim:history",
        "reaction_added": "reactions:read",
        "app_uninstalled": None,
        "tokens_revoked": None,
    }
)
