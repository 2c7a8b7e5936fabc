"""What the evaluation calls good is what textbooks call good; a row counts only where its cells stand together."""

from math import log2

import pytest

from evaluation.holding import holds
from evaluation.metrics import found_within, found_within_tokens, ndcg, recall


def test_a_perfect_ranking_has_the_gain_of_the_ideal_one() -> None:
    assert ndcg(["a", "b", "c"], {"a": 2, "b": 1}) == 1


def test_gain_is_linear_and_discounted_by_the_logarithm_of_the_rank() -> None:
    assert ndcg(["x", "b", "a"], {"a": 2, "b": 1}) == pytest.approx((1 / log2(3) + 2 / 2) / (2 + 1 / log2(3)))


def test_nothing_beyond_the_tenth_document_counts() -> None:
    ranked = [f"other {number}" for number in range(10)] + ["a"]
    assert ndcg(ranked, {"a": 2}) == 0
    assert recall(ranked, {"a": 2}) == 0


def test_recall_counts_documents_that_only_help_as_well() -> None:
    assert recall(["b"], {"a": 2, "b": 1}) == 0.5


def test_an_answer_counts_only_among_the_first_passages() -> None:
    assert found_within([False, True], at=2) == 1
    assert found_within([False, True], at=1) == 0


def test_an_answer_counts_only_within_the_budget_of_tokens() -> None:
    assert found_within_tokens([False, True], [700, 800]) == 1
    assert found_within_tokens([False, True], [700, 801]) == 0
    assert found_within_tokens([], []) == 0


def test_a_sentence_is_found_across_line_ends_marks_and_tags() -> None:
    passage = "Install **firmware 5.4.1** until\nthen, and `weirctl probe` is safe."
    assert holds(passage, "until then, and <code>weirctl probe</code> is safe", document="a.html")
    assert not holds(passage, "until now", document="a.html")


def test_a_sentence_is_not_found_inside_other_words() -> None:
    assert not holds("Version 15.41 is out", "Version 5.4", document="a.md")


def test_a_row_is_found_with_its_headers_between_its_cells() -> None:
    row = "FW-H2-PH,pH sensor,385.00"
    assert holds("SKU: FW-H2-PH; Article: pH sensor; List price EUR: 385", row, document="prices.csv")


@pytest.mark.parametrize(
    "passage",
    [
        "SKU: FW-H2-PH; Article: pH sensor; List price EUR: 386",
        "SKU: FW-H2-PH; Article: pH sensor\nSKU: FW-H2-EC; List price EUR: 385",
    ],
)
def test_a_row_is_not_found_where_its_cells_stand_apart(passage: str) -> None:
    assert not holds(passage, "FW-H2-PH,pH sensor,385.00", document="prices.csv")
