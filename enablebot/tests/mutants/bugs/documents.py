"""Bugs of documents: what is found before all of it is there, or by whoever has lost it."""

from enablebot.tests.mutants.mutant import Change, Mutant

_INGEST = "enablebot/api/knowledge/ingest.py"
_TESTS = "enablebot/tests/api/test_ingest.py"

MUTANTS = (
    Mutant(
        "a document is published before all of it is staged",
        (
            Change(
                _INGEST,
                "                        if len(batch) == PASSAGES_AT_ONCE:\n"
                "                            await self._store(task, batch)\n",
                "                        if len(batch) == PASSAGES_AT_ONCE:\n"
                "                            await self._store(task, batch)\n"
                "                            await task.publish(Done(pages=None, title=begun.name, passages=0))\n",
            ),
        ),
        (f"{_TESTS}::test_nothing_is_found_before_all_of_it_is_there",),
    ),
    Mutant(
        "the last passages of a document are left out",
        (
            Change(
                _INGEST,
                "        if batch:\n            await self._store(task, batch)\n        if done is None:",
                "        if done is None:",
            ),
        ),
        (f"{_TESTS}::test_a_document_of_several_pieces_and_batches_is_whole",),
    ),
    Mutant(
        "an outage of the embedding model fails the document",
        (
            Change(
                "enablebot/api/knowledge/vectors.py",
                "            self._look.set()\n            return False\n\n    async def _embed_all",
                "            raise\n\n    async def _embed_all",
            ),
        ),
        ("enablebot/tests/api/test_vectors.py::test_without_its_model_a_document_is_published_with_its_words",),
    ),
    Mutant(
        "unlink of a passage forgotten on delete",
        (
            Change(
                "enablebot/shared/database/migrations/functions/document_endings.sql",
                "  perform enablebot.inner_drop_passages(p_tenant_id, p_id, null);\n",
                "",
            ),
        ),
        (
            "enablebot/tests/shared/test_database_document_endings.py::test_an_erased_document_leaves_no_row_in_any_table",
        ),
    ),
)
