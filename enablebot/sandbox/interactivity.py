"""Clicks on the app's buttons: payloads, trigger ids and response URLs."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from enablebot.sandbox.announcing import Announcer
from enablebot.sandbox.clock import Clock
from enablebot.sandbox.delivery import Answer, AppDelivery
from enablebot.sandbox.manifest import APP_ID, VERIFICATION_TOKEN
from enablebot.sandbox.messages import Block, Message
from enablebot.sandbox.refusal import Refused
from enablebot.sandbox.world import User, World

_TRIGGER_SECONDS = 3.0
_RESPONSE_SECONDS = 1800.0
_RESPONSE_USES = 5
_SHOWN_NAMES = {"im": "directmessage", "group": "privategroup", "mpim": "privategroup"}


@dataclass(slots=True)
class Trigger:
    team: str
    user: str
    issued_at: float
    used: bool = False


@dataclass(slots=True)
class ResponseAddress:
    """Where an app may answer without a token: five times in half an hour. `is_own`: the message is the app's."""

    message: Message
    user: str
    issued_at: float
    is_own: bool = True
    uses: int = 0


class Interactivity:
    """Sends interactions and remembers what may still be done with them."""

    def __init__(self, *, world: World, clock: Clock, announcer: Announcer, delivery: AppDelivery) -> None:
        self._world = world
        self._clock = clock
        self._announcer = announcer
        self._delivery = delivery
        self._triggers: dict[str, Trigger] = {}
        self._responses: dict[str, ResponseAddress] = {}

    async def click(self, message: Message, *, user: User, action_id: str, value: str | None, base_url: str) -> Answer:
        """Presses a button of `message`; raises Refused when it has none of that name."""
        block_id, element = find_element(message.blocks or [], action_id)
        channel = self._world.channels[message.channel]
        team = self._world.teams[message.team]
        action: dict[str, Any] = {
            "type": element["type"],
            "action_id": action_id,
            "block_id": block_id,
            "action_ts": f"{self._clock.now():.6f}",
        }
        pressed = value if value is not None else element.get("value")
        if pressed is not None:
            action["value"] = pressed
        if "text" in element:
            action["text"] = element["text"]
        is_ephemeral = message.ephemeral_to is not None
        container = {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": channel.id,
            "is_ephemeral": is_ephemeral,
        }
        if message.thread_ts:
            container["thread_ts"] = message.thread_ts
        payload: dict[str, Any] = {
            "type": "block_actions",
            "user": {"id": user.id, "username": user.name, "name": user.name, "team_id": user.team},
            "api_app_id": APP_ID,
            "token": VERIFICATION_TOKEN,
            "container": container,
            "trigger_id": self.trigger(team=user.team, user=user.id),
            "team": {"id": team.id, "domain": team.domain},
            "enterprise": None,
            "is_enterprise_install": False,
            "channel": {"id": channel.id, "name": channel.name or "directmessage"},
            "message": self._announcer.picture(message),
            "state": {"values": {}},
            "response_url": f"{base_url}/actions/{team.id}/{self._response_address(message, user.id)}",
            "actions": [action],
        }
        if is_ephemeral:
            # What only one person saw is not kept anywhere, so that Slack cannot tell what it said.
            del payload["message"]
        return await self._delivery.interact(payload)

    async def use_shortcut(self, message: Message, *, user: User, callback_id: str, base_url: str) -> Answer:
        """Sends a `message_action`: an entry of the app's in the menu of a message, whoever wrote it."""
        channel, team = self._world.channels[message.channel], self._world.teams[message.team]
        address = self._response_address(message, user.id, is_own=False)
        return await self._delivery.interact(
            {
                "type": "message_action",
                "token": VERIFICATION_TOKEN,
                "action_ts": f"{self._clock.now():.6f}",
                "team": {"id": team.id, "domain": team.domain},
                "user": {"id": user.id, "username": user.name, "name": user.name, "team_id": user.team},
                "channel": {"id": channel.id, "name": _SHOWN_NAMES.get(channel.kind, channel.name)},
                "is_enterprise_install": False,
                "enterprise": None,
                "callback_id": callback_id,
                "trigger_id": self.trigger(team=user.team, user=user.id),
                "response_url": f"{base_url}/actions/{team.id}/{address}",
                "message_ts": message.ts,
                "message": self._announcer.picture(message),
            }
        )

    def trigger(self, *, team: str, user: str) -> str:
        """A new trigger id: good for three seconds, once."""
        value = f"{secrets.randbelow(10**12)}.{secrets.randbelow(10**12)}.{secrets.token_hex(16)}"
        self._triggers[value] = Trigger(team, user, self._clock.now())
        return value

    def use_trigger(self, value: str, *, team: str) -> str:
        """The user behind a trigger id; refuses unknown, used and old ones."""
        trigger = self._triggers.get(value)
        if trigger is None or trigger.team != team:
            raise Refused("invalid_trigger_id")
        if trigger.used:
            raise Refused("exchanged_trigger_id")
        if self._clock.now() - trigger.issued_at > _TRIGGER_SECONDS:
            raise Refused("expired_trigger_id")
        trigger.used = True
        return trigger.user

    def use_response(self, team: str, address: str) -> ResponseAddress:
        """Counts one use of a response URL; refuses with Slack's plain words."""
        found = self._responses.get(address)
        if found is None or found.message.team != team:
            raise Refused("channel_not_found")
        if self._clock.now() - found.issued_at > _RESPONSE_SECONDS:
            raise Refused("expired_url")
        if found.uses >= _RESPONSE_USES:
            raise Refused("used_url")
        found.uses += 1
        return found

    def forget(self) -> None:
        self._triggers.clear()
        self._responses.clear()

    def _response_address(self, message: Message, user: str, *, is_own: bool = True) -> str:
        address = f"{secrets.randbelow(10**13)}/{secrets.token_urlsafe(18)}"
        self._responses[address] = ResponseAddress(message, user, self._clock.now(), is_own)
        return address


def find_element(blocks: list[Block], action_id: str) -> tuple[str, dict[str, Any]]:
    """The interactive element of that action id, with its block's id."""
    for block in blocks:
        candidates = [*block.get("elements", []), block.get("accessory"), block.get("element")]
        for element in candidates:
            if isinstance(element, dict) and element.get("action_id") == action_id:
                return str(block.get("block_id", "")), element
    raise Refused("action_not_found")
