"""SciFact as BEIR has it, where somebody has put it: 300 scientific claims and 5,183 abstracts.

Abstracts are what is judged, so that two of them must never share a passage: each is a Markdown document of its own,
its title above it as a heading.
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


def scifact(directory: Path) -> QuestionSet:
    """Return the set."""
    answers: dict[str, list[Answer]] = defaultdict(list)
    with (directory / "qrels.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            answers[row["query-id"]].append(Answer(f"{row['corpus-id']}.md", int(row["score"])))
    queries = _lines(directory / "queries.jsonl")
    questions = tuple(
        Question(one["_id"], "claim", one["text"], tuple(answers[one["_id"]]))
        for one in queries
        if one["_id"] in answers
    )
    abstracts = tuple(
        SourceDocument(f"{one['_id']}.md", f"# {_on_one_line(one['title'])}\n\n{_on_one_line(one['text'])}\n".encode())
        for one in _lines(directory / "corpus.jsonl")
    )
    return QuestionSet("SciFact", abstracts, questions)


def _lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
