"""`/dashboard/knowledge/search`: what the bot would find for a question, with the scores it goes by."""

from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import Response

from enablebot.shared.models.passage import Found, Passage
from enablebot.web import paths
from enablebot.web.dashboard.knowledge_channels import Channel, Channels, channel_ids
from enablebot.web.dashboard.knowledge_words import paragraphs
from enablebot.web.dashboard.marking import Stretch, marked
from enablebot.web.dashboard.session import SignedIn, form_token
from enablebot.web.house import InHouse

routes = APIRouter()

MOST_FOUND = 10


@dataclass(frozen=True, slots=True)
class ShownHit:
    """A passage that was found; `share` is its score in percent of the best one's."""

    name: str
    title: str
    href: str
    place: str
    heading: tuple[str, ...]
    paragraphs: tuple[tuple[Stretch, ...], ...]
    score: str
    share: int


@dataclass(frozen=True, slots=True)
class SearchPage:
    """`hits` is None before anything was asked."""

    question: str
    channel: str
    channel_name: str
    channels: tuple[Channel, ...]
    problem: str
    hits: tuple[ShownHit, ...] | None
    by: str
    note: str


@routes.api_route(paths.KNOWLEDGE_SEARCH, methods=["GET", "HEAD"])
async def show_search(house: InHouse, viewer: SignedIn, query: str = "", channel: str = "") -> Response:
    """The passages for `query` as somebody in `channel` would get them, or in a direct message without one."""
    channels = await house.channels.of(viewer.tenant_id)
    chosen = _channel(channel, channels)
    problem = "" if chosen is not None else "There is no such channel here. A channel’s id looks like C0123456789."
    found: Found | None = None
    if query.strip() and chosen is not None:
        found = await house.search.find(viewer.tenant_id, query, limit=MOST_FOUND, channel=chosen or None)
    page = SearchPage(
        question=query,
        channel=chosen or channel,
        channel_name=channels.name(chosen) if chosen else "",
        channels=channels.seen,
        problem=problem or channels.problem,
        hits=None if found is None else hits(found.passages, question=query),
        by="" if found is None else found.by,
        note="" if found is None or found.note is None else found.note,
    )
    return house.pages.render("knowledge_search.html", {"page": page, "csrf_token": form_token(house, viewer)})


def hits(passages: tuple[Passage, ...], *, question: str) -> tuple[ShownHit, ...]:
    """The found passages as the page shows them."""
    best = max((passage.score for passage in passages), default=0.0)
    return tuple(
        ShownHit(
            name=passage.name,
            title=passage.title or passage.name,
            href=f"{paths.KNOWLEDGE}/{passage.document_id}?from={passage.position}#p{passage.position}",
            place=str(passage.place),
            heading=passage.heading,
            paragraphs=tuple(marked(each, question=question) for each in paragraphs(passage.text)),
            score=f"{passage.score:.2f}",
            share=round(100 * passage.score / best) if best > 0 else 0,
        )
        for passage in passages
    )


def _channel(said: str, channels: Channels) -> str | None:
    """The id of the channel that was named by id or by `#name`; empty for none, None where there is no such one."""
    said = said.strip()
    if not said:
        return ""
    by_name = next((channel.id for channel in channels.seen if f"#{channel.name}" == said), None)
    ids = channel_ids(said)
    return by_name or (ids[0] if ids and len(ids) == 1 else None)
