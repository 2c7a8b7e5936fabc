"""What the knowledge page says of a document, in each of its states."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from enablebot.shared.models.document import Document, DocumentStatus, Replacement
from enablebot.web.dashboard.knowledge_channels import Channel, Channels, channel_ids
from enablebot.web.dashboard.knowledge_words import contents_in_words, gone, paragraphs, shown, size_in_words

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def document(**changes: Any) -> Document:
    given = {
        "id": UUID(int=7),
        "name": "handbook.pdf",
        "title": "People handbook",
        "lane": None,
        "channels": (),
        "status": "ready",
        "reason": None,
        "progress": 0,
        "version": 1,
        "live_version": 1,
        "format": "pdf",
        "size_bytes": 1_234_567,
        "content_hash": "00",
        "pages": 12,
        "passages": 40,
        "source": "dashboard",
        "added_by": "U0ADA",
        "added_at": NOW - timedelta(hours=3),
        "created_at": NOW - timedelta(hours=3),
    }
    return Document.model_validate(given | changes)


def newer(status: DocumentStatus, **changes: Any) -> Replacement:
    given = {
        "version": 2,
        "status": status,
        "reason": None,
        "progress": 42,
        "format": "pdf",
        "size_bytes": 1,
        "added_by": "U0ADA",
        "added_at": NOW,
    }
    return Replacement.model_validate(given | changes)


@pytest.mark.parametrize(
    ("changes", "label", "percent", "is_busy"),
    [
        ({"status": "queued"}, "Waiting to be read", None, True),
        ({"status": "processing", "progress": 42}, "Reading 42 %", 42, True),
        ({"status": "processing", "progress": 0}, "Being read", None, True),
        ({"status": "ready"}, "Ready", None, False),
        ({"status": "failed", "reason": "It is encrypted."}, "Could not be read", None, False),
    ],
)
def test_each_state_has_words(changes: dict[str, Any], label: str, percent: int | None, is_busy: bool) -> None:
    view = shown(document(**changes), viewer="U0ADA", now=NOW)
    assert (view.state.label, view.state.percent, view.is_busy) == (label, percent, is_busy)
    assert view.told.startswith("handbook.pdf")


def test_a_failure_says_why_and_what_can_be_done() -> None:
    state = shown(document(status="failed", reason="It is encrypted."), viewer="U0ADA", now=NOW).state
    assert state.detail == "It is encrypted."
    assert "A mended file takes its place" in state.remedy
    unknown = shown(document(status="failed", reason=None), viewer="U0ADA", now=NOW).state
    assert unknown.detail


def test_a_document_stays_ready_while_a_newer_version_is_read() -> None:
    view = shown(document(replacement=newer("processing")), viewer="U0ADA", now=NOW)
    assert view.state.label == "Ready"
    assert view.newer is not None
    assert (view.newer.percent, view.is_busy) == (42, True)


def test_a_failed_newer_version_says_that_the_earlier_one_is_used() -> None:
    view = shown(document(replacement=newer("failed", reason="It is empty.")), viewer="U0ADA", now=NOW)
    assert view.newer is not None
    assert (view.newer.detail, view.is_busy) == ("It is empty.", False)
    assert "earlier version is still used" in view.newer.remedy


def test_who_added_it_is_you_or_somebody_else() -> None:
    assert shown(document(), viewer="U0ADA", now=NOW).added_by == "by you on this page"
    assert shown(document(source="slack"), viewer="U0BEN", now=NOW).added_by == "by U0ADA in Slack"


def test_what_was_read_is_counted_in_what_the_format_has() -> None:
    assert contents_in_words("pdf", 12, 40) == "12 pages, 40 passages"
    assert contents_in_words("pptx", 1, 1) == "1 slide, 1 passage"
    assert contents_in_words("markdown", None, 1200) == "1,200 passages"
    assert contents_in_words("pdf", None, None) == ""


@pytest.mark.parametrize(
    ("size", "words"), [(1, "1 byte"), (1023, "1,023 bytes"), (1024, "1 kB"), (20_971_520, "20.0 MB")]
)
def test_sizes_are_told_in_the_megabytes_of_the_limit(size: int, words: str) -> None:
    assert size_in_words(size) == words


@pytest.mark.parametrize(
    ("left", "words"), [(600, "10 more minutes"), (70, "1 more minute"), (1, "1 more minute"), (-5, "1 more minute")]
)
def test_a_deletion_says_how_long_it_can_be_undone(left: int, words: str) -> None:
    deleted = document(deleted_at=NOW - timedelta(minutes=2), undo_until=NOW + timedelta(seconds=left))
    assert gone(deleted, now=NOW).left == words


def test_channels_are_chosen_by_name_and_those_slack_does_not_name_stay_chosen() -> None:
    channels = Channels(
        (Channel("C0GENERAL", "general", is_private=False), Channel("G0BOARD", "board", is_private=True))
    )
    chosen = channels.choices(("C0FOREIGN", "G0BOARD"))
    assert [(each.label, each.is_private, each.is_chosen) for each in chosen] == [
        ("C0FOREIGN", False, True),
        ("#board", True, True),
        ("#general", False, False),
    ]


@pytest.mark.parametrize(
    ("typed", "ids"),
    [
        ("", ()),
        ("C0123456789", ("C0123456789",)),
        (" C0123456789, C0123456789;G0123456789\n", ("C0123456789", "G0123456789")),
        ("#general", None),
        ("C0123456789 <script>", None),
        ("c0123456789", None),
        ("C" * 100, None),
        ("U0123456789", None),
    ],
)
def test_only_channel_ids_are_taken_for_channel_ids(typed: str, ids: tuple[str, ...] | None) -> None:
    assert channel_ids(typed) == ids


def test_a_passage_is_shown_in_its_paragraphs() -> None:
    assert paragraphs("\nOne\nstill one\n\n  \nTwo\n") == ("One\nstill one", "Two")
    assert paragraphs(" \n\n ") == ()
