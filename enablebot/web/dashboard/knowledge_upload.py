"""Files that a person sends to the knowledge page, each handed on while it arrives."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from starlette.requests import Request

from enablebot.shared.errors import BadRequest, EnableBotError
from enablebot.shared.knowledge.library import Library
from enablebot.shared.models.document import MOST_BYTES, Document
from enablebot.shared.multipart import Part, SentParts
from enablebot.web.dashboard.session import FORM_FIELD, FORM_HEADER, Viewer, refuse_other_token
from enablebot.web.house import House

# The field that names the document whose next version the file is; it comes before the file.
REPLACES_FIELD = "replaces"
MOST_FILES = 10
# What one form may hold: as many files as it may, and the lines between them.
LARGEST_UPLOAD_BYTES = MOST_FILES * MOST_BYTES + 1024 * 1024


# A sender that falls silent for so long is gone; one that trickles for so long holds a place that others wait for.
IDLE_SECONDS = 30.0
LONGEST_SECONDS = 900.0
_BROKEN = "What arrived is not a form of this page, or it broke off on its way. Nothing was added from there on."


class TooSlow(BadRequest):
    """The sender fell silent, or will never be done."""

    code = "too_slow"
    status = 408


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one file: the document it is in, or why it is in none."""

    name: str
    outcome: Literal["new", "replaces", "same", "refused"]
    document: Document | None = None
    refusal: EnableBotError | None = None

    @property
    def told(self) -> str:
        """For the person who sent it."""
        if self.document is None:
            return "" if self.refusal is None else self.refusal.message
        if self.outcome == "same":
            other = "" if self.document.name == self.name else f", as “{self.document.name}”"
            return f"Exactly this content is here already{other}. Nothing was added twice."
        if self.outcome == "replaces":
            return "This is a new version. The earlier one is used until the new one has been read."
        return "Added. It can be searched as soon as it has been read."


async def take_files(house: House, viewer: Viewer, request: Request) -> list[Sent]:
    """Hand every file of the form to the library; none is read before the form has shown that it is ours.

    The token comes in a header or as the form's first field. Raises NoticeError and BadRequest for the whole form;
    what is wrong with one file is told beside the others.
    """
    token = request.headers.get(FORM_HEADER)
    if token is not None:
        refuse_other_token(house, viewer, token)
    parts = SentParts(_arriving(request), request.headers.get("content-type"), broken=_BROKEN)
    sent: list[Sent] = []
    replaced: Document | None = None
    is_ours = token is not None
    while (part := await parts.next()) is not None:
        if not is_ours:
            refuse_other_token(house, viewer, await part.value() if part.name == FORM_FIELD else "")
            is_ours = True
        elif part.name == REPLACES_FIELD:
            replaced = await house.library.get(viewer.tenant_id, document_id(await part.value()))
        elif part.file_name:
            sent.append(await _take(house.library, viewer, part, replaced=replaced, is_one_too_many=_is_full(sent)))
    return sent


async def _arriving(request: Request) -> AsyncIterator[bytes]:
    stream, clock = request.stream(), asyncio.get_running_loop().time
    ends_at = clock() + LONGEST_SECONDS
    while True:
        try:
            async with asyncio.timeout_at(min(clock() + IDLE_SECONDS, ends_at)):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise TooSlow(
                "The upload took too long. What had not arrived was not added: check the connection and send it again."
            ) from None
        if chunk is None:
            return
        yield chunk


def document_id(text: str) -> UUID:
    """The id that an address or a field names; whatever is none leads to what a missing one leads to."""
    try:
        return UUID(text)
    except ValueError:
        return _NOBODY


# No document has it: ids are random.
_NOBODY = UUID(int=0)


def _is_full(sent: list[Sent]) -> bool:
    return len(sent) >= MOST_FILES


async def _take(
    library: Library, viewer: Viewer, part: Part, *, replaced: Document | None, is_one_too_many: bool
) -> Sent:
    name = part.file_name or ""
    if is_one_too_many:
        message = f"Not more than {MOST_FILES} files can be sent at once. Send this one again by itself."
        return Sent(name, "refused", refusal=BadRequest(message))
    try:
        added = await library.add(
            viewer.tenant_id,
            name=name if replaced is None else replaced.name,
            content=part.content(),
            source="dashboard",
            added_by=viewer.user_id,
        )
    except TooSlow:
        raise
    except EnableBotError as refusal:
        # What is wrong with us ends the request; what is wrong with the file is told beside the others.
        if refusal.status >= 500:
            raise
        return Sent(name, "refused", refusal=refusal)
    return Sent(name, added.outcome, document=added.document)
