"""What people read about their files."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from enablebot.api.slack.handlers import file_words as words
from enablebot.api.slack.interactions import UNDO_ACTION
from enablebot.sandbox.blocks import checked_blocks
from enablebot.shared.models.document import Document, Replacement

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def document(**changed: Any) -> Document:
    given: dict[str, Any] = {
        "id": uuid4(),
        "name": "handbook.pdf",
        "title": "Handbook",
        "lane": None,
        "channels": (),
        "status": "ready",
        "reason": None,
        "progress": 100,
        "version": 1,
        "live_version": 1,
        "format": "pdf",
        "size_bytes": 10,
        "content_hash": "0" * 64,
        "pages": 12,
        "passages": 34,
        "source": "slack",
        "added_by": "U1",
        "added_at": NOW,
        "created_at": NOW,
    }
    return Document.model_validate(given | changed)


def newer(status: str, **changed: Any) -> Replacement:
    given = {"version": 2, "status": status, "reason": None, "progress": 30, "format": "pdf", "size_bytes": 1}
    return Replacement.model_validate({**given, "added_by": "U1", "added_at": NOW, **changed})


def test_an_added_file_is_told_with_its_pages_and_passages() -> None:
    added = words.added_line(document(), "new", lane=None, channels=())
    assert added == "Added handbook.pdf: 12 pages, 34 passages."
    one = words.added_line(document(pages=1, passages=1200), "new", lane=None, channels=())
    assert one == "Added handbook.pdf: 1 page, 1,200 passages."
    assert words.counted(document(pages=None, passages=2)) == "2 passages"
    assert words.counted(document(pages=None, passages=0)) == "no text found"


@pytest.mark.parametrize(
    ("changed", "version", "state"),
    [
        ({}, 1, "ready"),
        ({"status": "queued", "live_version": None}, 1, "reading"),
        ({"status": "processing", "live_version": None}, 1, "reading"),
        ({"status": "failed", "live_version": None, "reason": "broken"}, 1, "failed"),
        ({"replacement": newer("processing")}, 2, "reading"),
        ({"replacement": newer("failed", reason="broken")}, 2, "failed"),
        ({"live_version": 2, "version": 2}, 2, "ready"),
        # Somebody sent another one of this name before this one was read.
        ({"live_version": 3, "version": 3}, 2, "superseded"),
        ({"replacement": newer("queued", version=3)}, 2, "superseded"),
        ({"status": "queued", "live_version": None, "version": 2}, 1, "superseded"),
    ],
)
def test_a_version_is_told_from_those_before_and_after_it(changed: dict[str, Any], version: int, state: str) -> None:
    assert words.state_of(document(**changed), version).state == state


def test_names_are_text_and_never_markup() -> None:
    report = words.report(["Added <!channel> & <https://evil.example|x>: 1 page."], documents=[])
    assert report.text == "Added &lt;!channel&gt; &amp; &lt;https://evil.example|x&gt;: 1 page."
    assert [block["text"]["type"] for block in report.blocks] == ["plain_text"]


def test_a_button_stands_only_where_there_is_something_to_undo() -> None:
    some = [UUID(int=number) for number in range(60)]
    report = words.report(["Added"], action=UNDO_ACTION, documents=some)
    assert [element["action_id"] for element in report.blocks[-1]["elements"]] == [UNDO_ACTION]
    assert len(report.blocks[-1]["elements"][0]["value"]) <= 2000
    assert all(block["type"] == "section" for block in words.report(["x"], action=UNDO_ACTION).blocks)


def test_however_much_there_is_to_tell_slack_takes_it() -> None:
    lines = [words.failed_line("n" * 200, "r" * 5000) for _ in range(100)]
    report = words.report(lines, action=UNDO_ACTION, documents=[uuid4()])
    checked_blocks(report.blocks, most=50)
    assert len(report.text) <= 4000
    full = words.report(["&" * 5000])
    assert len(full.text) <= 4000
    assert full.text.replace("&amp;", "") == ""


def test_reasons_read_as_sentences() -> None:
    assert words.failed_line("a.pdf", "it is empty. Send another") == "a.pdf was not added. It is empty. Send another."
    assert words.failed_line("a.pdf", "It is empty.") == "a.pdf was not added. It is empty."
    assert "Send it again later" in words.failed_line("a.pdf", None)


def test_many_files_are_named_by_the_first() -> None:
    assert words.reading_words(["a"], only_here=False) == "Reading a …"
    assert words.reading_words(["a", "b"], only_here=True) == "Reading a and b for this conversation only …"
    assert words.reading_words(list("abcde"), only_here=False) == "Reading a, b, c and 2 more …"
    assert words.reading_words(["a"], only_here=False, progress=40) == "Reading a … 40 %"


def test_a_document_made_of_a_message_is_called_by_how_it_begins() -> None:
    made = document(name="Message in #general of x.txt", title="The door code is 4711")
    assert words.restored_line(made) == "“The door code is 4711” is back: 12 pages, 34 passages."
