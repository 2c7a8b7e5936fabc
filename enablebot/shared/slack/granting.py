"""A bot token that somebody holds already, and what Slack says it stands for."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from enablebot.shared.errors import BadRequest
from enablebot.shared.models.installation import OAuthGrant
from enablebot.shared.sensitive import Sensitive
from enablebot.shared.slack.client import SlackClients


class _Identity(BaseModel):
    """`auth.test`, for a bot's token: only those have a `bot_id`."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    user_id: str = Field(min_length=1)
    bot_id: str = Field(min_length=1)
    team_id: str = Field(min_length=1)
    team: str | None = None
    app_id: str | None = None
    enterprise_id: str | None = None
    is_enterprise_install: bool = False


async def grant_of_token(clients: SlackClients, token: Sensitive[str], *, app_id: str | None) -> OAuthGrant:
    """The installation that `token` belongs to, by `auth.test` and the scopes in its answer's header.

    `app_id` is for a Slack that does not tell the app. Raises SlackError, or BadRequest for what is no bot's token.
    """
    answer, scopes = await clients.for_workspace(token=token, team_id=None).auth_test_with_scopes()
    identity = _read(answer)
    app = identity.app_id or app_id
    if app is None:
        raise BadRequest(
            "Slack does not say which app this token is of. Name it with --app-id (A…, Basic Information)."
        )
    if app_id is not None and app != app_id:
        raise BadRequest(f"The bot token is of the app {app}, the app-level token of {app_id}. Use two of one app.")
    return OAuthGrant(
        app_id=app,
        enterprise_id=identity.enterprise_id,
        enterprise_name=None,
        team_id=None if identity.is_enterprise_install else identity.team_id,
        team_name=identity.team,
        is_org_wide=identity.is_enterprise_install,
        bot_user_id=identity.user_id,
        bot_id=identity.bot_id,
        scopes=scopes,
        bot_token=token,
        refresh_token=None,
        expires_in=None,
        # Nobody is known to have agreed, so that nobody may manage this installation by having made it.
        installed_by=identity.user_id,
    )


def _read(answer: dict[str, Any]) -> _Identity:
    try:
        return _Identity.model_validate(answer)
    except ValidationError:
        raise BadRequest(
            "This token is not a bot's. Copy the Bot User OAuth Token from the app's page OAuth & Permissions."
        ) from None
