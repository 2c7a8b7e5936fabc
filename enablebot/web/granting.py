"""From a code to a grant: what Slack says about an installation, checked before anything is stored."""

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from enablebot.shared.errors import SlackError, SlackRateLimited, SlackUnknownOutcome, SlackUnreachable
from enablebot.shared.models.installation import OAuthGrant
from enablebot.shared.sensitive import Sensitive
from enablebot.web.calling import SlackCalls
from enablebot.web.house import SlackApp
from enablebot.web.notices import (
    NO_BOT,
    SLACK_BUSY,
    SLACK_REFUSED,
    SLACK_SILENT,
    Notice,
    NoticeError,
    notice_for_slack_code,
)

_log = logging.getLogger(__name__)


class _Answer(BaseModel):
    # A fault in Slack's answer must not quote it: it holds a token.
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class _Place(_Answer):
    id: str = Field(min_length=1)
    name: str | None = None


class _Person(_Answer):
    id: str = Field(min_length=1)


class _Access(_Answer):
    """`oauth.v2.access`, as far as a bot's installation needs it."""

    access_token: str = Field(min_length=1)
    scope: str = ""
    bot_user_id: str = Field(min_length=1)
    app_id: str = Field(min_length=1)
    team: _Place | None = None
    enterprise: _Place | None = None
    is_enterprise_install: bool = False
    authed_user: _Person
    refresh_token: str | None = None
    expires_in: int | None = None


class _Identity(_Answer):
    """`auth.test`."""

    user_id: str
    bot_id: str | None = None
    team_id: str | None = None
    enterprise_id: str | None = None


async def obtain_grant(slack: SlackCalls, app: SlackApp, *, code: str, redirect_uri: str) -> OAuthGrant:
    """Trade the code for a token and ask the token who it is; NoticeError says what to tell the person instead."""
    try:
        clients = await slack.clients()
        answer = await clients.exchange_code(
            client_id=app.client_id, client_secret=app.client_secret, code=code, redirect_uri=redirect_uri
        )
        access = _read_access(answer)
        token = Sensitive(access.access_token)
        team_id = None if access.team is None else access.team.id
        identity = await clients.for_workspace(token=token, team_id=team_id).auth_test()
    except SlackError as error:
        _log.warning("Slack ended an installation: %s", error.message)
        raise NoticeError(_notice_for(error)) from error
    return _grant(access, _read_identity(identity, access))


def _notice_for(error: SlackError) -> Notice:
    if isinstance(error, SlackRateLimited):
        return SLACK_BUSY
    if isinstance(error, SlackUnreachable | SlackUnknownOutcome):
        return SLACK_SILENT
    return notice_for_slack_code(error.slack_code)


def _read_access(answer: Mapping[str, Any]) -> _Access:
    try:
        access = _Access.model_validate(answer)
    except ValidationError as error:
        # Without a bot Slack leaves its token and its user out; the names of the fields say which.
        fields = ", ".join(str(fault["loc"][0]) for fault in error.errors(include_input=False))
        _log.warning("oauth.v2.access gave no usable bot: %s", fields)
        raise NoticeError(NO_BOT) from None
    place = access.enterprise if access.is_enterprise_install else access.team
    if place is None:
        _log.warning("oauth.v2.access named no place for the installation")
        raise NoticeError(SLACK_REFUSED)
    return access


def _read_identity(answer: Mapping[str, Any], access: _Access) -> _Identity:
    """auth.test's answer, if it speaks of the bot and the place that the token was granted for."""
    try:
        identity = _Identity.model_validate(answer)
    except ValidationError:
        identity = _Identity(user_id="")
    if identity.user_id != access.bot_user_id or not _is_same_place(identity, access):
        _log.warning("auth.test does not name the bot that oauth.v2.access granted")
        raise NoticeError(SLACK_REFUSED)
    return identity


def _is_same_place(identity: _Identity, access: _Access) -> bool:
    if not access.is_enterprise_install:
        return access.team is not None and identity.team_id == access.team.id
    # Slack documents the field as optional, so that its absence says nothing.
    return access.enterprise is not None and identity.enterprise_id in {None, access.enterprise.id}


def _grant(access: _Access, identity: _Identity) -> OAuthGrant:
    team = None if access.is_enterprise_install else access.team
    return OAuthGrant(
        app_id=access.app_id,
        enterprise_id=None if access.enterprise is None else access.enterprise.id,
        enterprise_name=None if access.enterprise is None else access.enterprise.name,
        team_id=None if team is None else team.id,
        team_name=None if team is None else team.name,
        is_org_wide=access.is_enterprise_install,
        bot_user_id=access.bot_user_id,
        bot_id=identity.bot_id,
        scopes=tuple(filter(None, (scope.strip() for scope in access.scope.split(",")))),
        bot_token=Sensitive(access.access_token),
        refresh_token=None if access.refresh_token is None else Sensitive(access.refresh_token),
        expires_in=access.expires_in,
        installed_by=access.authed_user.id,
    )
