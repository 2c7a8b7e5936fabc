"""What is still to do about shared files, as it lies in the inbox between two steps: sealed, and repeatable."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from enablebot.api.handling import BodyUnreadable
from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.encryption import Place
from enablebot.shared.installations import Route
from enablebot.shared.models.document import AddOutcome
from enablebot.shared.models.event import EventKind

# Neither comes from Slack: what it posts to us is never taken for one of these.
TAKE: Literal["enablebot_take_files"] = "enablebot_take_files"
TELL: Literal["enablebot_tell_files"] = "enablebot_tell_files"
# A message that shared files is first confirmed; what it asks is answered as an event of its own, behind that.
QUESTION_KEY = "question:"


# Key, lane, kind and body of an event of ours.
Queued = tuple[str, str, EventKind, bytes]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Notice(_Frozen):
    """Where a person reads what became of their files.

    Our own message `ts`, a new one in the thread where its `ts` is not known, or, without a channel, the response URL
    of a shortcut.
    """

    channel: str | None = None
    thread_ts: str | None = None
    ts: str | None = None
    response_url: str | None = None


class Words(_Frozen):
    """A message's text that is to become a document."""

    name: str
    title: str
    text: str


class TakeStep(_Frozen):
    """Fetch these files and add them, for `lane` only where it is set; `files` are Slack's file objects."""

    type: Literal["enablebot_take_files"] = TAKE
    notice: Notice
    user: str
    lane: str | None
    channels: tuple[str, ...] = ()
    files: tuple[dict[str, Any], ...] = ()
    words: Words | None = None


class Taken(_Frozen):
    """What became of one file: a document's version, or the reason why there is none."""

    name: str
    document_id: UUID | None = None
    version: int = 0
    outcome: AddOutcome = "new"
    reason: str | None = None


class TellStep(_Frozen):
    """Wait until these documents are read, then say so. `round` counts the events that have waited so before."""

    type: Literal["enablebot_tell_files"] = TELL
    notice: Notice
    user: str
    lane: str | None
    channels: tuple[str, ...] = ()
    taken: tuple[Taken, ...]
    round: int = 0


def read_take(envelope: Mapping[str, Any]) -> TakeStep:
    """The step in an opened event; BodyUnreadable where it is none."""
    try:
        return TakeStep.model_validate(envelope)
    except ValidationError as error:
        raise BodyUnreadable("a stored step about files is not one") from error


def read_tell(envelope: Mapping[str, Any]) -> TellStep:
    """The step in an opened event; BodyUnreadable where it is none."""
    try:
        return TellStep.model_validate(envelope)
    except ValidationError as error:
        raise BodyUnreadable("a stored step about files is not one") from error


class Steps:
    """Puts steps into the inbox, each once however often it is asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def queue(self, route: Route, *, key: str, lane: str, body: bytes, kind: EventKind = "interaction") -> None:
        """Accept `body` as an event of the workspace under a key of ours."""
        await self.queue_all(route, [(key, lane, kind, body)])

    async def queue_all(self, route: Route, events: Sequence[Queued]) -> None:
        """The same for several, in their order and together."""
        count = len(events)
        await self._database.accept_events(
            tenant_ids=[route.tenant_id] * count,
            event_keys=[key for key, _, _, _ in events],
            message_keys=[None] * count,
            lanes=[lane for _, lane, _, _ in events],
            kinds=[kind for _, _, kind, _ in events],
            joins=[True] * count,
            bodies=[
                route.key.seal(Place(route.tenant_id, "event_bodies", "body", key), body) for key, _, _, body in events
            ],
            data_key_ids=[route.key.id] * count,
        )
