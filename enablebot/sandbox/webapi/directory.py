"""Who is who: `users.info`, `team.info`."""

from __future__ import annotations

from typing import Any

from enablebot.sandbox.manifest import APP_ID
from enablebot.sandbox.refusal import Refused
from enablebot.sandbox.webapi.call import Call, Method
from enablebot.sandbox.world import User


async def user_info(call: Call) -> dict[str, Any]:
    user = call.world.user_in(call.team, call.args.required("user"))
    if user is None:
        raise Refused("user_not_found")
    described = _described(call, user)
    if call.args.truthy("include_locale"):
        described["locale"] = "en-GB"
    return {"user": described}


async def team_info(call: Call) -> dict[str, Any]:
    wanted = call.args.text("team") or call.team
    if wanted != call.team:
        raise Refused("team_not_found")
    team = call.world.teams[call.team]
    return {
        "team": {
            "id": team.id,
            "name": team.name,
            "domain": team.domain,
            "url": f"https://{team.domain}.slack.com/",
            "email_domain": "",
            "icon": {"image_default": True, "image_132": "https://a.slack-edge.com/sandbox/team_132.png"},
        }
    }


def _described(call: Call, user: User) -> dict[str, Any]:
    profile: dict[str, Any] = {
        "real_name": user.real_name,
        "display_name": user.name,
        "first_name": user.real_name,
        "team": user.team,
        "image_72": "https://a.slack-edge.com/sandbox/user_72.png",
    }
    if user.is_bot:
        profile |= {"bot_id": call.install.bot_id, "api_app_id": APP_ID}
    elif call.allowed("users:read.email"):
        profile["email"] = f"{user.name}@{call.world.teams[user.team].domain}.example"
    described: dict[str, Any] = {
        "id": user.id,
        "team_id": user.team,
        "name": user.name,
        "deleted": user.deleted,
        "real_name": user.real_name,
        "profile": profile,
        "is_bot": user.is_bot,
        "is_app_user": False,
        "updated": 1_700_000_000,
    }
    if user.deleted:
        return described
    return described | {
        "tz": "Europe/London",
        "tz_label": "Greenwich Mean Time",
        "tz_offset": 0,
        "is_admin": user.is_admin,
        "is_owner": user.is_owner,
        "is_primary_owner": user.is_owner,
        "is_restricted": user.is_restricted,
        "is_ultra_restricted": False,
    }


METHODS = (
    Method("users.info", user_info, scope="users:read", tier=4),
    Method("team.info", team_info, scope="team:read", tier=3),
)
