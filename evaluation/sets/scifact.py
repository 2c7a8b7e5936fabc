"""SciFact as BEIR has it, where somebody has put it: 300 scientific claims and 5,183 abstracts.

Each abstract is a Markdown document of its own, its title above it as a heading: abstracts are what is judged, so that
two of them must never share a passage or a document.
"""

import csv
import json
import os
from collections import defaultdict
from pathlib import Path

from evaluation.questions import Answer, Question, QuestionSet, SourceDocument

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data" / "scifact"


def scifact_directory() -> Path | None:
    """Return where corpus.jsonl, queries.jsonl and qrels.tsv are: EVALUATION_SCIFACT_DIR or beside the checkout."""
    directory = Path(os.environ.get("EVALUATION_SCIFACT_DIR") or _BESIDE)
    return directory if (directory / "corpus.jsonl").is_file() else None


def scifact(directory: Path, *, most: int | None = None) -> QuestionSet:
    """Return the set; `most` takes only so many abstracts, those that answer a claim first, to try things out."""
    answers: dict[str, list[Answer]] = defaultdict(list)
    with (directory / "qrels.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            answers[row["query-id"]].append(Answer(f"{row['corpus-id']}.md", int(row["score"])))
    queries = [json.loads(line) for line in (directory / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    abstracts = [json.loads(line) for line in (directory / "corpus.jsonl").read_text(encoding="utf-8").splitlines()]
    documents = [
        SourceDocument(f"{one['_id']}.md", f"# {one['title'].strip()}\n\n{one['text'].strip()}\n".encode())
        for one in abstracts
    ]
    if most is not None:
        wanted = {answer.document for each in answers.values() for answer in each}
        documents = sorted(documents, key=lambda document: document.name not in wanted)[:most]
    questions = tuple(Question(one["_id"], "claim", one["text"], tuple(answers[one["_id"]])) for one in queries)
    return QuestionSet("SciFact", tuple(documents), tuple(q for q in questions if q.answers))
