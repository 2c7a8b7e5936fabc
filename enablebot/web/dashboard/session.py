"""Who is looking: sessions kept on the server, and forms that only our own pages can send."""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qs
from uuid import UUID

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from enablebot.shared.errors import TooLarge
from enablebot.shared.sensitive import Sensitive
from enablebot.web.cookies import fingerprint, new_secret
from enablebot.web.house import House, InHouse
from enablebot.web.notices import FOREIGN_REQUEST, NOT_SIGNED_IN, NoticeError

IDLE_SECONDS = 30 * 60
ABSOLUTE_SECONDS = 12 * 60 * 60
FORM_FIELD = "csrf_token"
# Where a script of ours puts the same token, so that it is looked at before a body is read.
FORM_HEADER = "x-csrf-token"

# A form of these pages is a button with its token, and at most a list of channels.
LARGEST_FORM_BYTES = 16 * 1024
_MOST_FIELDS = 500


@dataclass(frozen=True, slots=True)
class Viewer:
    """The person behind a request, and the one workspace they may see."""

    tenant_id: UUID
    user_id: str
    role: str
    session: Sensitive[str]


async def sign_in(house: House, request: Request, response: Response, *, tenant_id: UUID, user_id: str) -> None:
    """Start a session under a new secret; whatever session the browser had before is over."""
    earlier = house.cookies.session.read(request)
    if earlier is not None:
        await house.database.end_session(session_hash=fingerprint(earlier))
    secret = new_secret()
    await house.database.start_session(
        tenant_id=tenant_id,
        session_hash=fingerprint(secret),
        user_id=user_id,
        role="installer",
        idle_seconds=IDLE_SECONDS,
        absolute_seconds=ABSOLUTE_SECONDS,
    )
    house.cookies.session.give(response, secret)


async def sign_out(house: House, response: Response, viewer: Viewer) -> None:
    """End the session on the server, then take the cookie back."""
    await house.database.end_session(session_hash=fingerprint(viewer.session))
    house.cookies.session.clear(response)


async def viewer_of(request: Request, house: InHouse) -> Viewer:
    """Who holds the session cookie; ends the request with a 401 page when it is nobody."""
    secret = house.cookies.session.read(request)
    found = None if secret is None else await house.database.find_session(session_hash=fingerprint(secret))
    if secret is None or found is None:
        raise NoticeError(NOT_SIGNED_IN)
    return Viewer(tenant_id=found.tenant_id, user_id=found.user_id, role=found.role, session=secret)


SignedIn = Annotated[Viewer, Depends(viewer_of)]


def form_token(house: House, viewer: Viewer) -> str:
    """What a form of ours carries to show that it was made for this session."""
    message = b"form\x00" + fingerprint(viewer.session)
    return hmac.digest(house.form_key.reveal(), message, "sha256").hex()


def refuse_other_sites(request: Request, house: InHouse) -> None:
    """End a request with a 403 page unless the browser says that it came from our own pages.

    Sec-Fetch-Site is the browser's own word; one too old for it sends Origin, which then has to be ours.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None:
        is_ours = origin == house.public_url
    else:
        is_ours = site in {"same-origin", "none"} and origin in {None, house.public_url}
    if not is_ours:
        raise NoticeError(FOREIGN_REQUEST)


def refuse_other_token(house: House, viewer: Viewer, sent: str) -> None:
    """End a request with a 403 page unless what was sent is this session's own token."""
    if not hmac.compare_digest(sent.encode(errors="replace"), form_token(house, viewer).encode()):
        raise NoticeError(FOREIGN_REQUEST)


@dataclass(frozen=True, slots=True)
class Form:
    """One of our forms, and the person who sent it."""

    viewer: Viewer
    fields: Mapping[str, Sequence[str]]

    def values(self, name: str) -> tuple[str, ...]:
        """Everything that was filled in under a name."""
        return tuple(self.fields.get(name, ()))


async def form_of_viewer(
    request: Request, house: InHouse, _: Annotated[None, Depends(refuse_other_sites)], viewer: SignedIn
) -> Form:
    """What was filled in; every route that changes something asks for this, or for the viewer of the form."""
    form = Form(viewer, _fields(await _body(request)))
    sent = form.values(FORM_FIELD)
    refuse_other_token(house, viewer, sent[0] if len(sent) == 1 else "")
    return form


FilledForm = Annotated[Form, Depends(form_of_viewer)]


async def viewer_of_form(form: FilledForm) -> Viewer:
    """The viewer who sent a form that says nothing else."""
    return form.viewer


SentForm = Annotated[Viewer, Depends(viewer_of_form)]


async def _body(request: Request) -> bytes:
    """The whole body, unless it is too large. Not FastAPI's own limit: its 413 would be neither page nor JSON."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_FORM_BYTES:
            raise TooLarge("This is larger than any form on these pages.")
    return bytes(body)


def _fields(body: bytes) -> Mapping[str, Sequence[str]]:
    try:
        return parse_qs(body.decode("ascii"), max_num_fields=_MOST_FIELDS, strict_parsing=True)
    except ValueError:
        return {}
