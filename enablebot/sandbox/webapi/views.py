"""`views.open`, `views.publish`."""

from __future__ import annotations

import secrets
from typing import Any

import orjson

from enablebot.sandbox.blocks import checked_blocks
from enablebot.sandbox.manifest import APP_ID
from enablebot.sandbox.refusal import Refused, invalid_arguments
from enablebot.sandbox.webapi.call import Call, Method

_VIEW_BYTES = 250_000
_TITLE = 24
_PRIVATE_METADATA = 3000
_CALLBACK_ID = 255
_BLOCKS = 100


async def open_view(call: Call) -> dict[str, Any]:
    trigger = call.args.required("trigger_id")
    given = _given(call, kind="modal")
    user = call.sandbox.interactivity.use_trigger(trigger, team=call.team)
    view = _kept(call, given)
    call.world.views[view["id"]] = view
    call.sandbox.changes.publish("view", team=call.team, user=user, view_id=view["id"])
    call.sandbox.save_soon()
    return {"view": view}


async def publish(call: Call) -> dict[str, Any]:
    user = call.world.user_in(call.team, call.args.required("user_id"))
    if user is None or user.is_bot:
        raise invalid_arguments("user_not_found [json-pointer:/user_id]")
    given = _given(call, kind="home")
    known = call.world.views.get(f"home:{user.id}")
    asked = call.args.text("hash")
    if asked and known and asked != known["hash"]:
        raise Refused("hash_conflict")
    view = _kept(call, given)
    if known:
        view["id"] = view["root_view_id"] = known["id"]
    call.world.views[f"home:{user.id}"] = view
    call.sandbox.changes.publish("view", team=call.team, user=user.id, view_id=view["id"])
    call.sandbox.save_soon()
    return {"view": view}


def _given(call: Call, *, kind: str) -> dict[str, Any]:
    view = call.args.structure("view", error="invalid_arguments")
    if not isinstance(view, dict) or view.get("type") != kind:
        raise invalid_arguments(f"must be a view of type {kind} [json-pointer:/view]")
    if len(orjson.dumps(view)) > _VIEW_BYTES:
        raise Refused("view_too_large")
    if kind == "modal" and not _plain(view.get("title")):
        raise invalid_arguments("a modal needs a plain_text title of 1 to 24 characters [json-pointer:/view/title]")
    for name in ("submit", "close"):
        if name in view and not _plain(view[name]):
            raise invalid_arguments(f"must be plain_text of 1 to 24 characters [json-pointer:/view/{name}]")
    for name, most in (("private_metadata", _PRIVATE_METADATA), ("callback_id", _CALLBACK_ID)):
        if len(str(view.get(name, ""))) > most:
            raise invalid_arguments(f"must be no longer than {most} characters [json-pointer:/view/{name}]")
    return view | {"blocks": checked_blocks(view.get("blocks"), most=_BLOCKS, error="invalid_arguments")}


def _kept(call: Call, view: dict[str, Any]) -> dict[str, Any]:
    view_id = "V0" + secrets.token_hex(5).upper()
    return {
        "private_metadata": "",
        "callback_id": "",
        **view,
        "id": view_id,
        "team_id": call.team,
        "state": {"values": {}},
        "hash": f"{call.sandbox.clock.now():.0f}.{secrets.token_hex(4)}",
        "previous_view_id": None,
        "root_view_id": view_id,
        "app_id": APP_ID,
        "bot_id": call.install.bot_id,
        "app_installed_team_id": call.team,
    }


def _plain(text: Any) -> bool:
    return (
        isinstance(text, dict)
        and text.get("type") == "plain_text"
        and isinstance(text.get("text"), str)
        and 1 <= len(text["text"]) <= _TITLE
    )


METHODS = (
    Method("views.open", open_view, tier=4),
    Method("views.publish", publish, tier=4),
)
