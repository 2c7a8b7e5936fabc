"""One call of the Web API: who calls, with what, and the checks every method shares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from enablebot.sandbox.messages import Message, MessageLog
from enablebot.sandbox.refusal import RateLimited, Refused
from enablebot.sandbox.webapi.arguments import Arguments
from enablebot.sandbox.world import HISTORY_SCOPES, READ_SCOPES, Channel, Install, Token, World

if TYPE_CHECKING:
    from enablebot.sandbox.sandbox import Sandbox

Handler = Callable[["Call"], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Method:
    """A Web API method: its scope (None: none, or decided inside), its tier (None: special) and what it does."""

    name: str
    handler: Handler
    scope: str | None = None
    tier: int | None = None
    needs_token: bool = True


@dataclass(slots=True)
class Call:
    """A call being answered; `token` is None for the few methods that need none."""

    sandbox: Sandbox
    method: Method
    args: Arguments
    token: Token | None
    basic: tuple[str, str] | None = None
    bearer: str | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def world(self) -> World:
        return self.sandbox.world

    @property
    def install(self) -> Install:
        install = self.world.installs.get(self.team)
        if install is None:
            raise Refused("account_inactive")
        return install

    @property
    def team(self) -> str:
        if self.token is None:
            raise Refused("not_authed")
        return self.token.team

    def need(self, scope: str, *others: str) -> None:
        """Refuses unless the token has one of these scopes."""
        scopes = self.token.scopes if self.token else []
        if not any(wanted in scopes for wanted in (scope, *others)):
            raise Refused("missing_scope", needed=scope, provided=",".join(scopes))

    def allowed(self, scope: str) -> bool:
        return self.token is not None and scope in self.token.scopes

    def channel(self, name: str = "channel", *, reading: bool = False) -> Channel:
        """The channel an argument names; with `reading`, only where its history scope and membership allow."""
        channel = self.world.channel_in(self.team, self.args.required(name))
        # A DM is visible only to the two who talk in it, and the bot has one with everybody who wrote to it.
        if channel is None or (channel.kind != "channel" and self.install.bot_user not in channel.members):
            raise Refused("channel_not_found")
        if reading:
            self.need(HISTORY_SCOPES[channel.kind])
            self.require_member(channel)
        return channel

    def need_read(self, channel: Channel) -> None:
        self.need(READ_SCOPES[channel.kind])

    def require_member(self, channel: Channel) -> None:
        if self.install.bot_user not in channel.members:
            raise Refused("not_in_channel")

    def own_message(self, channel: Channel, *, foreign: str, ts: str | None = None) -> Message:
        """The app's own message of an argument `ts`; `foreign` is the error for somebody else's."""
        message = self.log(channel).visible(ts or self.args.required("ts"))
        if message is None or message.subtype == "tombstone":
            raise Refused("message_not_found")
        if message.bot_id != self.install.bot_id:
            raise Refused(foreign)
        return message

    def log(self, channel: Channel) -> MessageLog:
        return self.world.log(channel.id)

    def limit_posts(self, channel: Channel) -> None:
        """Counts a post into `channel`; refuses above Slack's pace."""
        wait = self.sandbox.limits.post(team=self.team, channel=channel.id, now=self.sandbox.clock.now())
        if wait:
            raise RateLimited(wait)
