"""What people read about their files, as Slack's blocks: plain text throughout, so that no name can be markup. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from enablebot.api.slack.interactions import UNDO_ACTION
from enablebot.shared.models.document import Document

UNDO_SECONDS = 600

ONLY_HERE = (
    "What I read for one conversation only stays there. For everybody, files are added by the workspace's admins and "
    "owners, and by whoever added EnableBot: in their own direct messages with me, or on the dashboard."
)
ONLY_MANAGERS = (
    "I did not add this message: only the workspace's admins and owners, and whoever added EnableBot, may add to what "
    "everybody here is told. Ask one of them."
)
NOT_YOURS = (
    "Nothing was changed: only the workspace's admins and owners, whoever added EnableBot, and whoever sent the file "
    "may do that. Ask one of them."
)
NOTHING_TO_ADD = "There is nothing in this message that I could add: no text, and no file."
NO_SCOPE = "EnableBot was added to this workspace before it could read files. An admin has to add it again"
NOT_SEEN = "I cannot see the file in this conversation. Invite me there with /invite @EnableBot, then try again"

# How the names of documents begin that were made of a message.
MESSAGE = "Message in "

_SECTION = 2_900
# chat.update takes 4,000 characters.
_TEXT = 3_900
_MOST_NAMES = 3
_MOST_LINES = 40
# A button's value takes 2,000 characters.
_MOST_UNDONE = 50

State = Literal["ready", "failed", "reading", "superseded"]


@dataclass(frozen=True, slots=True)
class Reading:
    """How far one version of a document is. `live` is whether it, or a later one, can be searched."""

    state: State
    progress: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """One message: its lines, and the button below them with the documents it is about."""

    lines: tuple[str, ...] = field(repr=False)
    action: str | None = None
    documents: tuple[UUID, ...] = ()

    @property
    def text(self) -> str:
        """The same without blocks, for notifications, with Slack's own characters escaped."""
        whole = "\n".join(self.lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return whole if len(whole) <= _TEXT else re.sub(r"&[a-z]*\Z", "", whole[:_TEXT])

    @property
    def blocks(self) -> list[dict[str, Any]]:
        """The lines, each a section of its own, and the button."""
        shown = list(self.lines[:_MOST_LINES])
        if len(self.lines) > _MOST_LINES:
            shown.append(f"… and {len(self.lines) - _MOST_LINES} more.")
        blocks: list[dict[str, Any]] = [
            {"type": "section", "text": {"type": "plain_text", "text": line[:_SECTION], "emoji": False}}
            for line in shown
        ]
        if self.action is not None and self.documents:
            label = "Undo" if self.action == UNDO_ACTION else "Put back"
            button = {
                "type": "button",
                "action_id": self.action,
                "text": {"type": "plain_text", "text": label},
                "value": " ".join(str(document) for document in self.documents[:_MOST_UNDONE]),
            }
            blocks.append({"type": "actions", "elements": [button]})
        return blocks


def reading_words(names: Sequence[str], *, only_here: bool, progress: int | None = None) -> str:
    """The first that people read: their files are being read."""
    shown = list(names[:_MOST_NAMES])
    if len(names) > _MOST_NAMES:
        shown.append(f"{len(names) - _MOST_NAMES} more")
    listed = shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
    scope = " for this conversation only" if only_here else ""
    state = "" if progress is None else f" {progress} %"
    return f"Reading {listed}{scope} …{state}"


def state_of(document: Document, version: int) -> Reading:
    """How far this version of the document is; a later one may have taken its place."""
    if document.live_version is not None and document.live_version >= version:
        return Reading("ready" if document.live_version == version else "superseded")
    newer = document.replacement
    if newer is not None and newer.version == version:
        return _reading(newer.status, newer.progress, newer.reason)
    if document.version == version:
        return _reading(document.status, document.progress, document.reason)
    return Reading("superseded")


def counted(document: Document) -> str:
    """ "12 pages, 34 passages"; without pages where the format has none."""
    parts = [_number(document.pages, "page"), _number(document.passages, "passage")]
    return ", ".join(part for part in parts if part) or "no text found"


def shown_name(document: Document) -> str:
    """What people know a document by: its file's name, or how the message begins that it was made of."""
    return f"“{document.title}”" if document.name.startswith(MESSAGE) else document.name


def added_line(document: Document, outcome: str, *, lane: str | None, channels: Sequence[str]) -> str:
    """The line of a document that was read."""
    name, counts = shown_name(document), counted(document)
    if lane is not None:
        return f"Read {name} for this conversation only: {counts}."
    if outcome == "same":
        return f"{name} was here already: {counts}. Nothing was added twice."
    where = " Only this private channel is told of it; the dashboard can change that." if channels else ""
    verb = "Replaced" if outcome == "replaces" else "Added"
    before = " What it said before is gone." if outcome == "replaces" else ""
    return f"{verb} {name}: {counts}.{before}{where}"


def failed_line(name: str, reason: str | None) -> str:
    """The line of a file that could not be added."""
    said = (reason or "something went wrong inside EnableBot. Send it again later").strip().rstrip(".")
    return f"{name} was not added. {said[:1].upper()}{said[1:]}."


def superseded_line(name: str) -> str:
    """The line of a file that another upload replaced while it was read."""
    return f"{name} was replaced by a newer upload of the same name before I was done."


def gone_line(name: str) -> str:
    """The line of a document that was deleted while it was read."""
    return f"{name} was deleted before I was done."


def removed_line(name: str) -> str:
    """The line of a document whose addition was undone."""
    minutes = UNDO_SECONDS // 60
    return f"Removed {name}: nobody is told of it any more. For {minutes} minutes it can be put back."


def restored_line(document: Document) -> str:
    """The line of a document that was put back."""
    return f"{shown_name(document)} is back: {counted(document)}."


def lost_line(name: str | None) -> str:
    """The line of a document that is too late to put back."""
    return f"{name or 'The document'} is gone for good, it was erased. Send it again if you still need it."


def report(lines: Iterable[str], *, action: str | None = None, documents: Iterable[UUID] = ()) -> Report:
    """A message of these lines, with its button where there are documents for one."""
    listed = tuple(documents)
    return Report(tuple(lines), action if listed else None, listed)


def _reading(status: str, progress: int, reason: str | None) -> Reading:
    match status:
        case "ready":
            return Reading("ready", 100)
        case "failed":
            return Reading("failed", progress, reason)
        case _:
            return Reading("reading", progress)


def _number(count: int | None, word: str) -> str:
    if not count:
        return ""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
