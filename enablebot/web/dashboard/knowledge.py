"""`/dashboard/knowledge`: the workspace's documents, how they are doing, and the way to give more of them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from enablebot.shared.errors import BadRequest, NotFound
from enablebot.shared.models.document import MOST_BYTES, Document
from enablebot.web import paths
from enablebot.web.dashboard.knowledge_upload import MOST_FILES, Sent, take_files
from enablebot.web.dashboard.knowledge_words import Gone, Shown, gone, shown
from enablebot.web.dashboard.session import SignedIn, Viewer, form_token, refuse_other_sites
from enablebot.web.failures import wants_json
from enablebot.web.house import House, InHouse

routes = APIRouter()

PAGE_LENGTH = 25
# What file dialogs offer, and what the page's script lets through; the library looks at the bytes itself.
ENDINGS = (".pdf", ".docx", ".pptx", ".xlsx", ".csv", ".html", ".htm", ".md", ".markdown", ".txt")
# What a redirect may tell: an id and one of these words, never words of its own.
_TOLD = frozenset({"new", "replaces", "same", "deleted", "restored", "reindexed", "bound"})


@dataclass(frozen=True, slots=True)
class Told:
    """One line about what has just been done; `undo` is where a deletion is undone."""

    name: str
    text: str
    is_refusal: bool = False
    href: str = ""
    undo: str = ""


@dataclass(frozen=True, slots=True)
class KnowledgePage:
    documents: tuple[Shown, ...]
    deleted: tuple[Gone, ...]
    contains: str
    is_first: bool
    next_href: str
    told: tuple[Told, ...]
    endings: str
    most_bytes: int
    most_files: int

    @property
    def key(self) -> str:
        """Which documents are listed: the page's script swaps the list only when this changes."""
        return " ".join(str(each.id) for each in self.documents)

    @property
    def most_megabytes(self) -> int:
        return self.most_bytes // 1024 // 1024


@routes.api_route(paths.KNOWLEDGE, methods=["GET", "HEAD"])
async def show_knowledge(
    house: InHouse,
    viewer: SignedIn,
    q: Annotated[str, Query(max_length=200)] = "",
    after: Annotated[str | None, Query(max_length=200)] = None,
    told: Annotated[list[str] | None, Query(max_length=MOST_FILES)] = None,
) -> Response:
    """The documents, newest first; `q` is a part of their names, `after` where an earlier page ended."""
    lines = [line for each in told or () if (line := await _line(house, viewer, each)) is not None]
    return await _page(house, viewer, contains=q, after=after, told=tuple(lines))


@routes.post(paths.KNOWLEDGE)
async def add_documents(
    request: Request, house: InHouse, _: Annotated[None, Depends(refuse_other_sites)], viewer: SignedIn
) -> Response:
    """Take the files of a form; a script's answer is JSON about its one file, a person's a page about all of them."""
    try:
        sent = await take_files(house, viewer, request)
    except ClientDisconnect:
        # Cancelled, or the connection is lost: nobody reads this answer, and nothing was kept.
        return Response(status_code=400)
    if wants_json(request):
        return _as_json(sent)
    if not sent:
        nothing = Told("", "No file was chosen, so nothing was added.", is_refusal=True)
        return await _page(house, viewer, told=(nothing,), status=400)
    refused = [each for each in sent if each.refusal is not None]
    if refused:
        worst = max(each.refusal.status for each in refused if each.refusal is not None)
        lines = tuple(_line_about(each) for each in sent)
        return await _page(house, viewer, told=lines, status=worst if len(refused) == len(sent) else 200)
    told = [("told", f"{each.outcome}:{each.document.id}") for each in sent if each.document is not None]
    return RedirectResponse(f"{paths.KNOWLEDGE}?{urlencode(told)}", status_code=303)


async def _page(
    house: House,
    viewer: Viewer,
    *,
    contains: str = "",
    after: str | None = None,
    told: tuple[Told, ...] = (),
    status: int = 200,
) -> Response:
    now = datetime.now(UTC)
    listed = await house.library.list(viewer.tenant_id, after=after, limit=PAGE_LENGTH, contains=contains or None)
    deleted = await house.library.list_deleted(viewer.tenant_id)
    onwards = {"q": contains} if contains else {}
    page = KnowledgePage(
        documents=tuple(shown(each, viewer=viewer.user_id, now=now) for each in listed.documents),
        deleted=tuple(gone(each, now=now) for each in deleted),
        contains=contains,
        is_first=after is None,
        next_href=f"{paths.KNOWLEDGE}?{urlencode(onwards | {'after': listed.next})}" if listed.next else "",
        told=told,
        endings=",".join(ENDINGS),
        most_bytes=MOST_BYTES,
        most_files=MOST_FILES,
    )
    context = {"page": page, "csrf_token": form_token(house, viewer)}
    return house.pages.render("knowledge.html", context, status=status)


def _as_json(sent: list[Sent]) -> Response:
    if len(sent) != 1:
        raise BadRequest("One file at a time, please: this request had none, or more than one.")
    one = sent[0]
    if one.refusal is not None:
        raise one.refusal
    assert one.document is not None
    href = f"{paths.KNOWLEDGE}/{one.document.id}"
    return JSONResponse({"outcome": one.outcome, "told": one.told, "name": one.document.name, "href": href})


def _line_about(sent: Sent) -> Told:
    if sent.document is None:
        return Told(sent.name, sent.told, is_refusal=True)
    return Told(sent.document.name, sent.told, href=f"{paths.KNOWLEDGE}/{sent.document.id}")


async def _line(house: House, viewer: Viewer, said: str) -> Told | None:
    """What a redirect told, looked up again: an address that somebody made up can say nothing untrue."""
    word, _, id_ = said.partition(":")
    try:
        document_id = UUID(id_)
        if word not in _TOLD:
            return None
        if word == "deleted":
            return await _deleted_line(house, viewer, document_id)
        document = await house.library.get(viewer.tenant_id, document_id)
    except (ValueError, NotFound):
        return None
    return Told(document.name, _words(word, document), href=f"{paths.KNOWLEDGE}/{document.id}")


async def _deleted_line(house: House, viewer: Viewer, document_id: UUID) -> Told | None:
    for each in await house.library.list_deleted(viewer.tenant_id):
        if each.id == document_id:
            return Told(each.name, DELETED, undo=f"{paths.KNOWLEDGE}/{each.id}/restore")
    return None


DELETED = "Deleted. It is not found any more, and will be erased in ten minutes."


def _words(word: str, document: Document) -> str:
    match word:
        case "new" | "replaces" | "same":
            return Sent(document.name, word, document=document).told
        case "restored":
            return "It is back, as it was before."
        case "reindexed":
            return "It is being read again. What is known of it stays in use until that is done."
        case _:
            return "Saved who sees it."
