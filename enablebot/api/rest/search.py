"""/v1/search: the passages that fit a question."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.requests import Request

from enablebot.api.rest.admission import Caller, admitted
from enablebot.api.rest.desk import AtDesk
from enablebot.api.rest.problems import operation_id, problems
from enablebot.api.rest.quotas import REQUESTS
from enablebot.api.rest.shapes import FoundShape, SearchShape, found_shape
from enablebot.shared.errors import BadRequest, EnableBotError

router = APIRouter(prefix="/v1", tags=["search"], generate_unique_id_function=operation_id)

Searcher = Annotated[Caller, Depends(admitted("search", REQUESTS))]

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": SearchShape.model_json_schema(),
                "example": {"query": "How many days of leave do I have?", "limit": 5},
            }
        },
    }
}


class NoJson(EnableBotError):
    """The body is something else than JSON."""

    code = "unsupported_media_type"
    status = 415


@router.post(
    "/search",
    summary="Find passages",
    response_model=FoundShape,
    openapi_extra=_BODY,
    responses=problems(400, 413, 415),
)
async def find_passages(
    request: Request,
    desk: AtDesk,
    caller: Searcher,
    channel: Annotated[
        str | None,
        Query(
            pattern="^[CDG][A-Z0-9]{1,31}$",
            description="A Slack channel's id: what is bound to it is found, too. Without, only what all may see.",
        ),
    ] = None,
) -> FoundShape:
    """The passages that answer a question best, from all documents that are ready."""
    asked = await _asked(request)
    return found_shape(await desk.search.find(caller.tenant_id, asked.query, limit=asked.limit, channel=channel))


async def _asked(request: Request) -> SearchShape:
    """Read the body; after the key was looked at, so that strangers learn nothing of what they sent."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise NoJson('The question is sent as JSON: `Content-Type: application/json` and `{"query": "…"}`.')
    try:
        return SearchShape.model_validate_json(await request.body())
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        if any(fault["type"] == "json_invalid" for fault in faults):
            raise BadRequest('The body is not JSON. It should read like `{"query": "…", "limit": 10}`.') from error
        raise RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in faults]) from error
