"""The handbook of an invented company, Fenwright Instruments, and what its employees ask."""

import tomllib
from pathlib import Path
from typing import Any

from evaluation.questions import Answer, Question, QuestionSet
from evaluation.rendering import rendered

_HOME = Path(__file__).resolve().parents[1] / "handbook"


def sources() -> dict[str, Path]:
    """Return where each document is written down, by its file name there."""
    found = sorted((_HOME / "documents").glob("*/*"))
    return {path.name: path for path in found}


def judgements() -> tuple[Question, ...]:
    """Return the questions; their answers name documents as they are written down."""
    with (_HOME / "questions.toml").open("rb") as file:
        return tuple(_question(entry) for entry in tomllib.load(file)["question"])


def handbook() -> QuestionSet:
    """Return the documents in the formats that people send, and the questions about them."""
    documents = {name: rendered(path) for name, path in sources().items()}
    questions = tuple(
        Question(
            question.id,
            question.kind,
            question.ask,
            tuple(Answer(documents[a.document].name, a.grade, a.sentence) for a in question.answers),
        )
        for question in judgements()
    )
    return QuestionSet("handbook", tuple(documents.values()), questions)


def _question(entry: dict[str, Any]) -> Question:
    return Question(entry["id"], entry["kind"], entry["ask"], tuple(Answer(**answer) for answer in entry["answers"]))
