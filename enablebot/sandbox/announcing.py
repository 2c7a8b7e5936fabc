"""From what happened to the events Slack sends about it: subscription, scope, membership, envelope."""

from __future__ import annotations

import secrets
from typing import Any

from enablebot.sandbox.clock import Clock
from enablebot.sandbox.delivery import AppDelivery
from enablebot.sandbox.files import Files
from enablebot.sandbox.ledger import Delivery
from enablebot.sandbox.manifest import APP_ID, APP_NAME, BOT_EVENTS, VERIFICATION_TOKEN
from enablebot.sandbox.messages import Message, shown
from enablebot.sandbox.world import Channel, Install, World, bot_user_id

_SUBSCRIPTIONS = {"channel": "message.channels", "group": "message.groups", "im": "message.im", "mpim": "message.mpim"}


class Announcer:
    """Tells the app, as far as its install may hear it."""

    def __init__(self, *, world: World, clock: Clock, delivery: AppDelivery, files: Files) -> None:
        self._world = world
        self._files = files
        self._clock = clock
        self._delivery = delivery

    def posted(self, message: Message) -> None:
        """A new message: `message.*`, `app_mention` when it names the bot, and the root's new reply count."""
        if message.ephemeral_to:
            return
        channel = self._world.channels[message.channel]
        picture = self.picture(message)
        self._message_event(channel, {**picture, "event_ts": message.ts})
        self._mention(channel, message, picture)
        if message.thread_ts:
            self._root_changed(channel, message)

    def changed(self, message: Message, *, previous: dict[str, Any], mention: bool = False) -> None:
        """An edit, a finished stream: `message_changed`, and again `app_mention` when an edit added the mention."""
        if message.ephemeral_to:
            return
        channel = self._world.channels[message.channel]
        picture = self.picture(message)
        self._changed_event(channel, picture, previous)
        if mention:
            self._mention(channel, message, picture)

    def deleted(self, message: Message, *, previous: dict[str, Any]) -> None:
        if message.ephemeral_to:
            return
        channel = self._world.channels[message.channel]
        event = {
            "type": "message",
            "subtype": "message_deleted",
            "hidden": True,
            "deleted_ts": message.ts,
            "previous_message": previous,
        }
        self._message_event(channel, event | self._moment(channel))

    def reacted(self, message: Message, *, user: str, name: str) -> None:
        channel = self._world.channels[message.channel]
        if self._hears(channel):
            item = {"type": "message", "channel": message.channel, "ts": message.ts}
            event = {"type": "reaction_added", "user": user, "reaction": name, "item_user": message.user, "item": item}
            self.tell(channel.team, "reaction_added", event | {"event_ts": self._moment(channel)["ts"]})

    def tell(
        self, team: str, subscription: str, event: dict[str, Any], *, install: Install | None = None
    ) -> Delivery | None:
        """Sends `event` if the app subscribed to it and its install may hear it; None when not."""
        install = install or self._world.installs.get(team)
        if install is None or subscription not in BOT_EVENTS:
            return None
        scope = BOT_EVENTS[subscription]
        if scope and scope not in install.scopes:
            return None
        return self.send_raw(team, event)

    def send_raw(
        self, team: str, event: Any, *, event_id: str | None = None, overrides: dict[str, Any] | None = None
    ) -> Delivery:
        """Sends anything in an envelope; `overrides` replaces the envelope's fields."""
        channel = event.get("channel", "") if isinstance(event, dict) else ""
        envelope: dict[str, Any] = {
            "token": VERIFICATION_TOKEN,
            "team_id": team,
            "context_team_id": team,
            "context_enterprise_id": None,
            "api_app_id": APP_ID,
            "event": event,
            "type": "event_callback",
            "event_id": event_id or "Ev0" + secrets.token_hex(5).upper(),
            "event_time": int(self._clock.now()),
            "authorizations": [
                {
                    "enterprise_id": None,
                    "team_id": team,
                    "user_id": bot_user_id(team),
                    "is_bot": True,
                    "is_enterprise_install": False,
                }
            ],
            "is_ext_shared_channel": False,
            "event_context": f"1-{event.get('type') if isinstance(event, dict) else 'event'}-{team}-{channel}",
        }
        envelope |= overrides or {}
        return self._delivery.send(envelope)

    def picture(self, message: Message) -> dict[str, Any]:
        """The message as Slack shows it to the app."""
        log = self._world.log(message.channel)
        return shown(message, log, bot_name=message.username or APP_NAME, files=self._files.shared, with_metadata=True)

    def _hears(self, channel: Channel) -> bool:
        return bot_user_id(channel.team) in channel.members

    def _moment(self, channel: Channel) -> dict[str, str]:
        ts = self._world.log(channel.id).next_ts(self._clock.now())
        return {"ts": ts, "event_ts": ts}

    def _message_event(self, channel: Channel, event: dict[str, Any]) -> None:
        if self._hears(channel):
            placed = {**event, "channel": channel.id, "channel_type": channel.kind}
            self.tell(channel.team, _SUBSCRIPTIONS[channel.kind], placed)

    def _changed_event(self, channel: Channel, picture: dict[str, Any], previous: dict[str, Any]) -> None:
        event = {"type": "message", "subtype": "message_changed", "hidden": True}
        event |= {"message": picture, "previous_message": previous}
        self._message_event(channel, event | self._moment(channel))

    def _mention(self, channel: Channel, message: Message, picture: dict[str, Any]) -> None:
        bot = bot_user_id(channel.team)
        if channel.kind == "im" or message.user == bot or not self._hears(channel) or f"<@{bot}>" not in message.text:
            return
        event = {**picture, "type": "app_mention", "channel": channel.id, "event_ts": message.ts}
        event.pop("parent_user_id", None)
        self.tell(channel.team, "app_mention", event)

    def _root_changed(self, channel: Channel, reply: Message) -> None:
        root = self._world.log(channel.id).visible(reply.thread_ts or "")
        if root is None:
            return
        picture = self.picture(root)
        self._changed_event(channel, picture, _before_reply(picture))


def _before_reply(picture: dict[str, Any]) -> dict[str, Any]:
    """A root as it looked one reply earlier; who replied last is not kept, so a first reply is told exactly."""
    count = picture["reply_count"] - 1
    if count:
        return {**picture, "reply_count": count}
    thread = ("reply_count", "reply_users_count", "latest_reply", "reply_users", "is_locked", "thread_ts")
    return {name: value for name, value in picture.items() if name not in thread}
