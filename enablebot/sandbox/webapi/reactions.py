"""`reactions.add`, `reactions.remove`."""

from __future__ import annotations

import re
from typing import Any

from enablebot.sandbox.messages import Message
from enablebot.sandbox.refusal import Refused
from enablebot.sandbox.webapi.call import Call, Method

_NAME = re.compile(r"[a-z0-9_+'-]+(::skin-tone-[2-6])?")


async def add(call: Call) -> dict[str, Any]:
    message, name = _target(call)
    call.sandbox.add_reaction(message, user=call.install.bot_user, name=name)
    return {}


async def remove(call: Call) -> dict[str, Any]:
    message, name = _target(call)
    people = message.reactions.get(name, [])
    if call.install.bot_user not in people:
        raise Refused("no_reaction")
    people.remove(call.install.bot_user)
    if not people:
        del message.reactions[name]
    call.sandbox.show(message, "changed")
    return {}


def _target(call: Call) -> tuple[Message, str]:
    name = call.args.required("name").strip(":")
    if not _NAME.fullmatch(name):
        raise Refused("invalid_name")
    channel = call.channel()
    call.require_member(channel)
    message = call.log(channel).visible(call.args.required("timestamp"))
    if message is None:
        raise Refused("message_not_found")
    return message, name


METHODS = (
    Method("reactions.add", add, scope="reactions:write", tier=3),
    Method("reactions.remove", remove, scope="reactions:write", tier=2),
)
