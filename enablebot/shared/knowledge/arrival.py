"""A document on its way in: taken to its last byte, told by its bytes, its name made fit, before anything is stored."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from enablebot.shared.errors import BadRequest, FileEmpty, TooLarge
from enablebot.shared.knowledge.formats import sniff
from enablebot.shared.knowledge.names import clean_name, clean_title
from enablebot.shared.knowledge.spool import Spool
from enablebot.shared.models.document import MOST_BYTES, Format, Source

_MOST_CHANNELS = 500
_CHANNEL = re.compile(r"[CGD][A-Z0-9]{1,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Arrived:
    """What is known of a document once all of it has come; whoever takes it closes its spool."""

    tenant_id: UUID
    name: str
    title: str | None
    format: Format
    source: Source
    added_by: str
    channels: tuple[str, ...]
    lane: str | None
    spool: Spool


async def receive(
    tenant_id: UUID,
    *,
    name: str,
    content: AsyncIterator[bytes] | bytes,
    source: Source,
    added_by: str,
    title: str | Callable[[], str | None] | None,
    channels: Sequence[str] | Callable[[], Sequence[str]],
    lane: str | None,
) -> Arrived:
    """Take a document to its last byte; `title` and `channels` may be callables, asked after that.

    Raises FileEmpty, TooLarge with the first byte too many, UnsupportedFormat, BadRequest for channels that are none,
    and whatever `content` raises; nothing of it is left then.
    """
    spool = Spool()
    try:
        if isinstance(content, bytes):
            await _take(spool, content)
        else:
            async for chunk in content:
                await _take(spool, chunk)
        spool.finish()
        _refuse_empty(spool)
        cleaned = clean_name(name)
        return Arrived(
            tenant_id=tenant_id,
            name=cleaned,
            title=clean_title(title() if callable(title) else title),
            format=sniff(cleaned, spool.head),
            source=source,
            added_by=added_by,
            channels=known_channels(channels() if callable(channels) else channels),
            lane=lane,
            spool=spool,
        )
    except BaseException:
        spool.close()
        raise


def known_channels(channels: Sequence[str]) -> tuple[str, ...]:
    """Return channels, each once; BadRequest for too many, or for what is no channel id of Slack."""
    wanted = tuple(dict.fromkeys(channels))
    if len(wanted) > _MOST_CHANNELS:
        raise BadRequest(f"A document may be bound to {_MOST_CHANNELS} channels at most.")
    for channel in wanted:
        if not _CHANNEL.fullmatch(channel):
            raise BadRequest("One of the channels is no channel id of Slack, like C0123ABCD. Copy it from the channel.")
    return wanted


async def _take(spool: Spool, chunk: bytes) -> None:
    if spool.size + len(chunk) > MOST_BYTES:
        raise TooLarge(
            f"This file is larger than {MOST_BYTES // 2**20} MB, the most one document may have. "
            "Split it, or save it with smaller images."
        )
    await spool.write(chunk)


def _refuse_empty(spool: Spool) -> None:
    if spool.size == 0:
        raise FileEmpty("This file is empty: it has no bytes. Check it where you saved it, and add it again.")
