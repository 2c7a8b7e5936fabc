"""The app's own standing: `oauth.v2.access`, `auth.*`, `apps.*`."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from enablebot.sandbox.limits import TIERS
from enablebot.sandbox.manifest import APP_ID, APP_NAME
from enablebot.sandbox.refusal import RateLimited, Refused
from enablebot.sandbox.webapi.call import Call, Method


async def exchange_code(call: Call) -> dict[str, Any]:
    client_id, client_secret = call.basic or (call.args.text("client_id"), call.args.text("client_secret"))
    granting = call.sandbox.granting
    granting.check_client(client_id, client_secret)
    grant_type = call.args.text("grant_type") or "authorization_code"
    if grant_type == "refresh_token":
        raise Refused("invalid_refresh_token")
    if grant_type != "authorization_code":
        raise Refused("invalid_grant_type")
    answer = granting.exchange(call.args.text("code"), redirect_uri=call.args.text("redirect_uri"))
    call.sandbox.installed(call.world.installs[answer["team"]["id"]])
    return answer


async def test_auth(call: Call) -> dict[str, Any]:
    team = call.world.teams[call.team]
    return {
        "url": f"https://{team.domain}.slack.com/",
        "team": team.name,
        "user": APP_NAME.lower(),
        "team_id": team.id,
        "user_id": call.install.bot_user,
        "bot_id": call.install.bot_id,
        "is_enterprise_install": False,
        "app_id": APP_ID,
        "app_name": APP_NAME,
    }


async def revoke(call: Call) -> dict[str, Any]:
    if call.args.truthy("test"):
        return {"revoked": False}
    # Without token rotation the bot token is the install: revoking the one removes the other.
    call.sandbox.uninstall(call.team, because="token_revoked")
    return {"revoked": True}


async def uninstall(call: Call) -> dict[str, Any]:
    client_id, client_secret = call.basic or (call.args.text("client_id"), call.args.text("client_secret"))
    call.sandbox.granting.check_client(client_id, client_secret)
    call.sandbox.uninstall(call.team)
    return {}


async def open_socket(call: Call) -> dict[str, Any]:
    """The address of one Socket Mode connection, for the app-level token alone."""
    if not call.bearer:
        raise Refused("not_authed")
    if call.token is not None:
        raise Refused("not_allowed_token_type")
    if call.bearer != call.sandbox.config.app_token:
        raise Refused("invalid_auth")
    wait = call.sandbox.limits.minute(
        team=APP_ID, method=call.method.name, limit=TIERS[3], now=call.sandbox.clock.now()
    )
    if wait:
        raise RateLimited(wait)
    # Apps append `&debug_reconnects=true` to the address themselves.
    query = urlencode({"ticket": call.sandbox.sockets.ticket(), "app_id": APP_ID})
    return {"url": f"{call.sandbox.socket_url}?{query}"}


METHODS = (
    Method("oauth.v2.access", exchange_code, needs_token=False),
    Method("auth.test", test_auth),
    Method("auth.revoke", revoke, tier=3),
    Method("apps.uninstall", uninstall, tier=1),
    Method("apps.connections.open", open_socket, needs_token=False),
)
