"""The channels a document can be bound to: those the bot sees in Slack, asked for at most once a minute."""

import asyncio
import logging
import re
import time
from dataclasses import dataclass
from uuid import UUID

from enablebot.shared.errors import EnableBotError, SlackError, SlackRefused
from enablebot.shared.installations import Installations
from enablebot.shared.remembering import Remembered
from enablebot.web.calling import SlackCalls

_log = logging.getLogger(__name__)

# C for channels, G for older private ones, D for direct messages, as the library has them.
_CHANNEL_ID = re.compile(r"[CGD][A-Z0-9]{1,31}", re.ASCII)
_MOST_CHANNELS = 1000
_PAGE = 200
# A page must not wait for Slack: without its list, ids can still be typed in.
_PATIENCE_SECONDS = 3.0
MOST_BOUND = 100


@dataclass(frozen=True, slots=True)
class Channel:
    id: str
    name: str
    is_private: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of the picker."""

    id: str
    label: str
    is_private: bool
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Channels:
    """What Slack said; `problem` is for people, and empty when it said everything."""

    seen: tuple[Channel, ...]
    problem: str = ""

    def name(self, channel_id: str) -> str:
        """`#general` where it is known, else the id."""
        return next((f"#{channel.name}" for channel in self.seen if channel.id == channel_id), channel_id)

    def choices(self, chosen: tuple[str, ...]) -> tuple[Choice, ...]:
        """Everything that can be ticked: what is ticked already first, also where Slack does not name it."""
        known = {channel.id: channel for channel in self.seen}
        ticked = [Choice(each, self.name(each), each in known and known[each].is_private, True) for each in chosen]
        others = [
            Choice(each.id, f"#{each.name}", each.is_private, False) for each in self.seen if each.id not in chosen
        ]
        return tuple(ticked + others)


class ChannelBook:
    """Asks Slack for the channels of a workspace's bot, and remembers the answer for a minute."""

    def __init__(self, calls: SlackCalls, installations: Installations) -> None:
        self._calls = calls
        self._installations = installations
        self._known: Remembered[UUID, Channels] = Remembered(size=1000, seconds=60, clock=time.monotonic)

    async def of(self, tenant_id: UUID) -> Channels:
        """The channels the bot is in; never an error, but a problem in words."""
        known = self._known.get(tenant_id)
        if known is not None:
            return known
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                channels = Channels(await self._ask(tenant_id))
        except SlackRefused as refused:
            _log.info("channels of %s: %s", tenant_id, refused.slack_code)
            lacks_scope = refused.slack_code == "missing_scope"
            channels = Channels((), _LACKS_SCOPE if lacks_scope else _REFUSED)
        except (SlackError, TimeoutError):
            # Not remembered: Slack may answer the next time.
            return Channels((), _SILENT)
        except EnableBotError as failed:
            _log.info("channels of %s: %s", tenant_id, failed.code)
            return Channels((), _REFUSED)
        self._known.keep(tenant_id, channels)
        return channels

    async def _ask(self, tenant_id: UUID) -> tuple[Channel, ...]:
        bot = await self._installations.bot(tenant_id)
        clients = await self._calls.clients()
        client = clients.for_workspace(token=bot.token, team_id=bot.team_id)
        seen: dict[str, Channel] = {}
        cursor: str | None = None
        while len(seen) < _MOST_CHANNELS:
            conversations, cursor = await client.own_conversations(cursor=cursor, limit=_PAGE)
            for said in conversations:
                id_, name = said.get("id"), said.get("name")
                if isinstance(id_, str) and isinstance(name, str) and _CHANNEL_ID.fullmatch(id_):
                    seen[id_] = Channel(id_, name, is_private=said.get("is_private") is True)
            if not cursor:
                break
        return tuple(sorted(seen.values(), key=lambda channel: channel.name))


_LACKS_SCOPE = (
    "Slack does not tell EnableBot which channels it is in: a permission is missing. Grant it on the overview page, "
    "or type the channel’s id."
)
_REFUSED = "Slack refused to say which channels EnableBot is in. You can type a channel’s id instead."
_SILENT = "Slack did not say in time which channels EnableBot is in. Open this page again, or type a channel’s id."


def channel_ids(text: str) -> tuple[str, ...] | None:
    """The channel ids in what somebody typed, each once; None where something is not one."""
    words = [word for word in re.split(r"[\s,;]+", text.strip()) if word]
    if any(not _CHANNEL_ID.fullmatch(word) for word in words):
        return None
    return tuple(dict.fromkeys(words))
