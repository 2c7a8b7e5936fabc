"""Passages of documents: staged while a document is read, ranked when somebody asks, dropped with their version."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from enablebot.shared.database.operations.call import Calls
from enablebot.shared.database.passage_rows import PassageRow, PassageTextRow, RankedRow, StagedRow, UnembeddedRow

# Dimensions of a sparsevec: as many as it may have. Term ids are among them.
_DIMENSIONS = 1_000_000_000


class PassageCalls(Calls):
    async def stage_passages(
        self,
        *,
        tenant_id: UUID,
        document_id: UUID,
        version: int,
        event_id: int,
        claim_token: UUID,
        positions: Sequence[int],
        texts: Sequence[str],
        headings: Sequence[Sequence[str]],
        places: Sequence[Mapping[str, Any]],
        tokens: Sequence[int],
        term_ids: Sequence[Sequence[int]],
        weights: Sequence[Sequence[float]],
    ) -> StagedRow:
        """Store passages of a version that is being read; nobody finds them before the version is published.

        May be called again with the same positions: they are replaced. Batches of about a hundred are best. Raises
        StaleClaim when the claim is no longer held; `gone` when the document or this version is.
        """
        return StagedRow.model_validate(
            await self._call(
                "stage_passages",
                tenant_id=tenant_id,
                document_id=document_id,
                version=version,
                event_id=event_id,
                claim_token=claim_token,
                positions=list(positions),
                texts=list(texts),
                headings=[orjson.dumps(list(heading)).decode() for heading in headings],
                places=[orjson.dumps(dict(place)).decode() for place in places],
                tokens=list(tokens),
                term_ids=[f"{{{','.join(map(str, ids))}}}" for ids in term_ids],
                weights=[_sparse(ids, of) for ids, of in zip(term_ids, weights, strict=True)],
            )
        )

    async def search_passages(
        self,
        *,
        tenant_id: UUID,
        channel: str | None,
        lane: str | None,
        term_ids: Sequence[int],
        counts: Sequence[float],
        limit: int,
        model: str | None,
        vector: Sequence[float] | None,
    ) -> RankedRow:
        """Return the passages that fit a question best, of live documents that this channel and lane may see.

        `term_ids` and `counts` are `weigh_question`'s. With a `vector` of that `model`, words and meaning are fused.
        """
        return RankedRow.model_validate(
            await self._call(
                "search_passages",
                tenant_id=tenant_id,
                channel=channel,
                lane=lane,
                term_ids=list(term_ids),
                counts=list(counts),
                limit=limit,
                model=model,
                vector=None if vector is None else _dense(vector),
            )
        )

    async def read_passages(
        self, *, tenant_id: UUID, document_id: UUID, after_position: int, limit: int
    ) -> list[PassageRow]:
        """Return a live document's passages behind a position (-1 for all), in their order."""
        rows = await self._call(
            "read_passages", tenant_id=tenant_id, document_id=document_id, after_position=after_position, limit=limit
        )
        return [PassageRow.model_validate(row) for row in rows]

    async def list_passages_without_vectors(
        self,
        *,
        tenant_id: UUID,
        model: str,
        document_id: UUID | None,
        version: int | None,
        after: int | None,
        limit: int,
    ) -> list[PassageTextRow]:
        """Return passages that have no vector of exactly this model, ordered by id, from behind `after`.

        With a document and a version: those of that version, staged ones too. Without: of live versions only.
        """
        rows = await self._call(
            "list_passages_without_vectors",
            tenant_id=tenant_id,
            model=model,
            document_id=document_id,
            version=version,
            after=after,
            limit=limit,
        )
        return [PassageTextRow.model_validate(row) for row in rows]

    async def add_vectors(
        self, *, tenant_id: UUID, model: str, passage_ids: Sequence[int], vectors: Sequence[Sequence[float]]
    ) -> int:
        """Store passages' vectors in place of what they had; passages that are gone are passed over.

        Returns how many were stored.
        """
        return int(
            (
                await self._call(
                    "add_vectors",
                    tenant_id=tenant_id,
                    model=model,
                    passage_ids=list(passage_ids),
                    vectors=[_dense(vector) for vector in vectors],
                )
            )["added"]
        )

    async def count_passages_without_vectors(self, *, model: str, limit: int) -> list[UnembeddedRow]:
        """Return workspaces whose live documents have passages without a vector of this model, and how many."""
        rows = await self._call("count_passages_without_vectors", model=model, limit=limit)
        return [UnembeddedRow.model_validate(row) for row in rows]


def _sparse(ids: Sequence[int], weights: Sequence[float]) -> str:
    pairs = ",".join(f"{number}:{weight:g}" for number, weight in zip(ids, weights, strict=True))
    return f"{{{pairs}}}/{_DIMENSIONS}"


def _dense(vector: Sequence[float]) -> str:
    return f"[{','.join(f'{value:.6g}' for value in vector)}]"
