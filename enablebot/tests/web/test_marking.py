"""What a question asked for is marked in a passage, and the passage stays what it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enablebot.web.dashboard.marking import marked


def asked(text: str, question: str) -> list[str]:
    return [stretch.text for stretch in marked(text, question=question) if stretch.is_asked]


@pytest.mark.parametrize(
    ("text", "question", "found"),
    [
        ("The notice period is eight weeks.", "notice period", ["notice", "period"]),
        ("Notices, noticed; unnoticed.", "notice", ["Notices", "noticed"]),
        ("See ticket EB-4711 (closed).", "EB-4711", ["EB-4711"]),
        ("Write to people@acme.example.", "people@acme.example", ["people@acme.example"]),
        ("Start it with --dry-run first", "--dry-run", ["dry-run"]),
        ("通知期限是八周。", "通知", ["通知"]),
        ("知识", "通知", ["知"]),
        ("Über die Kündigung", "kündigung", ["Kündigung"]),
        ("Die Schulen sind zu.", "Wann ist die Schule zu?", ["Schulen"]),
        ("The end of the week", "what is the end of it?", ["end"]),
        ("nothing of the kind", "zebra", []),
        ("some text", "", []),
        ("some text", "?!", []),
        ("", "text", []),
    ],
)
def test_the_words_that_were_asked_for_are_marked(text: str, question: str, found: list[str]) -> None:
    assert asked(text, question) == found


def test_neighbours_are_marked_as_one_only_where_nothing_stands_between() -> None:
    assert asked("通知期限", "通知期限") == ["通知期限"]
    assert asked("notice notice", "notice") == ["notice", "notice"]


@given(st.text(max_size=200), st.text(max_size=40))
def test_no_character_is_lost_added_or_moved(text: str, question: str) -> None:
    assert "".join(stretch.text for stretch in marked(text, question=question)) == text
    assert all(stretch.text for stretch in marked(text, question=question))


def test_markup_in_a_passage_is_text_like_any_other() -> None:
    text = "<script>alert(1)</script> notice <mark>x</mark>"
    assert "".join(stretch.text for stretch in marked(text, question="alert notice")) == text
