"""Documents, questions, and which documents answer which question: what every set consists of."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A document as it is added: a file name and its bytes."""

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """A document that helps: `grade` 2 answers the question, 1 only helps.

    `sentence` stands in the document letter for letter, or is the row of its table; None where only whole documents
    are judged.
    """

    document: str
    grade: int
    sentence: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One question and what answers it; nothing where the documents hold no answer."""

    id: str
    kind: str
    ask: str
    answers: tuple[Answer, ...]

    @property
    def grades(self) -> Mapping[str, int]:
        """The best grade of each document that helps."""
        best: dict[str, int] = {}
        for answer in self.answers:
            best[answer.document] = max(best.get(answer.document, 0), answer.grade)
        return best

    @property
    def sentences(self) -> tuple[Answer, ...]:
        """What a passage must hold to answer the question."""
        return tuple(answer for answer in self.answers if answer.grade == 2 and answer.sentence is not None)


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Documents of one workspace and the questions about them; `language` is the peers' stemmer.

    `packed` names what is judged where a file holds several such things, each on a slide of its own.
    """

    name: str
    documents: tuple[SourceDocument, ...] = field(repr=False)
    questions: tuple[Question, ...] = field(repr=False)
    language: str = "english"
    packed: Mapping[tuple[str, int], str] = field(default_factory=dict, repr=False)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of questions that have answers, in the order of their appearance."""
        return tuple(dict.fromkeys(question.kind for question in self.questions if question.answers))
