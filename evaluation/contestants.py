"""Who ranks: the product by words, by vectors and by both, and its peers over the same passages."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from enablebot.shared.knowledge.search import Search
from evaluation.peers.naive import NaivePostgres
from evaluation.peers.words import Bm25s
from evaluation.place import IndexedPassage, Place, Workspace

# Passages that are asked for: enough for ten documents, whatever their length.
MOST_PASSAGES = 100

Ranked = list[IndexedPassage]
Rank = Callable[[str], Awaitable[Ranked]]

LEXICAL, VECTOR, HYBRID = "EnableBot, words", "EnableBot, vectors alone", "EnableBot, words and vectors"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A name for the table, and the passages it returns for a question, best first."""

    name: str
    rank: Rank


async def contestants(place: Place, workspace: Workspace) -> list[Contestant]:
    """Return everybody who can take part: vectors only where an embedding model is configured."""
    product = _Product(place, workspace)
    ours = [Contestant(LEXICAL, product.by_words)]
    if place.embedder is not None:
        ours += [Contestant(VECTOR, product.by_vectors), Contestant(HYBRID, product.by_both)]
    texts = [passage.indexed for passage in workspace.passages]
    bm25s = Bm25s(texts, language=workspace.questions.language)
    naive = NaivePostgres(place.admin, language=workspace.questions.language)
    await naive.fill(texts)

    async def by_bm25s(ask: str) -> Ranked:
        return [workspace.passages[number] for number in bm25s.rank(ask, limit=MOST_PASSAGES)]

    async def by_naive(ask: str) -> Ranked:
        return [workspace.passages[number] for number in await naive.rank(ask, limit=MOST_PASSAGES)]

    return [*ours, Contestant(bm25s.name, by_bm25s), Contestant(naive.name, by_naive)]


class _Product:
    """The product's own search, and its vectors alone through the same function of the database."""

    def __init__(self, place: Place, workspace: Workspace) -> None:
        self._services = place.services
        self._place = place
        self._workspace = workspace
        self._words = Search(place.services.database, None)
        self._passages: Mapping[tuple[str, int], IndexedPassage] = {
            (passage.file, passage.position): passage for passage in workspace.passages
        }

    async def by_words(self, ask: str) -> Ranked:
        found = await self._words.find(self._workspace.tenant_id, ask, limit=MOST_PASSAGES)
        return [self._passages[passage.name, passage.position] for passage in found.passages]

    async def by_both(self, ask: str) -> Ranked:
        found = await self._services.search.find(self._workspace.tenant_id, ask, limit=MOST_PASSAGES)
        if found.by != "words and meaning" or found.note is not None:
            raise RuntimeError(f"The embedding model did not take part: {found.note}")
        return [self._passages[passage.name, passage.position] for passage in found.passages]

    async def by_vectors(self, ask: str) -> Ranked:
        embedder = self._place.embedder
        assert embedder is not None
        (vector,) = await embedder.embed([ask])
        ranked = await self._services.database.search_passages(
            tenant_id=self._workspace.tenant_id,
            channel=None,
            lane=None,
            term_ids=(),
            counts=(),
            limit=MOST_PASSAGES,
            model=embedder.model,
            vector=vector,
        )
        return [self._passages[row.name, row.position] for row in ranked.found]
