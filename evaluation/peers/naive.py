"""The naive Postgres way: `websearch_to_tsquery` and `ts_rank_cd`, as most tutorials have it.

Every word of the question must stand in the passage, so that most questions find nothing.
"""

from collections.abc import Sequence

import asyncpg

# The text search configurations that Postgres brings; Chinese has none.
_CONFIGURATIONS = {"english": "english", "german": "german", "spanish": "spanish"}


class NaivePostgres:
    """A table of texts with a GIN index over their tsvector, in a schema of its own."""

    name = "Postgres AND, ts_rank_cd"

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", *, language: str) -> None:
        self._connection = connection
        self._configuration = _CONFIGURATIONS.get(language, "simple")

    async def fill(self, texts: Sequence[str]) -> None:
        """Store and index the texts in place of what was there."""
        await self._connection.execute(
            f"""create schema if not exists naive;
            drop table if exists naive.texts;
            create table naive.texts (id int primary key, text text not null, words tsvector generated always as (
              to_tsvector('{self._configuration}', text)) stored);
            create index on naive.texts using gin (words)"""
        )
        await self._connection.copy_records_to_table(
            "texts", schema_name="naive", records=list(enumerate(texts)), columns=["id", "text"]
        )
        await self._connection.execute("analyze naive.texts")

    async def rank(self, query: str, *, limit: int) -> list[int]:
        """Return the numbers of the best texts."""
        rows = await self._connection.fetch(
            """select t.id from naive.texts t, websearch_to_tsquery($1::regconfig, $2) q
            where t.words @@ q order by ts_rank_cd(t.words, q) desc, t.id limit $3""",
            self._configuration,
            query,
            limit,
        )
        return [row["id"] for row in rows]
