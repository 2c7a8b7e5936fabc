"""File names as hostile people send them, and what is made of them."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enablebot.shared.knowledge.names import MOST_NAME, MOST_TITLE, clean_name, clean_title


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("Plan 2026.pdf", "Plan 2026.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system.ini", "system.ini"),
        ("/absolute/path/to/file.md", "file.md"),
        ("C:\\Users\\me\\Desktop\\Report.docx", "Report.docx"),
        ("folder/", "folder"),
        ("a\x00b.txt", "ab.txt"),
        ("evil\r\nSet-Cookie: a=b.txt", "evil Set-Cookie: a=b.txt"),
        ("tab\tand\x0bfeed\u2028line.txt", "tab and feed line.txt"),
        ("annual\u202efdp.exe", "annualfdp.exe"),
        ("\u2066isolated\u2069\u200b\ufeff.txt", "isolated.txt"),
        ("\ud800lone\udfff.txt", "?lone?.txt"),
        ("tag\U000e0041\U000e0042.txt", "tag.txt"),
        ("private\ue000.txt", "private.txt"),
        ("cafe\u0301.txt", "café.txt"),
        ("日本語 資料.pdf", "日本語 資料.pdf"),
        ("<img src=x onerror=alert(1)>.html", "<img src=x onerror=alert(1)>.html"),
        ("  .hidden  ", ".hidden"),
        ("", "document"),
        ("..", "document"),
        ("/", "document"),
        ("\u202e\u200b\x00", "document"),
        ("...", "document"),
        ("x" * 10_000 + ".pdf", "x" * (MOST_NAME - 4) + ".pdf"),
        ("x" * 10_000, "x" * MOST_NAME),
        # Too long to be an ending.
        ("a.b" + "y" * 1000, "a.b" + "y" * (MOST_NAME - 3)),
    ],
)
def test_a_name_is_the_last_part_on_one_line_without_what_cannot_be_seen(sent: str, kept: str) -> None:
    assert clean_name(sent) == kept


@given(st.text(alphabet=st.characters(codec=None), max_size=600))
def test_whatever_is_sent_the_name_is_short_visible_storable_and_stays_as_it_is(sent: str) -> None:
    name = clean_name(sent)
    assert 1 <= len(name) <= MOST_NAME
    assert not any(unicodedata.category(character)[0] == "C" for character in name)
    assert "/" not in name
    assert "\\" not in name
    assert name == name.strip()
    assert name.strip(".")
    assert name.encode().decode() == name
    assert clean_name(name) == name


def test_a_title_says_something_on_one_line_or_is_none() -> None:
    assert clean_title(None) is None
    assert clean_title(" \r\n\u202e ") is None
    assert clean_title("Travel\r\npolicy\u202e") == "Travel policy"
    assert clean_title("x" * 10_000) == "x" * MOST_TITLE
