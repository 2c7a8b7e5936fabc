"""`/dashboard/knowledge/{id}`: one document, what was read from it, who sees it, and what can be done with it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from enablebot.shared.attachment import attachment_headers
from enablebot.shared.errors import BadRequest
from enablebot.shared.models.document import Document
from enablebot.shared.models.passage import Place
from enablebot.web import paths
from enablebot.web.dashboard.knowledge import DELETED, ENDINGS
from enablebot.web.dashboard.knowledge_channels import MOST_BOUND, Choice, channel_ids
from enablebot.web.dashboard.knowledge_upload import document_id
from enablebot.web.dashboard.knowledge_words import (
    Shown,
    ShownVersion,
    paragraphs,
    shown,
    shown_version,
)
from enablebot.web.dashboard.session import FilledForm, SentForm, SignedIn, Viewer, form_token
from enablebot.web.failures import wants_json
from enablebot.web.house import House, InHouse

routes = APIRouter()

_ONE = paths.KNOWLEDGE + "/{id_}"
# How long a deletion can be undone, here as in Slack.
UNDO_SECONDS = 600
PREVIEW_LENGTH = 20


@dataclass(frozen=True, slots=True)
class ShownPassage:
    position: int
    place: str
    heading: tuple[str, ...]
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DocumentPage:
    document: Shown
    versions: tuple[ShownVersion, ...]
    passages: tuple[ShownPassage, ...]
    is_from_start: bool
    next_href: str
    choices: tuple[Choice, ...]
    channels_problem: str
    told: str
    problem: str
    endings: str


_TOLD = {
    "reindexed": "It is being read again. What is known of it stays in use until that is done.",
    "bound": "Saved. Answers follow this from now on.",
    "restored": "It is back, as it was before.",
}


@routes.api_route(_ONE, methods=["GET", "HEAD"])
async def show_document(
    id_: str,
    house: InHouse,
    viewer: SignedIn,
    from_: Annotated[int, Query(alias="from", ge=0, le=1_000_000_000)] = 0,
    told: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """The document's page; `from` is the position of the first passage to show."""
    document = await house.library.get(viewer.tenant_id, document_id(id_))
    return await _page(house, viewer, document, first=from_, told=_TOLD.get(told, ""))


async def _page(
    house: House, viewer: Viewer, document: Document, *, first: int = 0, told: str = "", problem: str = ""
) -> Response:
    now = datetime.now(UTC)
    rows = await house.database.read_passages(
        tenant_id=viewer.tenant_id, document_id=document.id, after_position=first - 1, limit=PREVIEW_LENGTH + 1
    )
    channels = await house.channels.of(viewer.tenant_id)
    view = shown(document, viewer=viewer.user_id, now=now)
    versions = await house.library.versions(viewer.tenant_id, document.id)
    page = DocumentPage(
        document=view,
        versions=tuple(shown_version(each, viewer=viewer.user_id, now=now) for each in versions),
        passages=tuple(
            ShownPassage(row.position, str(Place.from_json(row.place)), row.heading, paragraphs(row.text))
            for row in rows[:PREVIEW_LENGTH]
        ),
        is_from_start=first == 0,
        next_href=f"{view.href}?from={rows[PREVIEW_LENGTH].position}#passages" if len(rows) > PREVIEW_LENGTH else "",
        choices=channels.choices(document.channels),
        channels_problem=channels.problem,
        told=told,
        problem=problem,
        endings=",".join(ENDINGS),
    )
    context = {"page": page, "csrf_token": form_token(house, viewer)}
    return house.pages.render("knowledge_document.html", context, status=400 if problem else 200)


@routes.api_route(_ONE + "/original", methods=["GET", "HEAD"])
async def download_original(id_: str, request: Request, house: InHouse, viewer: SignedIn) -> Response:
    """The file as it was added; always a download, never a page of ours."""
    document = await house.library.get(viewer.tenant_id, document_id(id_))
    headers = attachment_headers(document.name, size_bytes=document.size_bytes)
    if request.method == "HEAD":
        return Response(headers=headers)
    pieces = house.library.open_original(viewer.tenant_id, document)
    # Before the first byte is promised: a piece that cannot be opened has to be a page that says so.
    first = await anext(pieces, b"")
    return StreamingResponse(_joined(first, pieces), headers=headers)


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


@routes.post(_ONE + "/delete")
async def delete_document(id_: str, request: Request, house: InHouse, viewer: SentForm) -> Response:
    """Hide it at once, erase it after ten minutes."""
    document = await house.library.get(viewer.tenant_id, document_id(id_))
    await house.library.delete(viewer.tenant_id, document.id, undo_seconds=UNDO_SECONDS, actor=viewer.user_id)
    href = f"{paths.KNOWLEDGE}/{document.id}"
    if wants_json(request):
        return JSONResponse({"name": document.name, "told": DELETED, "undo": f"{href}/restore"})
    return _to(f"{paths.KNOWLEDGE}?told=deleted:{document.id}")


@routes.post(_ONE + "/restore")
async def restore_document(id_: str, request: Request, house: InHouse, viewer: SentForm) -> Response:
    """Undo a deletion."""
    document = await house.library.restore(viewer.tenant_id, document_id(id_), actor=viewer.user_id)
    if wants_json(request):
        return JSONResponse({"name": document.name, "told": _TOLD["restored"]})
    return _to(f"{paths.KNOWLEDGE}?told=restored:{document.id}")


@routes.post(_ONE + "/reindex")
async def reindex_document(id_: str, house: InHouse, viewer: SentForm) -> Response:
    """Read it again, from the bytes that were kept."""
    document = await house.library.reindex(viewer.tenant_id, document_id(id_), actor=viewer.user_id)
    return _to(f"{paths.KNOWLEDGE}/{document.id}?told=reindexed")


@routes.post(_ONE + "/channels")
async def bind_document(id_: str, house: InHouse, form: FilledForm) -> Response:
    """Say which channels see it: those ticked and typed, or all of them."""
    viewer = form.viewer
    document = await house.library.get(viewer.tenant_id, document_id(id_))
    try:
        chosen = _chosen(form.values("seen_by"), form.values("channel"), form.values("more"))
        await house.library.bind(viewer.tenant_id, document.id, channels=chosen, actor=viewer.user_id)
    except BadRequest as refused:
        return await _page(house, viewer, document, problem=f"{refused.message} Nothing was changed.")
    return _to(f"{paths.KNOWLEDGE}/{document.id}?told=bound")


def _chosen(seen_by: tuple[str, ...], ticked: tuple[str, ...], typed: tuple[str, ...]) -> tuple[str, ...]:
    if seen_by == ("everyone",):
        return ()
    chosen = channel_ids(" ".join((*ticked, *typed)))
    if seen_by != ("chosen",) or chosen is None:
        raise BadRequest("A channel’s id looks like C0123456789. Slack shows it at the end of “View channel details”.")
    if not chosen:
        raise BadRequest("Tick at least one channel or type its id, or choose “Everywhere”.")
    if len(chosen) > MOST_BOUND:
        raise BadRequest(f"A document can be bound to {MOST_BOUND} channels at most.")
    return chosen


def _to(address: str) -> Response:
    return RedirectResponse(address, status_code=303)
