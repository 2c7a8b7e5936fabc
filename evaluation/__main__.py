"""`python -m evaluation`: take documents in, ask, and print how good the answers are, the peers beside them."""

import argparse
import asyncio
import logging
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evaluation.contestants import HYBRID, LEXICAL, contestants
from evaluation.measuring import Measured, lost_sentences, measure
from evaluation.packing import packed
from evaluation.place import Place, Workspace, opened
from evaluation.questions import QuestionSet
from evaluation.sets.exact import exact_sets
from evaluation.sets.handbook import handbook
from evaluation.sets.languages import language_sets
from evaluation.sets.scifact import scifact, scifact_directory
from evaluation.tables import figure, show, show_set, show_table

SETS = ("handbook", "exact", "languages", "scifact")


async def main(wanted: list[str], home: Path, *, in_decks: bool) -> None:
    """Measure the sets one after the other, each in a workspace of its own, all in one database."""
    measuring = asyncio.current_task()
    assert measuring is not None
    # Otherwise a terminated run would leave its Postgres behind.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, measuring.cancel)
    async with opened(home) as place:
        embedder = place.embedder
        show("# Search, measured")
        show()
        if embedder is None:
            show(
                "No embedding model is configured: words alone. "
                "Set EMBEDDING_MODEL_DIR, or OPENAI_EMBEDDING_MODEL with OPENAI_API_KEY, for the rows with vectors."
            )
        else:
            show(f"Embedding model: {embedder.model}.")
        show()
        summary = [await _measure(place, questions) for questions in _sets(wanted, in_decks=in_decks)]
        show("## All sets, nDCG@10")
        show()
        names = list(dict.fromkeys(name for row in summary for name in row[1]))
        show_table(["set", *names], ([row[0], *(row[1].get(name, "") for name in names)] for row in summary))


async def _measure(place: Place, questions: QuestionSet) -> tuple[str, dict[str, str]]:
    workspace = await place.take_in(questions)
    measured = [await measure(contestant, questions) for contestant in await contestants(place, workspace)]
    show_set(workspace, measured)
    _show_lost(workspace)
    await _show_unanswerable(place, workspace, measured)
    return questions.name, {one.name: figure(one.whole.mean("ndcg")) for one in measured}


def _show_lost(workspace: Workspace) -> None:
    lost = lost_sentences(workspace.questions, workspace.passages)
    judged = sum(answer.sentence is not None for q in workspace.questions.questions for answer in q.answers)
    if judged:
        show(f"Judged sentences that no passage holds whole: {len(lost)} of {judged}.")
        for sentence in lost:
            show(f"- {sentence}")
        show()


async def _show_unanswerable(place: Place, workspace: Workspace, measured: list[Measured]) -> None:
    """How far the best score tells questions with an answer from those without: the area under the ROC curve."""
    asked = workspace.questions.questions
    if all(question.answers for question in asked):
        return
    scores: dict[bool, list[float]] = {True: [], False: []}
    for question in asked:
        found = await place.services.search.find(workspace.tenant_id, question.ask, limit=1)
        scores[bool(question.answers)].append(found.passages[0].score if found.passages else 0.0)
    pairs = [(right > wrong) + 0.5 * (right == wrong) for right in scores[True] for wrong in scores[False]]
    name = HYBRID if any(one.name == HYBRID for one in measured) else LEXICAL
    show(
        f"Questions without an answer: {len(scores[False])}. The best passage's score ({name}) tells them from the "
        f"others with an AUC of {sum(pairs) / len(pairs):.2f} (0.5 is chance, 1 is certain)."
    )
    show()


def _sets(wanted: list[str], *, in_decks: bool) -> Iterator[QuestionSet]:
    if "handbook" in wanted:
        yield handbook()
    small: list[QuestionSet] = []
    if "exact" in wanted:
        small += exact_sets()
    if "languages" in wanted:
        small += language_sets()
    if "scifact" in wanted:
        directory = scifact_directory()
        if directory is None:
            show("SciFact is not here: put BEIR's files into a directory and name it in EVALUATION_SCIFACT_DIR.\n")
        else:
            small.append(scifact(directory))
    for questions in small:
        yield packed(questions) if in_decks else questions


@contextmanager
def _home(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="enablebot-evaluation-") as home:
        yield Path(home)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="set", help=f"which of {', '.join(SETS)}; all without a name")
    parser.add_argument("--packed", action="store_true", help="take small documents in as slides, a hundred a file")
    parser.add_argument("--data-dir", type=Path, help="keep the database here; without it nothing is kept")
    given = parser.parse_args()
    if unknown := set(given.sets) - set(SETS):
        parser.error(f"there is no set called {', '.join(sorted(unknown))}; there are {', '.join(SETS)}")
    logging.basicConfig(level=logging.WARNING)
    # It sets a level of its own, and tells of every index it builds.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    with _home(given.data_dir) as home:
        asyncio.run(main(given.sets or list(SETS), home, in_decks=given.packed))
