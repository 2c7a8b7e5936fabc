"""/v1/documents: add, list, look at, read anew, download, delete."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from enablebot.api.rest.admission import Caller, admitted
from enablebot.api.rest.desk import AtDesk, Desk
from enablebot.api.rest.problems import operation_id, problems
from enablebot.api.rest.quotas import REQUESTS, UPLOADS
from enablebot.api.rest.repeats import Given, Repeats, Turn, refuse_other
from enablebot.api.rest.shapes import DocumentShape, DocumentsShape, document_shape, documents_shape
from enablebot.api.rest.upload import MOST_CHANNELS, Upload
from enablebot.shared.attachment import attachment_headers
from enablebot.shared.models.document import MOST_BYTES

router = APIRouter(prefix="/v1/documents", tags=["documents"], generate_unique_id_function=operation_id)

Reader = Annotated[Caller, Depends(admitted("documents:read", REQUESTS))]
Writer = Annotated[Caller, Depends(admitted("documents:write", REQUESTS))]
Uploader = Annotated[Caller, Depends(admitted("documents:write", UPLOADS))]

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": f"PDF, DOCX, PPTX, XLSX, CSV, HTML, Markdown or text, at most "
                            f"{MOST_BYTES // 1024 // 1024} MB. Its name is the document's.",
                        },
                        "title": {"type": "string", "description": "What it is to be called; its own title otherwise."},
                        "channels": {
                            "type": "array",
                            "maxItems": MOST_CHANNELS,
                            "items": {"type": "string", "pattern": "^[CG][A-Z0-9]{1,31}$"},
                            "description": "Slack channels that alone may see it, a field each; all without.",
                        },
                    },
                }
            }
        },
    }
}
_DOCUMENT = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/DocumentShape"}}}}
_LOCATION = {"Location": {"description": "The document's address.", "schema": {"type": "string"}}}
_BYTES = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}

_NOBODYS = UUID(int=0)

# A text, so that whatever is no id is as unknown as an id that is nobody's.
DocumentId = Annotated[str, Path(description="The document's `id`.", json_schema_extra={"format": "uuid"})]


@router.post(
    "",
    status_code=202,
    summary="Add a document",
    openapi_extra=_FORM,
    responses={
        200: {"description": "These very bytes are there already; nothing was stored twice.", **_DOCUMENT},
        202: {"description": "Stored, and waiting to be read.", "headers": _LOCATION, **_DOCUMENT},
        **problems(400, 408, 409, 413, 415),
    },
)
async def add_document(
    request: Request,
    desk: AtDesk,
    caller: Uploader,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            description="Any text of your own: sent again with the same form within 24 hours, it gets the same answer.",
        ),
    ] = None,
) -> Response:
    """Store a file to be read; a file of the same name becomes the document's next version."""
    if idempotency_key is None:
        return await _add(request, desk, caller, None)
    repeats = Repeats(desk.database, desk.installations)
    begun = await repeats.begin(caller, idempotency_key)
    if isinstance(begun, Given):
        return await _told_again(request, desk, caller, begun)
    async with _given_up_on_failure(begun):
        return await _add(request, desk, caller, (repeats, begun))


async def _add(request: Request, desk: Desk, caller: Caller, once: tuple[Repeats, Turn] | None) -> Response:
    async def keep() -> None:
        if once is not None:
            await once[1].keep()

    upload = Upload(request, on_read=keep)
    async with desk.turns.turn(caller.tenant_id):
        name = await upload.open()
        async with aclosing(upload.content()) as content:
            added = await desk.library.add(
                caller.tenant_id,
                name=name,
                content=content,
                source="api",
                added_by=caller.name,
                title=upload.title,
                channels=upload.channels,
            )
    desk.on_queued()
    status = 200 if added.outcome == "same" else 202
    body = document_shape(added.document).model_dump_json().encode()
    if once is not None:
        repeats, turn = once
        await repeats.finish(turn, caller, fingerprint=upload.fingerprint(), status=status, body=body)
    return _answered(status, body)


