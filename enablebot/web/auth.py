"""Add to Slack: from the button to an installation, a session and the dashboard.

A state is 256 random bits, works once, for ten minutes, and only in the browser it was given to.
"""

import logging
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from enablebot.shared.errors import EnableBotError
from enablebot.shared.models.installation import REQUIRED_SCOPES, OAuthGrant, missing_scopes
from enablebot.web import paths
from enablebot.web.cookies import fingerprint, new_secret, secret_from
from enablebot.web.dashboard.session import sign_in
from enablebot.web.granting import obtain_grant
from enablebot.web.house import House, InHouse, SlackApp
from enablebot.web.notices import (
    NOT_CONFIGURED,
    STATE_MISSING,
    STATE_REFUSED,
    NoticeError,
    notice_for_slack_code,
)

STATE_SECONDS = 10 * 60

_PURPOSE = "install"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_log = logging.getLogger(__name__)

routes = APIRouter()

# Slack's own values are far shorter; what is longer is refused before anything looks at it.
Value = Annotated[str | None, Query(max_length=1024)]


@routes.head(paths.INSTALL)
@routes.head(paths.OAUTH_REDIRECT)
async def look_without_acting() -> Response:
    """Link scanners ask with HEAD before a person follows: they must not use up what the person needs."""
    return Response(status_code=204)


@routes.get(paths.INSTALL)
async def begin_install(request: Request, house: InHouse) -> Response:
    """Send the browser to Slack's consent page, with a state that only this browser can bring back."""
    app = _slack_app(house)
    if _is_elsewhere_on_this_machine(request, house):
        return _to(house.public_url + paths.INSTALL)
    # A browser keeps its mark, so that installations begun in two tabs can both be finished.
    browser = house.cookies.oauth.read(request) or new_secret()
    state = new_secret()
    await house.database.begin_oauth(
        state_hash=fingerprint(state),
        browser_hash=fingerprint(browser),
        purpose=_PURPOSE,
        return_to=None,
        lifetime_seconds=STATE_SECONDS,
    )
    asked = {
        "client_id": app.client_id,
        "scope": ",".join(REQUIRED_SCOPES),
        "redirect_uri": _redirect_uri(house),
        "state": state.reveal(),
    }
    response = _to(f"{house.settings.slack.base_url}/oauth/v2/authorize?{urlencode(asked)}")
    house.cookies.oauth.give(response, browser)
    return response


@routes.get(paths.OAUTH_REDIRECT)
async def finish_install(
    request: Request, house: InHouse, code: Value = None, state: Value = None, error: Value = None
) -> Response:
    """Where Slack sends the browser back to; nothing reaches Slack unless the state is used up here first."""
    app = _slack_app(house)
    try:
        grant = await _granted(request, house, app, code=code, state=state, error=error)
        tenant_id = await house.installations.save(grant, audit_actor=grant.installed_by)
        response = _to(paths.DASHBOARD)
        await sign_in(house, request, response, tenant_id=tenant_id, user_id=grant.installed_by)
    except NoticeError as stopped:
        _count(house, stopped.notice.code)
        raise
    except EnableBotError as failed:
        _count(house, failed.code)
        raise
    _count(house, "installed")
    _log.info("installed in %s; scopes missing: %s", tenant_id, ", ".join(missing_scopes(grant.scopes)) or "none")
    house.cookies.oauth.clear(response)
    return response


async def _granted(
    request: Request, house: House, app: SlackApp, *, code: str | None, state: str | None, error: str | None
) -> OAuthGrant:
    if error is not None:
        await _use_up(request, house, state)
        raise NoticeError(notice_for_slack_code(error))
    if code is None or state is None:
        raise NoticeError(STATE_MISSING)
    if not await _use_up(request, house, state):
        raise NoticeError(STATE_REFUSED)
    return await obtain_grant(house.slack, app, code=code, redirect_uri=_redirect_uri(house))


async def _use_up(request: Request, house: House, state: str | None) -> bool:
    """Whether this browser began this installation, which from now on nobody can finish a second time."""
    secret, browser = secret_from(state), house.cookies.oauth.read(request)
    if secret is None or browser is None:
        return False
    found = await house.database.consume_oauth_state(state_hash=fingerprint(secret), browser_hash=fingerprint(browser))
    return found is not None and found.purpose == _PURPOSE


def _slack_app(house: House) -> SlackApp:
    if house.slack_app is None:
        raise NoticeError(NOT_CONFIGURED)
    return house.slack_app


def _redirect_uri(house: House) -> str:
    return house.public_url + paths.OAUTH_REDIRECT


def _is_elsewhere_on_this_machine(request: Request, house: House) -> bool:
    """Whether 127.0.0.1 is in the address bar where Slack will send the browser to localhost, or the reverse.

    The cookie would be left behind on the other name.
    """
    here, public = request.url.hostname, urlsplit(house.public_url).hostname
    return here != public and here in _LOOPBACK and public in _LOOPBACK


def _count(house: House, outcome: str) -> None:
    house.metrics.installs.labels(outcome=outcome).inc()


def _to(address: str) -> Response:
    return RedirectResponse(address, status_code=303)
