"""`files.info`."""

from __future__ import annotations

from typing import Any

from enablebot.sandbox.refusal import Refused
from enablebot.sandbox.webapi.call import Call, Method


async def info(call: Call) -> dict[str, Any]:
    file = call.sandbox.files.find(call.args.required("file"), team=call.team)
    if not call.sandbox.files.is_visible(file, call.install.bot_user):
        raise Refused("file_not_found")
    return {
        "file": call.sandbox.files.picture(file),
        "comments": [],
        "response_metadata": {"next_cursor": ""},
    }


METHODS = (Method("files.info", info, scope="files:read", tier=4),)
