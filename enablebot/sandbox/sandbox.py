"""The played Slack as one object: its parts, and what tests and pages do with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from enablebot.sandbox.announcing import Announcer
from enablebot.sandbox.changes import Changes
from enablebot.sandbox.clock import Clock
from enablebot.sandbox.config import SandboxConfig
from enablebot.sandbox.crowd import Crowd
from enablebot.sandbox.delivery import Answer, AppDelivery, AppUrls
from enablebot.sandbox.faults import Faults
from enablebot.sandbox.files import Files
from enablebot.sandbox.granting import Granting
from enablebot.sandbox.interactivity import Interactivity
from enablebot.sandbox.ledger import Ledger
from enablebot.sandbox.limits import RateLimits
from enablebot.sandbox.manifest import DEFAULT_SCOPES, SHORTCUTS
from enablebot.sandbox.messages import Message
from enablebot.sandbox.openai.desk import Desk
from enablebot.sandbox.people import People
from enablebot.sandbox.persistence import WorldFile
from enablebot.sandbox.refusal import Refused
from enablebot.sandbox.sessions import Sessions
from enablebot.sandbox.sockets import Sockets
from enablebot.sandbox.streams import Streams
from enablebot.sandbox.world import Install, User, World, founding

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Installed:
    """A finished install, as tests want it."""

    team: str
    token: str
    bot_user: str
    bot_id: str
    scopes: tuple[str, ...]
    installer: str


class Sandbox:
    """One Slack with one app in it."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.base_url = "http://localhost:8002"
        self.clock = Clock()
        self.changes = Changes()
        self.faults = Faults()
        self.faults.watch(self.changes.touch)
        self.desk = Desk.of(config)
        self.ledger = Ledger(self.changes.touch, kept=config.kept)
        self.limits = RateLimits(enforced=config.rate_limits, post_burst=config.post_burst)
        self.urls = AppUrls(
            config.events_url,
            config.interactions_url,
            config.redirect_url,
            config.more_events_urls,
            config.more_interactions_urls,
        )
        self.stopping = asyncio.Event()
        self._file = WorldFile(config.data_dir)
        self.world = self._file.read() or founding()
        self.sockets = Sockets(config, clock=self.clock, ledger=self.ledger)
        self.delivery = AppDelivery(config, urls=self.urls, sockets=self.sockets, clock=self.clock, ledger=self.ledger)
        self.files = Files(self.world, self.clock, base_url=lambda: self.base_url, data_dir=config.data_dir)
        self.announcer = Announcer(world=self.world, clock=self.clock, delivery=self.delivery, files=self.files)
        self.sessions = Sessions(world=self.world, clock=self.clock, changes=self.changes)
        self.streams = Streams(
            world=self.world,
            clock=self.clock,
            changes=self.changes,
            announcer=self.announcer,
            sessions=self.sessions,
            lifetime=config.stream_seconds * config.time_scale,
        )
        self.granting = Granting(config, world=self.world, clock=self.clock, urls=self.urls)
        self.interactivity = Interactivity(
            world=self.world, clock=self.clock, announcer=self.announcer, delivery=self.delivery
        )
        self.people = People(self)
        self.crowd = Crowd(self)

    @property
    def socket_url(self) -> str:
        """Where sockets connect, without a ticket."""
        return self.base_url.replace("http", "ws", 1) + "/link/"

    @property
    def openai_url(self) -> str:
        return self.base_url + "/openai/v1"

    def config_urls(
        self,
        *,
        events_url: str | None = None,
        interactions_url: str | None = None,
        redirect_url: str | None = None,
    ) -> None:
        """Changes where the app listens; None leaves an address as it is, a new one is the only one of its kind."""
        if events_url:
            self.urls.more_events_urls = ()
        if interactions_url:
            self.urls.more_interactions_urls = ()
        self.urls.events_url = events_url or self.urls.events_url
        self.urls.interactions_url = interactions_url or self.urls.interactions_url
        self.urls.redirect_url = redirect_url or self.urls.redirect_url

    async def post(
        self,
        *,
        team: str,
        channel: str,
        user: str,
        text: str,
        thread_ts: str | None = None,
        files: Sequence[str] = (),
    ) -> str:
        """Posts as a person, with `files` they uploaded, and returns the message's `ts`; raises Refused."""
        return self.people.write(team=team, channel=channel, user=user, text=text, thread_ts=thread_ts, files=files).ts

    def upload(
        self, *, team: str, user: str, name: str, content: bytes, overrides: Mapping[str, Any] | None = None
    ) -> str:
        """Uploads as a person and returns the file's id, for a message to share; raises Refused."""
        file = self.files.upload(team=team, user=user, name=name, content=content, overrides=overrides)
        self.save_soon()
        return file.id

    def messages(self, team: str, channel: str, thread_ts: str | None = None) -> list[dict[str, Any]]:
        """A whole channel, or one thread, oldest first; `@bot/<user>` is that person's DM with the bot."""
        if channel.startswith("@bot/"):
            channel = self.world.direct_channel(team, channel.removeprefix("@bot/")).id
        if self.world.channel_in(team, channel) is None:
            raise Refused("channel_not_found")
        self.streams.age()
        log = self.world.log(channel)
        return [
            self._picture(message)
            for message in log.by_ts.values()
            if thread_ts is None or thread_ts in (message.ts, message.thread_ts)
        ]

    def install(self, team: str, *, user: str | None = None, scopes: tuple[str, ...] = DEFAULT_SCOPES) -> Installed:
        """What the consent page does, without the page; `user` is the workspace's first admin when not named."""
        installer = user or next(u.id for u in self.world.users.values() if u.team == team and u.is_admin)
        install = self.granting.install(team=team, user=installer, scopes=scopes)
        self.installed(install)
        return Installed(
            team, install.token, install.bot_user, install.bot_id, tuple(install.scopes), install.installer
        )

    def uninstall(self, team: str, *, because: str = "account_inactive") -> bool:
        """Removes the app as an admin would: the token is dead and two events say so. False when it was not there."""
        install = self.world.remove_app(team, because=because)
        if install is None:
            return False
        tokens = {"oauth": [], "bot": [install.bot_user]}
        self.announcer.tell(team, "app_uninstalled", {"type": "app_uninstalled"}, install=install)
        self.announcer.tell(team, "tokens_revoked", {"type": "tokens_revoked", "tokens": tokens}, install=install)
        self._file.write(self.world)
        self.changes.publish("install", team=team)
        return True

    def invite(self, team: str, channel: str) -> None:
        """Adds the bot to a channel."""
        place, install = self.world.channel_in(team, channel), self.world.installs.get(team)
        if place is None:
            raise Refused("channel_not_found")
        if install is None:
            raise Refused("app_not_installed")
        if install.bot_user not in place.members:
            place.members.append(install.bot_user)
        self._file.write(self.world)
        self.changes.publish("channel", team=team, channel=channel)

    async def click(
        self, *, team: str, channel: str, ts: str, user: str, action_id: str, value: str | None = None
    ) -> Answer:
        """Presses a button and waits for the app's acknowledgement."""
        person, place = self.people.placed(team=team, user=user, channel=channel)
        message = self.world.log(place.id).by_ts.get(ts)
        if message is None or message.ephemeral_to not in (None, person.id):
            raise Refused("message_not_found")
        return await self.interactivity.click(
            message, user=person, action_id=action_id, value=value, base_url=self.base_url
        )

    async def use_shortcut(self, *, team: str, channel: str, ts: str, user: str, callback_id: str) -> Answer:
        """Chooses one of the app's entries in a message's menu and waits for the app's acknowledgement."""
        person, place = self.people.placed(team=team, user=user, channel=channel)
        install = self.world.installs.get(team)
        if install is None:
            raise Refused("app_not_installed")
        if "commands" not in install.scopes or not any(one["callback_id"] == callback_id for one in SHORTCUTS):
            raise Refused("shortcut_not_found")
        message = self.world.log(place.id).visible(ts)
        if message is None:
            raise Refused("message_not_found")
        return await self.interactivity.use_shortcut(
            message, user=person, callback_id=callback_id, base_url=self.base_url
        )

    async def wait_for(self, ready: Callable[[], T], *, timeout: float = 5.0) -> T:  # noqa: ASYNC109 - the door's name
        """What `ready` returns once it is true; looks after each change. Raises TimeoutError."""
        return await self.changes.wait_for(ready, timeout=timeout)

    async def settled(self) -> None:
        """Returns when every delivery is finished, repetitions included."""
        await self.delivery.settled()

    def reset(self) -> None:
        """Back to the two fresh workspaces: no installs, no messages, no faults, an empty ledger."""
        fresh = founding()
        for field in fields(World):
            setattr(self.world, field.name, getattr(fresh, field.name))
        self.interactivity.forget()
        self.files.forget()
        self.limits.forget()
        self.faults.replace([])
        self.crowd.forget()
        self.ledger.forget()
        self._file.write(self.world)
        for team in self.world.teams:
            self.changes.publish("reset", team=team)

    def stop(self) -> None:
        """Tells live pages and hanging calls to end."""
        self.stopping.set()
        self.changes.touch()

    async def close(self) -> None:
        self.stop()
        self.crowd.hush()
        self.streams.close()
        await self.delivery.close()
        self._file.write(self.world)

    def people_of(self, team: str) -> list[User]:
        return [user for user in self.world.users.values() if user.team == team and not user.is_bot]

    def violated(self, kind: str, detail: str) -> None:
        self.ledger.violated(kind, detail, at=self.clock.now())

    def installed(self, install: Install) -> None:
        """Keeps a new install and tells the pages."""
        self._file.write(self.world)
        self.changes.publish("install", team=install.team)

    def add_message(self, message: Message) -> None:
        """Puts a message into its channel, tells the app and the pages."""
        self.world.log(message.channel).add(message)
        self.announcer.posted(message)
        self.show(message, "message")

    def remove_message(self, message: Message) -> None:
        previous = self.announcer.picture(message)
        self.world.log(message.channel).remove(message)
        self.announcer.deleted(message, previous=previous)
        self.show(message, "deleted")

    def add_reaction(self, message: Message, *, user: str, name: str) -> None:
        people = message.reactions.setdefault(name, [])
        if user in people:
            raise Refused("already_reacted")
        people.append(user)
        self.announcer.reacted(message, user=user, name=name)
        self.show(message, "changed")

    def show(self, message: Message, what: str) -> None:
        """Tells live pages about a message and lets the world be written."""
        self.save_soon()
        where = {"channel": message.channel, "ts": message.ts, "thread_ts": message.thread_ts}
        self.changes.publish(what, team=message.team, **where)

    def save_soon(self) -> None:
        self._file.write_soon(self.world)

    def _picture(self, message: Message) -> dict[str, Any]:
        extra: dict[str, Any] = {"format": "markdown" if message.markdown else "mrkdwn"}
        if message.ephemeral_to:
            extra["ephemeral_to"] = message.ephemeral_to
        return self.announcer.picture(message) | extra
