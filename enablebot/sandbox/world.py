"""The played Slack's facts: workspaces, people, channels, installs, tokens and what was said."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any, Literal

from enablebot.sandbox.manifest import APP_NAME
from enablebot.sandbox.messages import MessageLog

ChannelKind = Literal["channel", "group", "im", "mpim"]
HISTORY_SCOPES: dict[ChannelKind, str] = {
    "channel": "channels:history",
    "group": "groups:history",
    "im": "im:history",
    "mpim": "mpim:history",
}
READ_SCOPES: dict[ChannelKind, str] = {
    "channel": "channels:read",
    "group": "groups:read",
    "im": "im:read",
    "mpim": "mpim:read",
}


@dataclass(slots=True)
class Team:
    id: str
    name: str
    domain: str


@dataclass(slots=True)
class User:
    id: str
    team: str
    name: str
    real_name: str
    is_admin: bool = False
    is_owner: bool = False
    is_restricted: bool = False
    is_bot: bool = False
    deleted: bool = False


@dataclass(slots=True)
class Channel:
    id: str
    team: str
    name: str
    kind: ChannelKind
    members: list[str]
    created: int = 1_700_000_000
    is_archived: bool = False


@dataclass(slots=True)
class File:
    """An upload; `channels` are the conversations it was shared in, `overrides` what its file object says instead."""

    id: str
    team: str
    user: str
    name: str
    size: int
    created: int
    channels: list[str] = field(default_factory=list)
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Install:
    """The app in one workspace."""

    team: str
    installer: str
    bot_user: str
    bot_id: str
    token: str
    scopes: list[str]
    installed_at: float


@dataclass(slots=True)
class Token:
    """A bot token; `dead` is the error its use earns, or empty."""

    value: str
    team: str
    scopes: list[str]
    dead: str = ""


@dataclass(slots=True)
class Session:
    """An agent session: the status and title of one thread, and the older status line that shares its place."""

    channel: str
    thread_ts: str
    status: str = "active"
    status_until: float | None = None
    title: str = ""
    initiator: str = ""
    line: str = ""
    line_until: float | None = None
    loading_messages: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Stream:
    """A message being written. `state` other than in_progress never changes again."""

    channel: str
    ts: str
    team: str
    started_at: float
    recipient: str | None = None
    state: Literal["in_progress", "completed", "stopped_by_user", "expired"] = "in_progress"


@dataclass(slots=True)
class World:
    """Everything that outlives a restart."""

    teams: dict[str, Team] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    logs: dict[str, MessageLog] = field(default_factory=dict)
    installs: dict[str, Install] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    prompts: dict[str, dict[str, Any]] = field(default_factory=dict)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)

    def log(self, channel_id: str) -> MessageLog:
        return self.logs.setdefault(channel_id, MessageLog())

    def user_in(self, team: str, user_id: str) -> User | None:
        user = self.users.get(user_id)
        return user if user and user.team == team else None

    def channel_in(self, team: str, channel_id: str) -> Channel | None:
        channel = self.channels.get(channel_id)
        return channel if channel and channel.team == team else None

    def bot_of(self, team: str) -> User | None:
        """The workspace's bot user, installed or not any more."""
        return self.users.get(bot_user_id(team))

    def direct_channel(self, team: str, user_id: str) -> Channel:
        """The DM of a person with the bot; opened when it was not."""
        channel_id = "D" + user_id[1:]
        if channel_id not in self.channels:
            self.channels[channel_id] = Channel(channel_id, team, "", "im", [user_id, bot_user_id(team)])
        return self.channels[channel_id]

    def install_app(self, *, team: str, installer: str, scopes: list[str], now: float) -> Install:
        """Puts the app into a workspace; scopes add up, and an installed app keeps its token."""
        bot = bot_user_id(team)
        self.users.setdefault(bot, User(bot, team, APP_NAME.lower(), APP_NAME, is_bot=True)).deleted = False
        for channel in self.channels.values():
            if channel.team == team and channel.name == "general" and bot not in channel.members:
                channel.members.append(bot)
        known = self.installs.get(team)
        if known:
            known.scopes[:] = list(dict.fromkeys([*known.scopes, *scopes]))
            known.installer, known.installed_at = installer, now
            self.tokens[known.token].scopes = list(known.scopes)
            return known
        token = f"xoxb-{team[-1]}00000000000-{secrets.randbelow(10**13):013d}-{secrets.token_hex(12)}"
        self.tokens[token] = Token(token, team, list(scopes))
        self.installs[team] = Install(team, installer, bot, "B" + bot[1:], token, list(scopes), now)
        return self.installs[team]

    def remove_app(self, team: str, *, because: str) -> Install | None:
        """Takes the app out: its tokens die with `because`, the bot leaves every channel."""
        install = self.installs.pop(team, None)
        if install is None:
            return None
        for token in self.tokens.values():
            if token.team == team and not token.dead:
                token.dead = because
        self.users[install.bot_user].deleted = True
        for channel in self.channels.values():
            if channel.team == team and channel.kind != "im" and install.bot_user in channel.members:
                channel.members.remove(install.bot_user)
        return install


def bot_user_id(team: str) -> str:
    """The bot's user id in a workspace; fixed, so that a re-install finds the same bot."""
    return "U0BOT" + team.removeprefix("T0SANDBOX").removeprefix("T0")


def founding() -> World:
    """Two workspaces that know nothing of each other, as every sandbox starts."""
    world = World()
    for team, name, people in (
        ("T0SANDBOX1", "Acme", (("U0ADA", "Ada"), ("U0BEN", "Ben"), ("U0GUEST", "Gus"))),
        ("T0SANDBOX2", "Globex", (("U1EVA", "Eva"), ("U1FIN", "Fin"))),
    ):
        world.teams[team] = Team(team, name, name.lower())
        for place, (user, called) in enumerate(people):
            chief = place == 0
            world.users[user] = User(
                user, team, called.lower(), called, is_admin=chief, is_owner=chief, is_restricted=user == "U0GUEST"
            )
        prefix = people[0][0][:2].replace("U", "C")
        members = [user for user, _ in people]
        for channel in ("general", "random"):
            world.channels[prefix + channel.upper()] = Channel(
                prefix + channel.upper(), team, channel, "channel", list(members)
            )
    return world
