"""The product's ranking over passages in memory, to try out how to cut them: same terms, weights and fusion."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from uuid import UUID

from enablebot.shared.knowledge.terms import weigh, weigh_question

_TENANT = UUID(int=1)
_COMPARED = 100

Vector = Sequence[float]


@dataclass(frozen=True, slots=True)
class MemoryIndex:
    """Texts by number, their terms with weights, and their vectors where there is a model."""

    size: int
    postings: dict[int, list[tuple[int, float]]]
    vectors: tuple[Vector, ...] = ()

    @classmethod
    def of(cls, texts: Sequence[str], vectors: Sequence[Vector] = ()) -> "MemoryIndex":
        """Index texts."""
        postings: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for number, text in enumerate(texts):
            weighed = weigh(_TENANT, text)
            for term, weight in zip(weighed.ids, weighed.weights, strict=True):
                postings[term].append((number, weight))
        return cls(len(texts), dict(postings), tuple(map(_unit, vectors)))

    def by_words(self, ask: str) -> dict[int, float]:
        """Return the BM25 of every text that has a term of the question."""
        scores: dict[int, float] = defaultdict(float)
        asked = weigh_question(_TENANT, ask)
        for term, times in zip(asked.ids, asked.weights, strict=True):
            found = self.postings.get(term, [])
            rarity = log(1 + (self.size - len(found) + 0.5) / (len(found) + 0.5))
            for number, weight in found:
                scores[number] += times * rarity * weight
        return dict(scores)

    def rank(self, ask: str, vector: Vector | None = None) -> list[int]:
        """Return texts, best first: by words, or by words and meaning, half and half."""
        words = self.by_words(ask)
        if vector is None:
            return _best(words)
        asked = _unit(vector)
        meaning = {number: sum(map(float.__mul__, asked, own)) for number, own in enumerate(self.vectors)}
        compared = {*_best(words), *_best(meaning)}
        by_words = _stretched({number: words.get(number, 0.0) for number in compared})
        by_meaning = _stretched({number: meaning[number] for number in compared})
        return _best({number: by_words[number] + by_meaning[number] for number in compared})


def _best(scores: dict[int, float]) -> list[int]:
    return sorted(scores, key=lambda number: (-scores[number], number))[:_COMPARED]


def _stretched(scores: dict[int, float]) -> dict[int, float]:
    least, most = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
    span = most - least
    return {number: (score - least) / span if span else 0.0 for number, score in scores.items()}


def _unit(vector: Vector) -> Vector:
    length = sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]
