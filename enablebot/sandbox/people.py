"""What people do: write, edit, delete, react, press stop, open the app."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from enablebot.sandbox.messages import Message
from enablebot.sandbox.refusal import Refused
from enablebot.sandbox.wording import as_stored, rich_text
from enablebot.sandbox.world import Channel, User, bot_user_id

if TYPE_CHECKING:
    from enablebot.sandbox.sandbox import Sandbox


class People:
    """The human side of the conversation; each act raises Refused where Slack's client would not let them."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def write(
        self,
        *,
        team: str,
        channel: str,
        user: str,
        text: str,
        thread_ts: str | None = None,
        files: Sequence[str] = (),
    ) -> Message:
        """Posts as a person, with files they uploaded; `@bot` as channel means the person's DM with the bot."""
        person, place = self.placed(team=team, user=user, channel=channel)
        if not text.strip() and not files:
            raise Refused("no_text")
        if place.kind == "im" and team not in self._sandbox.world.installs:
            raise Refused("messages_tab_disabled")
        log = self._sandbox.world.log(place.id)
        if thread_ts:
            root = log.visible(thread_ts)
            if root is None or root.thread_ts:
                raise Refused("thread_not_found")
        shared = self._sandbox.files.share(files, team=team, user=user, channel=place.id)
        stored = as_stored(text, world=self._sandbox.world, team=team)
        message = Message(
            ts=log.next_ts(self._sandbox.clock.now()),
            channel=place.id,
            team=team,
            user=person.id,
            text=stored,
            thread_ts=thread_ts,
            subtype="file_share" if shared else None,
            blocks=rich_text(stored) if stored else None,
            client_msg_id=str(uuid.uuid4()),
            files=shared,
        )
        self._sandbox.add_message(message)
        return message

    def edit(self, *, team: str, channel: str, user: str, ts: str, text: str) -> Message:
        message = self._own(team=team, channel=channel, user=user, ts=ts)
        previous = self._sandbox.announcer.picture(message)
        had_mention = f"<@{bot_user_id(team)}>" in message.text
        message.text = as_stored(text, world=self._sandbox.world, team=team)
        message.blocks = rich_text(message.text)
        message.edited = {"user": user, "ts": self._moment(message.channel)}
        self._sandbox.announcer.changed(message, previous=previous, mention=not had_mention)
        self._sandbox.show(message, "changed")
        return message

    def delete(self, *, team: str, channel: str, user: str, ts: str) -> None:
        self._sandbox.remove_message(self._own(team=team, channel=channel, user=user, ts=ts))

    def react(self, *, team: str, channel: str, user: str, ts: str, name: str) -> None:
        _, place = self.placed(team=team, user=user, channel=channel)
        message = self._sandbox.world.log(place.id).visible(ts)
        if message is None:
            raise Refused("message_not_found")
        self._sandbox.add_reaction(message, user=user, name=name)

    def stop(self, *, team: str, channel: str, user: str, thread_ts: str) -> list[str]:
        """Presses the stop button of a thread; the streams it ended."""
        person, place = self.placed(team=team, user=user, channel=channel)
        stopped = self._sandbox.streams.stop_by_user(place.id, thread_ts)
        event: dict[str, Any] = {
            "type": "agent_session_stopped",
            "channel": place.id,
            "thread_ts": thread_ts,
            "user": person.id,
            "streaming_message_ts": stopped,
            "event_ts": self._moment(place.id),
        }
        self._sandbox.announcer.tell(team, "agent_session_stopped", event)
        self._sandbox.save_soon()
        return stopped

    def promote(self, *, team: str, user: str, is_admin: bool, is_owner: bool) -> User:
        """Says whether a person is an admin or owner of the workspace, as `users.info` tells it."""
        person = self._sandbox.world.user_in(team, user)
        if person is None or person.is_bot:
            raise Refused("user_not_found")
        person.is_admin, person.is_owner = is_admin or is_owner, is_owner
        self._sandbox.save_soon()
        self._sandbox.changes.publish("install", team=team)
        return person

    def open_app(self, *, team: str, user: str, tab: str = "messages") -> Channel:
        """Opens the app's Messages or Home tab, as each visit to it does."""
        person, place = self.placed(team=team, user=user, channel="@bot")
        event: dict[str, Any] = {
            "type": "app_home_opened",
            "user": person.id,
            "channel": place.id,
            "tab": tab,
            "event_ts": self._moment(place.id),
        }
        view = self._sandbox.world.views.get(f"home:{person.id}")
        if tab == "home" and view:
            event["view"] = view
        self._sandbox.announcer.tell(team, "app_home_opened", event)
        return place

    def placed(self, *, team: str, user: str, channel: str) -> tuple[User, Channel]:
        """A person and a conversation that person is in."""
        world = self._sandbox.world
        if team not in world.teams:
            raise Refused("team_not_found")
        person = world.user_in(team, user)
        if person is None or person.is_bot or person.deleted:
            raise Refused("user_not_found")
        place = world.direct_channel(team, user) if channel == "@bot" else world.channel_in(team, channel)
        if place is None:
            raise Refused("channel_not_found")
        if user not in place.members:
            raise Refused("not_in_channel")
        return person, place

    def _own(self, *, team: str, channel: str, user: str, ts: str) -> Message:
        _, place = self.placed(team=team, user=user, channel=channel)
        message = self._sandbox.world.log(place.id).visible(ts)
        if message is None:
            raise Refused("message_not_found")
        if message.user != user:
            raise Refused("cant_update_message")
        return message

    def _moment(self, channel: str) -> str:
        return self._sandbox.world.log(channel).next_ts(self._sandbox.clock.now())
