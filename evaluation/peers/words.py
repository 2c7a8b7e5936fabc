"""bm25s, the library many would use: BM25 as Lucene has it, with a tokenizer that is fair to the language."""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

import bm25s  # type: ignore[import-untyped]
import Stemmer

_HAN = re.compile("[\u3400-\u9fff]+|[^\\W\u3400-\u9fff]+")

Tokenizer = Callable[[Sequence[str]], list[list[str]]]


class Bm25s:
    """An index in memory with bm25s' own parameters, k1 1.5 and b 0.75."""

    name = "bm25s"

    def __init__(self, texts: Sequence[str], *, language: str = "english") -> None:
        self._tokenize = _tokenizer(language)
        self._size = len(texts)
        self._index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        self._index.index(self._tokenize(texts), show_progress=False)

    def rank(self, query: str, *, limit: int) -> list[int]:
        """Return the numbers of the best texts; those that share no word with the query are left out."""
        tokens = self._tokenize([query])
        if not tokens[0]:
            return []
        found, scores = self._index.retrieve(tokens, k=min(limit, self._size), show_progress=False)
        return [int(text) for text, score in zip(found[0], scores[0], strict=True) if score > 0]


def _tokenizer(language: str) -> Tokenizer:
    if language == "chinese":
        return lambda texts: [list(_pairs(text)) for text in texts]
    # Its own tokenizer with its own list of English stop words; for other languages without one, as its manual has it.
    stopwords = "en" if language == "english" else []
    stemmer = Stemmer.Stemmer(language)

    def tokenize(texts: Sequence[str]) -> list[list[str]]:
        return bm25s.tokenize(  # type: ignore[no-any-return]
            list(texts), stopwords=stopwords, stemmer=stemmer, return_ids=False, show_progress=False
        )

    return tokenize


def _pairs(text: str) -> list[str]:
    """Cut Chinese into pairs of characters, which is the usual way where there is no dictionary."""
    cut: list[str] = []
    for run in _HAN.findall(text.casefold()):
        spaceless = run[0] >= "\u3400"
        cut += [first + second for first, second in pairwise(run)] if spaceless and len(run) > 1 else [run]
    return cut
