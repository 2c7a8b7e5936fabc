"""Blocks become passages: whole sections under their headings, nothing lost, nothing too long."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enablebot.reader.blocks import Block, Break, Heading
from enablebot.reader.chunking import TARGET, Passage, chunk, count_tokens

SENTENCE = "This sentence about parental leave has a dozen words and some more. "


def prose(tokens: int, mark: str = "") -> Block:
    return Block((mark + SENTENCE * (tokens * 4 // len(SENTENCE) + 1))[: tokens * 4].strip())


def chunked(*blocks: Block | Heading | Break) -> list[Passage]:
    return list(chunk(blocks))


def test_small_sections_share_a_passage_under_what_their_paths_share() -> None:
    (passage,) = chunked(
        Heading(1, "Leave"),
        Block("General."),
        Heading(2, "Sick"),
        Block("Call."),
        Heading(2, "Parental"),
        Block("Ask."),
    )
    assert passage.heading == ("Leave",)
    assert passage.text == "General.\n\nSick\n\nCall.\n\nParental\n\nAsk."


def test_a_section_that_does_not_fit_any_more_begins_a_passage_of_its_own() -> None:
    first, second = chunked(Heading(1, "A"), prose(300), Heading(1, "B"), prose(300))
    assert (first.heading, second.heading) == (("A",), ("B",))


def test_a_long_section_is_cut_into_even_parts_at_sentence_ends_under_the_same_path() -> None:
    passages = chunked(Heading(1, "A"), Heading(2, "B"), *[prose(100) for _ in range(12)])
    assert len(passages) == 3
    assert {passage.heading for passage in passages} == {("A", "B")}
    assert all(TARGET * 0.7 < passage.tokens < TARGET * 1.3 for passage in passages)
    (long,) = {passage.heading for passage in chunked(Heading(1, "A"), prose(2000))}
    assert long == ("A",)
    assert all(passage.text.endswith(".") for passage in chunked(Heading(1, "A"), prose(2000))[:-1])


def test_a_section_a_little_too_long_stays_whole() -> None:
    (passage,) = chunked(Heading(1, "A"), prose(400))
    assert passage.tokens >= 400


def test_a_heading_with_nothing_below_it_is_not_lost() -> None:
    (passage,) = chunked(Heading(1, "Only a heading"))
    assert (passage.heading, passage.text) == ((), "Only a heading")
    (packed,) = chunked(Heading(1, "A"), Heading(1, "B"), Block("Text."))
    assert packed.text == "A\n\nB\n\nText."


def test_headings_above_others_stand_in_their_path_only() -> None:
    (passage,) = chunked(Heading(1, "A"), Heading(2, "B"), Block("Text."))
    assert (passage.heading, passage.text) == (("A", "B"), "Text.")


def test_nothing_is_packed_across_a_break() -> None:
    passages = chunked(
        Heading(1, "One", {"slide": 1}), Block("a", {"slide": 1}), Break(), Block("b", {"slide": 2}), Break()
    )
    assert [(passage.heading, passage.place) for passage in passages] == [(("One",), {"slide": 1}), ((), {"slide": 2})]


def test_a_passage_says_where_it_begins_and_where_it_ends() -> None:
    (pages,) = chunked(Block("a", {"page": 3}), Block("b", {"page": 4}))
    assert pages.place == {"page": 3, "last_page": 4}
    (one,) = chunked(Block("a", {"page": 3}), Block("b", {"page": 3}))
    assert one.place == {"page": 3}
    (rows,) = chunked(
        Block("a", {"sheet": "P", "rows": (2, 2)}, "row"), Block("b", {"sheet": "P", "rows": (3, 3)}, "row")
    )
    assert rows.place == {"sheet": "P", "rows": (2, 3)}
    assert rows.text == "a\nb"


def test_code_stays_whole_as_long_as_it_can() -> None:
    code = "```\n" + "\n".join(f"line {number} of the programme" for number in range(90)) + "\n```"
    assert TARGET < count_tokens(code) < TARGET * 2
    passages = chunked(Heading(1, "A"), prose(200), Block(code, kind="code"), prose(200))
    assert sum(code in passage.text for passage in passages) == 1


def test_rows_are_cut_between_cells_and_only_when_one_alone_is_too_long() -> None:
    row = "; ".join(f"column {number}: value {number}" for number in range(200))
    passages = chunked(Block(row, kind="row"))
    assert len(passages) > 1
    assert all(re.match(r"column \d+: ", passage.text) for passage in passages)


@pytest.mark.parametrize("text", ["x" * 100_000, "语" * 30_000, "word " * 30_000, "a\n" * 50_000])
def test_text_without_sentences_is_cut_all_the_same(text: str) -> None:
    passages = chunked(Block(text))
    assert all(passage.tokens <= TARGET * 1.3 for passage in passages)
    assert _letters("".join(passage.text for passage in passages)) == _letters(text)


def test_the_size_can_be_chosen() -> None:
    sizes = [[passage.tokens for passage in chunk([prose(3000)], target=target)] for target in (100, 800)]
    assert len(sizes[0]) > 5 * len(sizes[1])


words = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=400)
block = st.one_of(
    st.builds(Block, words.filter(str.strip), st.just({}), st.sampled_from(["prose", "item", "code", "row"])),
    st.builds(Heading, st.integers(1, 9), st.text("ab c", max_size=300)),
    st.builds(Break),
)


@given(st.lists(block, max_size=60))
@settings(max_examples=150, deadline=None)
def test_whatever_the_blocks_no_letter_of_them_is_lost(blocks: list[Block | Heading | Break]) -> None:
    passages = list(chunk(blocks, target=40))
    said = _letters("".join(passage.text for passage in passages))
    assert all(passage.text.strip() for passage in passages)
    wanted = (_letters(block.text) for block in blocks if isinstance(block, Block))
    assert _in_order(said, wanted)


def _letters(text: str) -> str:
    return "".join(text.split())


def _in_order(said: str, wanted: Iterator[str]) -> bool:
    """Whether each piece comes in `said`, one behind the other; what stands between are headings."""
    at = 0
    for piece in wanted:
        found = said.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return True
