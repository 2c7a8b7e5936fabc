"""Who calls: an API key, what it may, and how often. Asked before anything of the body is read."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request

from enablebot.api.rest.desk import AtDesk, Desk
from enablebot.api.rest.quotas import FAILURES, Quota
from enablebot.shared.errors import Forbidden
from enablebot.shared.http import Refused, caller_address
from enablebot.shared.models.api_key import Scope, hash_of_key, reads_as_key, start_of_key

_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="API key",
    bearerFormat="eb_…",
    description="`Authorization: Bearer eb_…`. `python -m enablebot api-keys create --team T…` makes a key.",
)


class NoKey(Refused):
    """There is no key in the request, or it does not count."""

    code = "unauthorized"
    status = 401
    headers = {"WWW-Authenticate": 'Bearer realm="EnableBot"'}  # noqa: RUF012 - never changed


class ScopeMissing(Forbidden):
    """The key is good, but not for this."""

    code = "scope_missing"


class WorkspaceLeft(Forbidden):
    """The workspace has removed the app."""

    code = "workspace_left"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key it is; `name` is how documents and the audit trail name the key."""

    tenant_id: UUID
    key_id: UUID

    @property
    def name(self) -> str:
        return f"api:{start_of_key(self.key_id)}"


def admitted(scope: Scope, quota: Quota) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """Return the dependency of an endpoint that needs this scope and counts against this quota."""

    async def admit(
        request: Request, desk: AtDesk, _: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
    ) -> Caller:
        caller = await _caller(request, desk, scope)
        try:
            desk.quotas.take(quota, caller.key_id)
        finally:
            request.state.quota_headers = desk.quotas.headers(quota, caller.key_id)
        return caller

    return admit


async def _caller(request: Request, desk: Desk, scope: Scope) -> Caller:
    key = _key_of(request)
    # The key is looked up by its hash: no comparison here whose time could tell anything.
    found = await desk.database.find_api_key(key_hash=hash_of_key(key)) if reads_as_key(key) else None
    if found is None or found.state != "living":
        # Only for what fails: nobody who shares an address with a guesser loses the use of a good key.
        desk.quotas.take(FAILURES, caller_address(request, trusted_proxy=desk.trusted_proxy))
    if found is None:
        raise NoKey(
            "The request needs an API key: `Authorization: Bearer eb_…`."
            if not key
            else "This is no API key that is known here. Check that it was copied whole."
        )
    if found.state == "revoked":
        raise NoKey("This API key was revoked. Ask for a new one.")
    if found.state == "expired":
        raise NoKey("This API key has expired. Ask for a new one.")
    if found.workspace == "uninstalled":
        raise WorkspaceLeft("This key's workspace has removed EnableBot. It works again once somebody there adds it.")
    if scope not in found.scopes:
        raise ScopeMissing(f"This key lacks the scope {scope}. It has: {', '.join(found.scopes)}.")
    return Caller(tenant_id=found.tenant_id, key_id=found.id)


def _key_of(request: Request) -> str:
    sent = request.headers.getlist("authorization")
    # Two of them are two opinions on who calls.
    if len(sent) != 1:
        return ""
    scheme, _, key = sent[0].partition(" ")
    return key.strip(" ") if scheme.lower() == "bearer" else ""
