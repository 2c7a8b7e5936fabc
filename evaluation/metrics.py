"""How good a ranking is. Every figure lies between 0 and 1."""

from collections.abc import Mapping, Sequence
from math import log2


def ndcg(ranked: Sequence[str], grades: Mapping[str, int], *, at: int = 10) -> float:
    """Normalised discounted cumulative gain with linear gain, as trec_eval has it; no document may come twice."""
    gains = [grades.get(document, 0) for document in ranked[:at]]
    ideal = sorted(grades.values(), reverse=True)[:at]
    return _discounted(gains) / _discounted(ideal)


def recall(ranked: Sequence[str], grades: Mapping[str, int], *, at: int = 10) -> float:
    """Which part of the documents that help is among the first."""
    return sum(document in grades for document in ranked[:at]) / len(grades)


def found_within(holding: Sequence[bool], *, at: int) -> float:
    """1 where one of the first passages holds an answer."""
    return float(any(holding[:at]))


def found_within_tokens(holding: Sequence[bool], tokens: Sequence[int], *, budget: int = 1500) -> float:
    """1 where an answer stands in the best passages that together fit a budget; one too large ends it."""
    spent = 0
    for holds, size in zip(holding, tokens, strict=True):
        spent += size
        if spent > budget:
            return 0.0
        if holds:
            return 1.0
    return 0.0


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / log2(rank + 2) for rank, gain in enumerate(gains))
