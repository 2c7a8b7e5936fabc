"""What may leave: judged by a reader of Slack's markup that shares no code with the guard."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enablebot.api.answering.guard import Guard, guarded
from enablebot.api.answering.invisible import visible
from enablebot.api.answering.links import NOTHING, Allowed, allowed_for

ASKED = allowed_for("what is https://intra.example.org/wiki?p=1 and docs.example.org/start for?")

# Pieces an attacker would put together, and the ordinary text between them.
PIECES = st.sampled_from(
    [
        "https://evil.com/x?q=1",
        "HTTPS://EVIL.COM",
        "http://",
        "://",
        "//evil.com/a",
        "www.evil.com",
        "evil.com",
        "evil",
        ".com",
        "com",
        ".",
        "\\.",
        "。",
        "e\u0301vil.com",
        "xn--80ak6aa92e.com",
        "javascript:alert(1)",
        "data:text/html,x",
        "mailto:a@evil.com",
        "user@evil.com",
        "https://intra.example.org/wiki?p=1",
        "docs.example.org/start",
        "[",
        "]",
        "(",
        ")",
        "](",
        "![",
        "[a]",
        "[a]: ",
        '"t"',
        "<",
        ">",
        "|",
        "<@U123ABC>",
        "<!channel>",
        "<!here|x>",
        "<!subteam^S1|@x>",
        "<#C1|c>",
        "@channel",
        "@here",
        "@everyone",
        "&lt;!channel&gt;",
        "&",
        "`",
        "``",
        "```",
        "```\n",
        "\n```python\n",
        "\n",
        "\n\n",
        "> ",
        "- ",
        "\\",
        "\\`",
        "*",
        "**",
        "_",
        "~",
        "\u200b",
        "\u2060",
        "\U000e0041",
        "\ufe0f",
        "\u202e",
        "\r",
        " ",
        "a",
        "Hello, world",
        "setup.py",
        "3.11",
        "é",
        "你好，世界。",
        "🙂",
        "!",
        ":",
        ";",
        "/",
        "?",
        "#",
        "+",
        "@",
        "-",
    ]
)
TEXTS = st.lists(PIECES, max_size=30).map("".join)
CUTS = st.lists(st.integers(1, 7), min_size=1, max_size=20)


def fed(text: str, sizes: list[int], allowed: Allowed = ASKED) -> str:
    """The text through a guard, in pieces of these sizes, over and over."""
    guard, shown, at, turn = Guard(allowed), "", 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        shown += guard.feed(text[at : at + size])
        at, turn = at + size, turn + 1
    return shown + guard.flush()


def outside_code(text: str) -> str:
    """The text without its code spans of any length, fences among them."""
    return re.sub(r"(?s)(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "`code`", text)


@settings(max_examples=300, deadline=None)
@given(TEXTS, CUTS)
@example("ev![](x).com", [1])
@example("see [a](https://evil.com)", [3])
@example("`a` ``b` c`` ```\n", [1])
def test_the_same_text_gives_the_same_result_however_it_is_cut(text: str, sizes: list[int]) -> None:
    assert fed(text, sizes) == guarded(text, ASKED)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
@example("[x]\n: https://evil.com")
@example("**evil**.com")
@example("evil\\.com")
@example("e\u0301vil.com")
@example("https://intra.example.org/wiki?p=1.evil.com")
@example("https://intra.example.org@evil.com/wiki?p=1")
def test_no_address_but_the_askers_own_survives(text: str) -> None:
    left = guarded(text, ASKED)
    for own in (
        "https://intra.example.org/wiki?p=1",
        "docs.example.org/start",
        "docs.example.org",
        "intra.example.org",
    ):
        left = re.sub(r"(?:https?://)?" + re.escape(own) + r"_*(?![\w/@%-]|[.?#]\w)", "", left)
    assert not re.search(r"[A-Za-z]://[\w\[]", left)
    # Joined to a word by a dot, this ending makes a link wherever it stands; an e-mail address is none.
    # E-mail addresses may stay. Joined to a word by a dot, the ending makes a link wherever it stands.
    left = re.sub(r"(?<![\w.])[\w+.-]+@[\w.@\u0301-]+(?!/)", "", left)
    assert not re.search(r"evil\.com(?![\w.\u0301-])", left)
    assert not re.search(r"\w[^\w\s.]?_?(?<![\s()\[\]{}<>|/\"'`,;:!?=])\.com\b", outside_code(left))


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_no_mention_image_or_markdown_link_to_elsewhere_survives(text: str) -> None:
    left = guarded(text, ASKED)
    assert not re.search(r"<[!@#]", left)
    assert not re.search(r"<\w+:[^>]*>|<[^>\s]*\|[^>\n]*>", left)
    outside = outside_code(left)
    assert "![" not in outside
    for destination in re.findall(r"\]\(([^)]*)\)", outside):
        assert ASKED.permits(destination)
    assert not re.search(r"(?m)^[\s>]*\[[^\[\]\n]*\]:", outside)
    assert not re.search(r"(?<![\w\\`])@(channel|here|everyone)\b", outside)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_nothing_invisible_survives_whatever_the_text(text: str) -> None:
    left = guarded(text)
    assert visible(left) == left
    assert not re.search("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\U000e0000-\U000e0fff\r]", left)
    left.encode()


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="abc xyz,;é\n", max_size=300), CUTS)
def test_plain_words_pass_unchanged(text: str, sizes: list[int]) -> None:
    assert fed(text, sizes, NOTHING) == text


@pytest.mark.parametrize(
    "form",
    [
        "[text]({})",
        "[text](<{}>)",
        '[text]({} "title")',
        "[text]( {} )",
        "[text][1]\n\n[1]: {}",
        "[1]: <{}> 'title'",
        "[text]\n\n[text]: {}",
        "<{}>",
        "<{}|text>",
        "![alt]({})",
        "![alt][1]\n\n[1]: {}",
        "[![alt]({})]({})",
        "{}",
        "({})",
        "**{}**",
        "_{}_",
        "~~{}~~",
        '"{}"',
        "> {}",
        "- {}",
        "1. {}",
        "| {} |",
        "# {}",
        "`{}`",
        "```\n{}\n```",
        "    {}",
        '<a href="{}">text</a>',
        '<img src="{}">',
        "text:{}",
        "text={}",
        "text,{}",
        "\\[text]({})",
        "[text\\]({})",
        "[a [b] c]({})",
        "[a\nb]({})",
        "[]({})",
        "[ ]({})",
        "&lt;{}&gt;",
        "{}.",
        "{}!",
        "...{}",
        "\u200b{}\u200b",
        "{}\u200b",
        "日本語{}日本語",
        "é{}",
        "#{}",
        "/{}",
        "a/{}",
        "@{}",
        "+{}",
    ],
)
@pytest.mark.parametrize(
    "address",
    [
        "https://evil.com/steal?q=secret",
        "http://evil.com",
        "HTTPS://Evil.Com/",
        "https://user:pass@evil.com/",
        "https://intra.example.org@evil.com/",
        "https://evil.com:8443/a",
        "https://evil.com/a_(b)",
        "https://xn--80ak6aa92e.com/",
        "https://evil.com./",
        "https://127.0.0.1:8000/x",
        "https://intra.example.org.evil.com/wiki?p=1",
        "https://intra.example.org/wiki?p=2",
        "//evil.com/x",
        "www.evil.com",
        "evil.com/steal?q=secret",
        "evil.com",
    ],
)
def test_no_form_of_link_to_elsewhere_survives(form: str, address: str) -> None:
    left = guarded(form.format(*[address] * form.count("{}")), ASKED)
    assert "://" not in left
    assert not re.search(r"(?i)evil\.com|example\.org|xn--\w+\.com|127\.0\.0\.1", left)
    assert "](" not in left
    assert "![" not in left


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a < b && c > d", "a &lt; b &amp;&amp; c &gt; d"),
        ("> quoted\n> > twice", "> quoted\n> > twice"),
        ("`a < b && c > d`", "`a < b && c > d`"),
        ("```c\nif (a < b && c) x->y;\n```\nafter", "```c\nif (a < b && c) x->y;\n```\nafter"),
        ("```html\n<!DOCTYPE html>\n<b>x</b>\n```", "```html\n&lt;!DOCTYPE html>\n<b>x</b>\n```"),
        ("```\nno end", "```\nno end\n```"),
        ("one ` alone\ntwo \\` more", "one ' alone\ntwo ' more"),
        ("Run `setup.py`, read README.md and event.id.", "Run `setup.py`, read `README.md` and `event.id`."),
        (
            "Python 3.11, e.g. v1.2.3, at 10.30 a.m. in the U.S.A.",
            "Python 3.11, e.g. v1.2.3, at 10.30 a.m. in the U.S.A.",
        ),
        ("Mail hr@acme.com about plan.pdf", "Mail hr@acme.com about plan.pdf"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("see [the page](https://intra.example.org/wiki?p=1).", "see [the page](https://intra.example.org/wiki?p=1)."),
        ("see <https://intra.example.org/wiki?p=1|the page>", "see [the page](https://intra.example.org/wiki?p=1)"),
        ("see docs.example.org/start", "see docs.example.org/start"),
        ("see [the page](https://evil.com/x)", "see the page (evil[.]com)"),
        ("matrix[i][j] and [1], [ ] x", "matrix[i][j] and [1], [ ] x"),
        ("👨‍👩‍👧 ok", "👨👩👧 ok"),
        ("@here look", "`@here` look"),
        ("ask <@U123ABC>", "ask &lt;@U123ABC&gt;"),
        ("**bold**, _it_, ~~no~~", "**bold**, _it_, ~~no~~"),
        ("你好，世界。第二句。", "你好，世界。第二句。"),
    ],
)
def test_what_people_read_stays_readable(said: str, shown: str) -> None:
    assert guarded(said, ASKED) == shown


def test_ordinary_words_are_let_go_as_they_come() -> None:
    guard = Guard()
    assert guard.feed("The answer is ") == "The answer is "
    assert guard.feed("42, since ") == "42, since "
    assert guard.feed("[link") == ""
    assert guard.feed("](https://evil.com) it ") == "link (evil[.]com) it "


def test_a_bracket_that_never_closes_is_not_waited_for_forever() -> None:
    guard = Guard()
    shown = guard.feed("[" + "word " * 2_000)
    assert len(shown) > 7_000


def test_a_host_of_the_workspaces_allow_list_may_be_linked_everywhere() -> None:
    allowed = allowed_for("hello", hosts=["Wiki.Acme.example"])
    assert guarded("[x](https://wiki.acme.example/any?y)", allowed) == "[x](https://wiki.acme.example/any?y)"
    assert "](" not in guarded("[x](https://wiki.acme.example.evil.com/)", allowed)
