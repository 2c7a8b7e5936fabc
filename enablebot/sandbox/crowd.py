"""Many people at once: workspaces made on order, and talk that goes on by itself at a given pace."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from enablebot.sandbox.manifest import APP_ID, DEFAULT_SCOPES
from enablebot.sandbox.messages import Message
from enablebot.sandbox.world import Channel, Team, User, bot_user_id

if TYPE_CHECKING:
    from enablebot.sandbox.sandbox import Sandbox

# mention: a new thread that names the bot · follow_up: a mention in a thread that is there already
# dm: a message to the bot · aside: talk among people, none of the bot's business · edit: a word changed in a question
# robot: another app that mentions the bot
Talk = Literal["mention", "follow_up", "dm", "aside", "edit", "robot"]
USUAL_MIX: Mapping[Talk, float] = {"mention": 6, "follow_up": 1, "dm": 2, "aside": 1}
_PEOPLE = 3
_LONGEST_HOLD = 3600.0


@dataclass(frozen=True, slots=True)
class Said:
    """One message of the talk; `asks` when the bot owes it an answer. `token` is a word no other message holds."""

    team: str
    channel: str
    ts: str
    thread_ts: str
    user: str
    talk: Talk
    token: str
    asks: bool


@dataclass(slots=True)
class Crowd:
    """The made workspaces and what their people said; `teams` are theirs only, not the founding ones."""

    sandbox: Sandbox
    teams: list[str] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    _talking: asyncio.Task[None] | None = None

    @property
    def is_talking(self) -> bool:
        return self._talking is not None and not self._talking.done()

    def gather(self, *, workspaces: int, channels: int, install: bool = True) -> list[dict[str, Any]]:
        """Makes workspaces of three people and some channels, with the app installed; returns each install."""
        made = [self._found(len(self.teams), channels) for _ in range(workspaces)]
        return [self._install(team) for team in made] if install else [{"team": team} for team in made]

    def talk(
        self,
        *,
        messages: int,
        per_second: float,
        seed: int,
        mix: Mapping[str, float] | None = None,
        text: str = "Where is parcel {token}?",
        most_under_way: int = 100,
    ) -> None:
        """Begins to write `messages` messages, spread over all made workspaces; raises ValueError while one goes on.

        It holds its breath while more than `most_under_way` events are being delivered, so that a slow machine is
        loaded and not buried.
        """
        if self.is_talking:
            raise ValueError("the crowd is talking already")
        if not self.teams:
            raise ValueError("there is no crowd: make workspaces first")
        chosen = {str(talk): weight for talk, weight in (mix or USUAL_MIX).items()}
        unknown = set(chosen) - set(get_args(Talk))
        if unknown:
            raise ValueError(f"a crowd does not know how to {', '.join(sorted(unknown))}")
        work = self._talk(random.Random(seed), messages, per_second, chosen, text, most_under_way)  # noqa: S311 - repeatable
        self._talking = asyncio.create_task(work)

    def hush(self) -> None:
        """Ends the talk where it is."""
        if self._talking is not None:
            self._talking.cancel()
            self._talking = None

    def as_json(self) -> dict[str, Any]:
        if self._talking is not None and self._talking.done() and not self._talking.cancelled():
            self._talking.result()
        return {"talking": self.is_talking, "teams": self.teams, "said": self.said}

    def forget(self) -> None:
        self.hush()
        self.teams.clear()
        self.said.clear()

    def _found(self, number: int, channels: int) -> str:
        world, mark = self.sandbox.world, f"CROWD{number:03d}"
        team = f"T0{mark}"
        world.teams[team] = Team(team, f"Crowd {number}", mark.lower())
        people = [f"U0{mark}{letter}" for letter in "ABC"[:_PEOPLE]]
        for user in people:
            world.users[user] = User(
                user, team, user.lower(), user.title(), is_admin=user.endswith("A"), is_owner=user.endswith("A")
            )
        for place in range(channels):
            channel = f"C0{mark}N{place}"
            world.channels[channel] = Channel(channel, team, f"room-{place}", "channel", list(people))
        self.teams.append(team)
        return team

    def _install(self, team: str) -> dict[str, Any]:
        installed = self.sandbox.install(team, scopes=DEFAULT_SCOPES)
        for channel in self.sandbox.world.channels.values():
            if channel.team == team and channel.kind == "channel" and installed.bot_user not in channel.members:
                channel.members.append(installed.bot_user)
        return {**asdict(installed), "app_id": APP_ID, "name": self.sandbox.world.teams[team].name}

    async def _talk(
        self,
        chance: random.Random,
        messages: int,
        per_second: float,
        mix: dict[str, float],
        text: str,
        most_under_way: int,
    ) -> None:
        clock = asyncio.get_running_loop().time
        due, asked = clock(), list[Said]()

        def has_room() -> bool:
            return self.sandbox.delivery.under_way <= most_under_way

        for _ in range(messages):
            # Also a crowd that is behind lets deliveries and the web API have their turn.
            await asyncio.sleep(max(0.0, due - clock()))
            await self.sandbox.changes.wait_for(has_room, timeout=_LONGEST_HOLD)
            # What a pause has cost is not made up for by a burst.
            due = max(due + 1 / per_second, clock() - 0.1)
            (talk,) = chance.choices(list(mix), weights=list(mix.values()))
            said = self._say(chance, talk, asked, text)  # type: ignore[arg-type]  # checked in talk()
            self.said.append(said)
            if said.asks:
                asked.append(said)

    def _say(self, chance: random.Random, talk: Talk, asked: list[Said], text: str) -> Said:
        earlier = [said for said in asked[-200:] if said.talk == "mention"]
        if talk in ("follow_up", "edit") and not earlier:
            talk = "mention"
        if talk == "edit":
            return self._edit(chance.choice(earlier))
        before = chance.choice(earlier) if talk == "follow_up" else None
        team = before.team if before else chance.choice(self.teams)
        user = before.user if before else f"U0{team[2:]}{chance.choice('ABC'[:_PEOPLE])}"
        channel = before.channel if before else self._room(chance, team, talk)
        token = f"{team[2:]}x{len(self.said)}x"
        if talk == "robot":
            return self._robot(team, channel, token)
        words = text.replace("{token}", token) if talk != "aside" else f"Lunch at {token}, anybody?"
        message = self.sandbox.people.write(
            team=team,
            channel=channel,
            user=user,
            text=words if talk in ("dm", "aside") else f"@EnableBot {words}",
            thread_ts=before.ts if before else None,
        )
        return Said(
            team=team,
            channel=message.channel,
            ts=message.ts,
            thread_ts=message.thread_ts or message.ts,
            user=user,
            talk=talk,
            token=token,
            asks=talk != "aside",
        )

    def _robot(self, team: str, channel: str, token: str) -> Said:
        """Another app's message in the channel, which names our bot and is none of its business."""
        ts = self.sandbox.world.log(channel).next_ts(self.sandbox.clock.now())
        user = f"U0ROBOT{team[2:]}"
        text = f"<@{bot_user_id(team)}> Build {token} failed."
        message = Message(
            ts=ts, channel=channel, team=team, user=user, text=text, bot_id=f"B0ROBOT{team[2:]}", app_id="A0ROBOT"
        )
        self.sandbox.add_message(message)
        return Said(team, channel, ts, ts, user, "robot", token, False)

    def _edit(self, before: Said) -> Said:
        self.sandbox.people.edit(
            team=before.team, channel=before.channel, user=before.user, ts=before.ts,
            text=f"@EnableBot Where, if I may ask, is parcel {before.token}?",
        )  # fmt: skip
        return Said(before.team, before.channel, before.ts, before.thread_ts, before.user, "edit", before.token, False)

    def _room(self, chance: random.Random, team: str, talk: Talk) -> str:
        if talk == "dm":
            return "@bot"
        rooms = [c.id for c in self.sandbox.world.channels.values() if c.team == team and c.kind == "channel"]
        return chance.choice(rooms)
