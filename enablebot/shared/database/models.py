"""Rows exactly as the SQL functions return them. Sealed columns arrive as base64 and are bytes from here on."""

import binascii
from base64 import b64decode
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict

TenantKind = Literal["workspace", "organisation"]
TenantStatus = Literal["active", "paused", "uninstalled"]
EventKind = Literal["message", "mention", "interaction", "lifecycle", "stop", "delete"]
Verdict = Literal["accepted", "duplicate", "not_ours"]
EventOutcome = Literal["done", "failed", "dropped", "expired", "retry", "release", "set_aside"]
Settlement = Literal["settled", "stale"]
AnswerState = Literal["open", "complete", "failed", "ambiguous", "dropped"]
FinalState = Literal["complete", "failed", "gave_up", "ambiguous", "dropped"]
Signal = Literal["stop", "withdraw", "lost"]
ReplyMode = Literal["stream", "post"]
ReplyState = Literal["intended", "open", "closed", "ambiguous"]
MessageRole = Literal["person", "assistant"]
KeyState = Literal["living", "revoked", "expired"]


def _from_base64(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


Bytes = Annotated[bytes, BeforeValidator(_from_base64)]


class Row(BaseModel):
    """A frozen row. Fields it does not know are ignored, so that a newer schema can serve an older process."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class DataKeyRow(Row):
    id: UUID
    master_key_id: str
    wrapped: Bytes


class RouteRow(Row):
    """A tenant as events find it; bot, app and status are those of the installation it uses."""

    tenant_id: UUID
    kind: TenantKind
    team_id: str | None
    enterprise_id: str | None
    status: TenantStatus
    credential_tenant_id: UUID
    app_id: str | None
    bot_user_id: str | None
    installed_at: datetime | None
    data_key: DataKeyRow


class UnknownWorkspaceRow(Row):
    """A workspace of an organisation we serve, not using its credential yet: register it with that."""

    unknown_workspace_of: UUID


class SavedInstallationRow(Row):
    installation_id: UUID
    reinstalled: bool


class InstallationRow(Row):
    """`tenant_id` is the tenant that holds the credential: the organisation's, for an org-wide install."""

    id: UUID
    tenant_id: UUID
    team_id: str | None
    enterprise_id: str | None
    is_org_wide: bool
    app_id: str
    bot_user_id: str
    bot_id: str | None
    scopes: tuple[str, ...]
    installed_by: str | None
    installed_at: datetime
    status: Literal["active", "replaced", "ended"]
    bot_token: Bytes | None
    refresh_token: Bytes | None
    token_expires_at: datetime | None
    data_key_id: UUID


class EndedRow(Row):
    ended: bool


class PausedRow(Row):
    paused: bool


class OAuthBeginningRow(Row):
    expires_at: datetime


class OAuthStateRow(Row):
    purpose: str
    return_to: str | None


class SessionStartRow(Row):
    expires_at: datetime


class SessionRow(Row):
    tenant_id: UUID
    user_id: str
    role: str
    expires_at: datetime


class OverviewTenantRow(Row):
    id: UUID
    kind: TenantKind
    team_id: str | None
    enterprise_id: str | None
    name: str
    status: TenantStatus
    created_at: datetime


class OverviewInstallationRow(Row):
    """An installation without its tokens."""

    id: UUID
    team_id: str | None
    enterprise_id: str | None
    is_org_wide: bool
    app_id: str
    bot_user_id: str
    scopes: tuple[str, ...]
    installed_by: str | None
    installed_at: datetime
    status: Literal["active", "replaced", "ended"]


class OverviewRow(Row):
    tenant: OverviewTenantRow
    installation: OverviewInstallationRow | None
    last_event_at: datetime | None
    last_answer_at: datetime | None
    waiting: int
    answered: int
    failed: int
    set_aside: int


class AuditRow(Row):
    seq: int
    hash: Bytes


class AuditVerdictRow(Row):
    """`broken_at` is the first sequence number that does not follow from the one before, or that is missing."""

    ok: bool
    rows: int
    broken_at: int | None


class ClaimRow(Row):
    """What is claimed. `is_last_word`: whoever claimed it before is gone, time and again, so only a word is left.

    `was_lost`: the claim before this one ended with its process, of which the event may be the reason.
    `waited_seconds` is how long it has waited, by the database's clock: since it came, or since it was replayed.
    """

    tenant_id: UUID
    id: int
    event_key: str
    kind: EventKind | Literal["document"]
    lane: str | None
    attempts: int
    received_at: datetime
    claim_token: UUID
    lease_until: datetime
    is_last_word: bool = False
    was_lost: bool = False
    waited_seconds: float = 0.0


class ClaimedEventRow(ClaimRow):
    kind: EventKind
    body: Bytes
    data_key_id: UUID


class ClaimedDocumentRow(ClaimRow):
    """A version of a document that waits to be read; the key is `document:<id>:<version>[:…]`."""

    kind: Literal["document"]

    @property
    def document_id(self) -> UUID:
        return UUID(self.event_key.split(":")[1])

    @property
    def version(self) -> int:
        return int(self.event_key.split(":")[2])


class InboxDepthRow(Row):
    """Unfinished events of everybody; `held` wait for a paused workspace, of which there are `paused`.

    Documents are counted apart, except where they were set aside. `asked_at` is the database's own clock.
    """

    asked_at: datetime
    ready: int
    queued: int
    held: int
    paused: int
    claimed: int
    set_aside: int
    oldest_seconds: float
    documents_waiting: int = 0
    documents_claimed: int = 0
    oldest_document_seconds: float = 0.0


class ReplyRow(Row):
    part: int
    mode: ReplyMode
    state: ReplyState
    ts: str | None
    intended_at: datetime


class AnswerRow(Row):
    id: UUID
    state: AnswerState
    text: Bytes | None
    data_key_id: UUID | None
    model: str | None
    created_at: datetime
    replies: tuple[ReplyRow, ...]


class MessageRow(Row):
    id: UUID
    role: MessageRole
    author: str | None
    ts: str | None
    body: Bytes
    data_key_id: UUID


class SetAsideRow(Row):
    tenant_id: UUID
    team_id: str | None
    name: str
    id: int
    event_key: str
    kind: EventKind | Literal["document"]
    attempts: int
    received_at: datetime
    settled_at: datetime
    reason: str | None


class ReplayedRow(Row):
    replayed: bool


class SignalledRow(Row):
    """How many running answers were signalled."""

    signalled: int


class OpenedAnswerRow(Row):
    """`is_withdrawn`: the question was deleted. An answer that is new then is stored nowhere."""

    answer: AnswerRow
    is_new: bool
    is_withdrawn: bool = False
    conversation_id: UUID
    history: tuple[MessageRow, ...]


class ReplyIntentRow(Row):
    intended_at: datetime
    already: bool


class PrunedRow(Row):
    dedupe_keys: int
    events: int
    oauth_states: int
    sessions: int


class SchemaVersionRow(Row):
    """`asked_at` is the database's own clock."""

    asked_at: datetime | None = None
    synchronous_commit: str | None = None
    version: int
    functions_checksum: str
    missing: tuple[str, ...]


class LoginStrengthRow(Row):
    """What the login may do beyond its job, and the `faults` that no start-up may accept."""

    login: str
    superuser: bool
    bypass_rls: bool
    owner: bool
    member_of: tuple[str, ...]
    faults: tuple[str, ...]


class MasterKeyUseRow(Row):
    """How many data keys one master key seals."""

    master_key_id: str
    data_keys: int


class TenantRow(Row):
    """A tenant as operators see it. Status and scopes are those of the installation it uses."""

    tenant_id: UUID
    kind: TenantKind
    team_id: str | None
    enterprise_id: str | None
    name: str
    status: TenantStatus
    credential_tenant_id: UUID
    installed_at: datetime | None
    created_at: datetime
    scopes: tuple[str, ...]


class ApiKeyRow(Row):
    id: UUID
    name: str
    scopes: tuple[str, ...]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    state: KeyState


class ApiKeyCreationRow(Row):
    created_at: datetime


class ApiKeyRevocationRow(Row):
    """`revoked` is false where there was no such key, or it had been revoked before."""

    revoked: bool


class ApiCallerRow(Row):
    """Whose key it is, and whether it counts: the key's own state, and that of its workspace."""

    tenant_id: UUID
    id: UUID
    name: str
    scopes: tuple[str, ...]
    state: KeyState
    workspace: TenantStatus


class ApiRequestRow(Row):
    """A request that may be repeated; the last four are there once it was `answered`."""

    outcome: Literal["new", "under_way", "answered"]
    status: int | None = None
    fingerprint: Bytes | None = None
    response: Bytes | None = None
    data_key_id: UUID | None = None


class PrunedRequestsRow(Row):
    requests: int
