"""How the played model answers: from passages, from tools, from the conversation."""

from __future__ import annotations

import pytest

from enablebot.sandbox.openai.counting import cut_to, pieces, tokens
from enablebot.sandbox.openai.quoting import Turn, passages_in, think

GUIDE = (
    '<passage 8f3a id="2" title="VPN guide">Our VPN is called Burrow. To reset its password, open the portal. '
    "Lunch is at noon.</passage 8f3a>\n<passage 8f3a id='3'>Parking is free for guests.</passage 8f3a>"
)


def test_the_most_telling_sentence_is_quoted_and_cited() -> None:
    said = think([Turn("system", GUIDE), Turn("user", "How do I reset the VPN password?")]).text

    assert said.startswith("**To reset its password, open the portal.** [2]")
    assert "- Our VPN is called Burrow. [2]" in said
    assert "Lunch" not in said


def test_passages_beside_the_question_are_not_mistaken_for_it() -> None:
    said = think([Turn("user", f"{GUIDE}\n\nWhere can guests park?")]).text

    assert "Parking is free for guests.** [3]" in said
    assert "Burrow" not in said


def test_nothing_found_is_said_plainly() -> None:
    said = think([Turn("system", GUIDE), Turn("user", "Who founded the company?")]).text

    assert "found nothing about *founded*, *company*" in said


def test_passages_carry_their_labels_and_titles() -> None:
    first, second = passages_in(GUIDE)

    assert (first.label, first.title) == ("2", "VPN guide")
    assert (second.label, second.text) == ("3", "Parking is free for guests.")


def test_without_passages_the_question_is_quoted() -> None:
    said = think([Turn("user", "Where is the stapler?")]).text

    assert "You asked: “Where is the stapler?”" in said
    assert "Earlier" not in said
    assert "**" in said
    assert "\n- " in said


def test_the_fence_a_prompt_puts_around_a_person_s_words_is_not_answered() -> None:
    said = think([Turn("user", '<message mark="8f3a" from="U1">\nWhere is the canteen?\n</message mark="8f3a">')]).text

    assert "Where is the canteen?" in said
    assert "mark" not in said


def test_a_follow_up_depends_on_what_was_said_before() -> None:
    alone = think([Turn("user", "When is the launch?")]).text
    later = think(
        [
            Turn("user", "The launch is on Friday."),
            Turn("assistant", "Noted."),
            Turn("user", "When is the launch?"),
        ]
    ).text

    assert "Friday" not in alone
    assert "**The launch is on Friday.**" in later
    assert "Earlier you asked: “The launch is on Friday.”" in later


def test_a_tool_s_plain_output_is_told() -> None:
    said = think([Turn("user", "What is it?"), Turn("assistant", "look {}"), Turn("tool", "42 degrees")]).text

    assert "- 42 degrees" in said


def test_the_same_conversation_always_brings_the_same_answer() -> None:
    turns = [Turn("user", "What now?"), Turn("assistant", "This."), Turn("user", "And then?")]

    assert think(turns) == think(turns)


@pytest.mark.parametrize("question", ["", "   ", "🙂", "[[tool nothing]]"])
def test_a_question_without_words_is_answered_too(question: str) -> None:
    assert "no words" in think([Turn("user", question)]).text


def test_chinese_is_matched_by_its_characters() -> None:
    said = think([Turn("system", "<passage>会议在星期五。午餐免费。</passage>"), Turn("user", "会议什么时候?")]).text

    assert "会议在星期五" in said


@pytest.mark.parametrize("text", ["", "one", " two  words ", "a\n\n- b\n- c\n", "naïve “quotes” 12.5 %"])
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


def test_a_text_is_cut_between_words_and_within_its_tokens() -> None:
    text, cut = cut_to("one two three four five", 3)

    assert (text, cut) == ("one two three", True)
    assert tokens(text) == 3
    assert cut_to("one two", 2) == ("one two", False)


def test_a_long_story_is_long_without_an_order() -> None:
    said = think([Turn("user", "Tell me a long story, please.")]).text

    assert len(said.split()) > 100
    assert said.endswith("from the start.")
