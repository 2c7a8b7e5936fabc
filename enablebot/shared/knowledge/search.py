"""The right passages for a question: by words, and by meaning where an embedding model is configured."""

import logging
from uuid import UUID

from enablebot.shared.database.operations import Database
from enablebot.shared.errors import ModelError
from enablebot.shared.knowledge.embedding import Embedder
from enablebot.shared.knowledge.terms import weigh_question
from enablebot.shared.models.passage import Found, FoundBy, Passage, Place

_log = logging.getLogger(__name__)

LONGEST_QUERY = 10_000
MOST_PASSAGES = 100


class Search:
    """Finds passages of one workspace at a time."""

    def __init__(self, database: Database, embedder: Embedder | None) -> None:
        self._database = database
        self._embedder = embedder

    async def find(
        self, tenant_id: UUID, query: str, *, limit: int = 10, channel: str | None = None, lane: str | None = None
    ) -> Found:
        """Return at most `limit` passages of what `channel` (None: no channel's own) and `lane` may see, best first.

        A query over LONGEST_QUERY characters is cut, and one whose meaning could not be had is answered by its words;
        the note says so. Raises DatabaseError.
        """
        notes: list[str] = []
        if len(query) > LONGEST_QUERY:
            query = query[:LONGEST_QUERY]
            notes.append(f"The query was longer than {LONGEST_QUERY:,} characters; only its beginning was looked for.")
        asked = weigh_question(tenant_id, query)
        if not asked.ids:
            notes.append("The query has no word to look for.")
            return Found(passages=(), by="words", note=" ".join(notes))
        vector: list[float] | None = None
        if self._embedder is not None:
            try:
                [vector] = await self._embedder.embed([query])
            except ModelError as error:
                _log.warning("Searched by words alone, the embedding model failed: %s", error.message)
                notes.append(f"Searched by words alone: the embedding model failed. {error.message}")
        ranked = await self._database.search_passages(
            tenant_id=tenant_id,
            channel=channel,
            lane=lane,
            term_ids=asked.ids,
            counts=asked.weights,
            limit=max(0, min(limit, MOST_PASSAGES)),
            model=self._embedder.model if self._embedder is not None and vector is not None else None,
            vector=vector,
        )
        by: FoundBy = "words" if vector is None else "words and meaning"
        if ranked.unembedded:
            notes.append("Some passages are not embedded yet; those were compared by their words alone.")
        return Found(
            passages=tuple(
                Passage(
                    document_id=row.document_id,
                    version=row.version,
                    position=row.position,
                    name=row.name,
                    title=row.title,
                    text=row.text,
                    heading=row.heading,
                    place=Place.from_json(row.place),
                    score=row.score,
                    words=row.words,
                    meaning=row.meaning,
                )
                for row in ranked.found
            ),
            by=by,
            note=" ".join(notes) or None,
        )
