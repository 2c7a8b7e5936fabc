"""One contestant asked every question of a set, and what its rankings are worth."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from evaluation.contestants import Contestant
from evaluation.holding import holds
from evaluation.metrics import found_within, found_within_tokens, ndcg, recall
from evaluation.place import IndexedPassage
from evaluation.questions import Question, QuestionSet


@dataclass(slots=True)
class Figures:
    """What each question scored, by figure; a figure of a set is the mean."""

    scores: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, scores: Mapping[str, float]) -> None:
        """Add one question."""
        for name, score in scores.items():
            self.scores[name].append(score)

    def mean(self, name: str) -> float | None:
        """Return a figure, None where it was not measured."""
        return fmean(self.scores[name]) if self.scores.get(name) else None


@dataclass(slots=True)
class Measured:
    """A contestant's figures over a whole set, and over each kind of question."""

    name: str
    whole: Figures = field(default_factory=Figures)
    by_kind: dict[str, Figures] = field(default_factory=lambda: defaultdict(Figures))
    silent: int = 0


async def measure(contestant: Contestant, questions: QuestionSet) -> Measured:
    """Ask every question that has an answer."""
    measured = Measured(contestant.name)
    for question in questions.questions:
        if question.answers:
            ranked = await contestant.rank(question.ask)
            scores = score(question, ranked)
            measured.silent += not ranked
            measured.whole.add(scores)
            measured.by_kind[question.kind].add(scores)
    return measured


def score(question: Question, ranked: Sequence[IndexedPassage]) -> dict[str, float]:
    """Return what a ranking of passages is worth; a document stands where its best passage stands."""
    documents = list(dict.fromkeys(passage.document for passage in ranked))
    scores = {"ndcg": ndcg(documents, question.grades), "recall": recall(documents, question.grades)}
    if question.sentences:
        first = ranked[:20]
        holding = [_answers(question, passage) for passage in first]
        scores |= {f"answer@{at}": found_within(holding, at=at) for at in (1, 5, 10)}
        scores["answer in 1500"] = found_within_tokens(holding, [passage.tokens for passage in first])
    return scores


def lost_sentences(questions: QuestionSet, passages: Sequence[IndexedPassage]) -> list[str]:
    """Return the judged sentences that no passage of their document holds: parsed away, or cut in two."""
    by_document: dict[str, list[str]] = defaultdict(list)
    for passage in passages:
        by_document[passage.document].append(passage.indexed)
    return [
        f"{question.id}: {answer.sentence}"
        for question in questions.questions
        for answer in question.answers
        if answer.sentence is not None
        and not any(holds(text, answer.sentence, document=answer.document) for text in by_document[answer.document])
    ]


def _answers(question: Question, passage: IndexedPassage) -> bool:
    return any(
        answer.document == passage.document and holds(passage.indexed, answer.sentence or "", document=answer.document)
        for answer in question.sentences
    )