async def _told_again(request: Request, desk: Desk, caller: Caller, given: Given) -> Response:
    async def keep() -> None:
        pass

    upload = Upload(request, on_read=keep)
    async with desk.turns.turn(caller.tenant_id):
        await upload.open()
        await upload.read_through()
    refuse_other(given, upload.fingerprint())
    response = _answered(given.status, given.body)
    response.headers["Idempotent-Replayed"] = "true"
    return response


@asynccontextmanager
async def _given_up_on_failure(turn: Turn) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        await turn.give_up()
        raise


def _answered(status: int, body: bytes) -> Response:
    document_id = DocumentShape.model_validate_json(body).id
    headers = {"Location": f"{router.prefix}/{document_id}"} if status == 202 else {}
    return Response(body, status_code=status, media_type="application/json", headers=headers)


@router.get("", summary="List documents", response_model=DocumentsShape, responses=problems(400))
async def list_documents(
    desk: AtDesk,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=100, description="At most so many on a page.")] = 20,
    cursor: Annotated[
        str | None, Query(min_length=1, max_length=200, description="The `next` of the page before.")
    ] = None,
    name: Annotated[str | None, Query(max_length=200, description="Part of the name or title.")] = None,
) -> DocumentsShape:
    """All documents of the workspace, newest first."""
    # No name has a NUL in it, and no text in Postgres.
    contains = name.replace("\0", "\ufffd") if name else None
    page = await desk.library.list(caller.tenant_id, after=cursor, limit=limit, contains=contains)
    return documents_shape(page.documents, page.next)


@router.get("/{document_id}", summary="Show a document", response_model=DocumentShape, responses=problems(404))
async def show_document(desk: AtDesk, caller: Reader, document_id: DocumentId) -> DocumentShape:
    """One document: whether it is ready, and if not, why."""
    return document_shape(await desk.library.get(caller.tenant_id, _id(document_id)))


@router.delete(
    "/{document_id}",
    summary="Delete a document",
    status_code=204,
    response_class=Response,
    responses={204: {"description": "It is gone, with every version and passage."}, **problems(404)},
)
async def delete_document(desk: AtDesk, caller: Writer, document_id: DocumentId) -> Response:
    """Erase a document at once and for good; also while it is being read."""
    await desk.library.delete(caller.tenant_id, _id(document_id), undo_seconds=0, actor=caller.name)
    return Response(status_code=204)


@router.post(
    "/{document_id}/reindex",
    summary="Read a document anew",
    status_code=202,
    response_model=DocumentShape,
    responses={202: {"description": "Waiting to be read."}, **problems(404, 409)},
)
async def reindex_document(desk: AtDesk, caller: Writer, document_id: DocumentId) -> DocumentShape:
    """Have a document read again; until that is done, it is found as before."""
    document = await desk.library.reindex(caller.tenant_id, _id(document_id), actor=caller.name)
    desk.on_queued()
    return document_shape(document)


@router.get(
    "/{document_id}/original",
    summary="Download the original",
    response_class=StreamingResponse,
    responses={200: {"description": "The bytes as they were sent.", **_BYTES}, **problems(404)},
)
async def download_original(desk: AtDesk, caller: Reader, document_id: DocumentId) -> StreamingResponse:
    """The file as it was added."""
    document = await desk.library.get(caller.tenant_id, _id(document_id))
    pieces = desk.library.open_original(caller.tenant_id, document)
    # The first piece before the headers: what cannot be opened is an error, not a download that breaks off.
    first = await anext(pieces, b"")

    async def content() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return StreamingResponse(content(), headers=attachment_headers(document.name, size_bytes=document.size_bytes))


def _id(document_id: str) -> UUID:
    try:
        return UUID(document_id)
    except ValueError:
        # Looked for like any other and found as little, so that the answer is the very same.
        return _NOBODYS
