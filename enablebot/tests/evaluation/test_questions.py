"""The question set stays honest: what is judged stands in its document, and no question gives its answer away."""

import re
from collections import Counter

import pytest
import Stemmer

from evaluation.holding import holds, words_of
from evaluation.questions import Question
from evaluation.sets.exact import exact_sets
from evaluation.sets.handbook import handbook, judgements, sources
from evaluation.sets.languages import language_sets

KINDS = {"paraphrase": 50, "identifier": 25, "near-duplicate": 25, "table": 25, "unanswerable": 10}
# Words that say nothing about what a sentence is about.
_SMALL = frozenset(
    """
    a an and are as at be by can could did do does for from had has have how i if in is it its may me my
    no not of on or our out so than that the their them they this to was we were what when where which
    who whom why will with you your us there then into any all one
    """.split()  # noqa: SIM905 - a list of eighty strings is not read any better
)
# Each generated document of a set is about one word or thing; these say which document answers.
_GENERATED = (*exact_sets(), *language_sets())


def test_there_are_enough_documents_and_questions_of_every_kind() -> None:
    counted = Counter(question.kind for question in judgements())
    assert len(sources()) >= 60
    assert set(counted) == set(KINDS)
    assert all(counted[kind] >= least for kind, least in KINDS.items())


def test_ids_and_questions_are_unique() -> None:
    questions = judgements()
    assert len({question.id for question in questions}) == len(questions)
    assert len({question.ask.casefold() for question in questions}) == len(questions)
    assert all(question.id.startswith(question.kind) for question in questions)


@pytest.mark.parametrize("question", judgements(), ids=lambda question: question.id)
def test_every_judged_sentence_stands_in_its_document_letter_for_letter(question: Question) -> None:
    for answer in question.answers:
        assert answer.sentence is not None
        assert answer.sentence in sources()[answer.document].read_text(encoding="utf-8")


def test_only_unanswerable_questions_have_no_answer_and_every_other_one_is_answered_in_full() -> None:
    for question in judgements():
        assert bool(question.answers) == (question.kind != "unanswerable"), question.id
        assert {answer.grade for answer in question.answers} <= {1, 2}
        assert not question.answers or question.sentences, question.id


def test_a_judged_sentence_belongs_to_one_document_only() -> None:
    texts = {name: words_of(path.read_text(encoding="utf-8")) for name, path in sources().items()}
    for question in judgements():
        judged = {answer.document for answer in question.answers}
        for answer in question.sentences:
            sentence = words_of(answer.sentence or "")
            elsewhere = [name for name, text in texts.items() if sentence in text and name not in judged]
            # Near-duplicates may share a sentence, and then the question says which of them it means.
            assert not elsewhere or question.kind == "near-duplicate", (question.id, elsewhere)


def test_no_question_is_a_copy_of_its_sentence() -> None:
    for question in judgements():
        asked = words_of(question.ask).split()
        for answer in question.answers:
            sentence = words_of(answer.sentence or "")
            assert words_of(question.ask) != sentence
            if question.kind in {"paraphrase", "near-duplicate"}:
                runs = [" ".join(asked[at : at + 5]) for at in range(len(asked) - 4)]
                assert not [run for run in runs if f" {run} " in sentence], question.id


def test_paraphrases_say_it_in_other_words() -> None:
    for question in judgements():
        if question.kind == "paraphrase":
            asked = _content(question.ask)
            assert asked, question.id
            told = {word for answer in question.sentences for word in _content(answer.sentence or "")}
            assert len(asked & told) <= len(asked) * 0.5, (question.id, asked & told)


def test_identifier_questions_hold_a_word_of_their_sentence_as_it_is_written() -> None:
    for question in judgements():
        if question.kind == "identifier":
            exact = [word.strip("?,") for word in question.ask.split() if re.search(r"[\d@#_-]", word)]
            told = " ".join(answer.sentence or "" for answer in question.answers)
            documents = " ".join(sources()[answer.document].read_text("utf-8") for answer in question.answers)
            assert exact, question.id
            assert any(word in told or word in documents for word in exact), question.id


@pytest.mark.parametrize("generated", _GENERATED, ids=lambda generated: generated.name)
def test_generated_questions_have_one_document_that_holds_their_sentence(generated) -> None:  # type: ignore[no-untyped-def]
    texts = {document.name: document.content.decode() for document in generated.documents}
    assert len(set(texts.values())) == len(texts) >= 100
    assert len({question.ask for question in generated.questions}) == len(generated.questions) >= len(texts)
    for question in generated.questions:
        (answer,) = question.answers
        assert answer.sentence is not None
        assert answer.sentence in texts[answer.document]
        assert answer.sentence != question.ask or generated.name not in {"german", "spanish", "chinese"}


def test_generated_exact_words_are_named_by_one_document_only() -> None:
    for generated in exact_sets():
        texts = {document.name: document.content.decode().casefold() for document in generated.documents}
        for question in generated.questions:
            (word,) = (word.strip("?,") for word in question.ask.casefold().split() if re.search(r"[\d@_]|--", word))
            named = re.compile(rf"(?<![\w.-])v?{re.escape(word.removeprefix('v'))}(?![\w-]|\.\w)")
            holding = [name for name, text in texts.items() if named.search(text)]
            assert holding == [question.answers[0].document], question.id


def test_every_judged_sentence_survives_being_written_as_an_office_file() -> None:
    """The renderers lose nothing: plain formats hold their sentences as bytes, the others as what they were made of."""
    documents = {document.name: document for document in handbook().documents}
    assert len(documents) == len(sources())
    starts = {".pdf": b"%PDF-", ".docx": b"PK", ".pptx": b"PK", ".xlsx": b"PK"}
    for ending, start in starts.items():
        of_format = [document for name, document in documents.items() if name.endswith(ending)]
        assert of_format
        assert all(document.content.startswith(start) for document in of_format)
    for question in handbook().questions:
        for answer in question.answers:
            content = documents[answer.document].content
            if not answer.document.endswith(tuple(starts)):
                assert holds(content.decode(), answer.sentence or "", document=answer.document), question.id


def _content(text: str) -> set[str]:
    stemmer = Stemmer.Stemmer("english")
    return {stemmer.stemWord(word) for word in words_of(text).split() if word not in _SMALL}
