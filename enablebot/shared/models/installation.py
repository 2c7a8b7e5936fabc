"""An installation: what a workspace, or an organisation for its workspaces, granted us."""

from collections.abc import Iterable
from dataclasses import dataclass

from enablebot.shared.sensitive import Sensitive

# What the product uses and nothing else; the manifest asks for exactly these.
REQUIRED_SCOPES: tuple[str, ...] = (
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
    "mpim:history",
    "users:read",
)


@dataclass(frozen=True, slots=True)
class OAuthGrant:
    """What oauth.v2.access and auth.test told us about a new installation.

    `team_id` is None for an organisation-wide grant; `expires_in` is in seconds, and None without token rotation.
    """

    app_id: str
    enterprise_id: str | None
    enterprise_name: str | None
    team_id: str | None
    team_name: str | None
    is_org_wide: bool
    bot_user_id: str
    bot_id: str | None
    scopes: tuple[str, ...]
    bot_token: Sensitive
    refresh_token: Sensitive | None
    expires_in: int | None
    installed_by: str

    @property
    def name(self) -> str:
        """What to call the place it was installed in."""
        own, other = (self.enterprise_name, self.team_name)[:: 1 if self.is_org_wide else -1]
        return own or other or self.team_id or self.enterprise_id or "this workspace"


def missing_scopes(granted: Iterable[str]) -> tuple[str, ...]:
    """The scopes we need and were not granted, in the order we list them."""
    held = frozenset(granted)
    return tuple(scope for scope in REQUIRED_SCOPES if scope not in held)
