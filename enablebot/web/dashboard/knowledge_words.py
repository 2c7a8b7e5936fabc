"""A document in the words of the page: its state, what to do about it, and where it came from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, assert_never
from uuid import UUID

from enablebot.shared.models.document import Document, DocumentVersion
from enablebot.web import paths
from enablebot.web.dashboard.moment import Moment, moment

StateKind = Literal["waiting", "reading", "ready", "failed"]

_SOURCES: Mapping[str, str] = {"dashboard": "on this page", "api": "over the API", "slack": "in Slack"}
_KINDS: Mapping[str, tuple[str, str]] = {
    "pdf": ("PDF", "PDF"),
    "docx": ("DOC", "Word document"),
    "pptx": ("PPT", "Presentation"),
    "xlsx": ("XLS", "Spreadsheet"),
    "csv": ("CSV", "Table (CSV)"),
    "html": ("WEB", "Web page"),
    "markdown": ("MD", "Markdown"),
    "text": ("TXT", "Plain text"),
}
_LEAVES: Mapping[str, str] = {"pdf": "page", "docx": "page", "pptx": "slide", "xlsx": "sheet"}
_EMPTY_LINES = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class State:
    """Where a document stands. `percent` is None unless it is being read; `told` is said aloud when that ends."""

    kind: StateKind
    label: str
    told: str
    percent: int | None = None
    detail: str = ""
    remedy: str = ""

    @property
    def is_busy(self) -> bool:
        return self.kind in {"waiting", "reading"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A document as lists and its own page show it. `newer` is the state of a version that will replace it."""

    id: UUID
    href: str
    name: str
    title: str
    kind_sign: str
    kind: str
    state: State
    newer: State | None
    size: str
    contents: str
    version: int
    channels: tuple[str, ...]
    added: Moment | None
    added_by: str

    @property
    def is_busy(self) -> bool:
        return self.state.is_busy or (self.newer is not None and self.newer.is_busy)

    @property
    def told(self) -> str:
        return (self.newer or self.state).told


@dataclass(frozen=True, slots=True)
class ShownVersion:
    version: int
    label: str
    size: str
    contents: str
    added: Moment | None
    added_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """A deleted document that can still be had back."""

    id: UUID
    href: str
    name: str
    deleted: Moment | None
    left: str


def shown(document: Document, *, viewer: str, now: datetime) -> Shown:
    """What the page says of a document to the person `viewer`."""
    sign, kind = _KINDS[document.format]
    return Shown(
        id=document.id,
        href=f"{paths.KNOWLEDGE}/{document.id}",
        name=document.name,
        title=document.title or document.name,
        kind_sign=sign,
        kind=kind,
        state=_state(document),
        newer=_newer(document),
        size=size_in_words(document.size_bytes),
        contents=contents_in_words(document.format, document.pages, document.passages),
        version=document.version,
        channels=document.channels,
        added=moment(document.added_at, now=now),
        added_by=added_in_words(document.added_by, document.source, viewer=viewer),
    )


def shown_version(version: DocumentVersion, *, viewer: str, now: datetime) -> ShownVersion:
    """What the page says of one version among others."""
    return ShownVersion(
        version=version.version,
        label=_version_label(version),
        size=size_in_words(version.size_bytes),
        contents=contents_in_words(version.format, version.pages, version.passages),
        added=moment(version.added_at, now=now),
        added_by=added_in_words(version.added_by, version.source, viewer=viewer),
        reason=version.reason or "",
    )


def gone(document: Document, *, now: datetime) -> Gone:
    """What the page says of a document that was deleted a short while ago."""
    seconds = 0.0 if document.undo_until is None else (document.undo_until - now).total_seconds()
    minutes = max(1, round(seconds / 60))
    return Gone(
        id=document.id,
        href=f"{paths.KNOWLEDGE}/{document.id}",
        name=document.name,
        deleted=moment(document.deleted_at, now=now),
        left="1 more minute" if minutes == 1 else f"{minutes} more minutes",
    )


def _state(document: Document) -> State:
    name = document.name
    match document.status:
        case "queued":
            return State("waiting", "Waiting to be read", f"{name} waits to be read.")
        case "processing":
            return _reading(document.progress, told=f"{name} is being read.")
        case "ready":
            contents = contents_in_words(document.format, document.pages, document.passages)
            return State("ready", "Ready", f"{name} is ready: {contents}.")
        case "failed":
            reason = document.reason or "Why is not known."
            return State("failed", "Could not be read", f"{name} could not be read. {reason}", None, reason, _REMEDY)
    assert_never(document.status)


def _reading(progress: int, *, told: str, what: str = "") -> State:
    # Of some files nothing can be said before all of it is known: no bar that stands still.
    if progress == 0:
        return State("reading", "Being read", told)
    return State("reading", f"Reading{what} {progress} %", told, progress)


_REMEDY = "A mended file takes its place if you add it under the same name."
_REMEDY_NEWER = "The earlier version is still used."


def _newer(document: Document) -> State | None:
    newer, name = document.replacement, document.name
    if newer is None:
        return None
    match newer.status:
        case "queued":
            return State("waiting", "A new version waits to be read", f"A new version of {name} waits to be read.")
        case "processing":
            return _reading(newer.progress, told=f"A new version of {name} is being read.", what=" a new version,")
        case "failed":
            reason = newer.reason or "Why is not known."
            told = f"The new version of {name} could not be read. {reason}"
            return State("failed", "The new version could not be read", told, None, reason, _REMEDY_NEWER)
        case "ready":
            return None
    assert_never(newer.status)


def _version_label(version: DocumentVersion) -> str:
    if version.is_live:
        return "In use"
    match version.status:
        case "queued":
            return "Waiting to be read"
        case "processing":
            return "Being read"
        case "failed":
            return "Could not be read"
        case "ready":
            return "Replaced"
    assert_never(version.status)


def added_in_words(added_by: str, source: str, *, viewer: str) -> str:
    """Who added it, and by which way."""
    who = "you" if added_by == viewer else added_by
    return f"by {who} {_SOURCES.get(source, '')}".rstrip()


def contents_in_words(format_: str, pages: int | None, passages: int | None) -> str:
    """“12 pages, 40 passages”; empty where nothing has been counted yet."""
    parts = []
    leaf = _LEAVES.get(format_)
    if pages and leaf:
        parts.append(_counted(pages, leaf))
    if passages is not None:
        parts.append(_counted(passages, "passage"))
    return ", ".join(parts)


def paragraphs(text: str) -> tuple[str, ...]:
    """The paragraphs of a passage's text; the lines within one are its own."""
    return tuple(part for part in _EMPTY_LINES.split(text.strip()) if part)


def size_in_words(size_bytes: int) -> str:
    """In the same megabytes as the limit of what a document may weigh."""
    if size_bytes < 1024:
        return _counted(size_bytes, "byte")
    if size_bytes < 1024 * 1024:
        return f"{size_bytes / 1024:.0f} kB"
    return f"{size_bytes / 1024 / 1024:.1f} MB"


def _counted(count: int, unit: str) -> str:
    return f"{count:,} {unit}{'' if count == 1 else 's'}"
