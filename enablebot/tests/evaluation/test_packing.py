"""Small documents taken in as slides stay what they are: each passage belongs to one, and holds what was judged."""

from enablebot.reader.blocks import Block, Break, Heading
from enablebot.reader.chunking import chunk
from enablebot.reader.formats import slides
from evaluation.holding import holds
from evaluation.packing import packed
from evaluation.sets.exact import exact_sets
from evaluation.sets.languages import language_sets


def test_every_passage_of_a_deck_belongs_to_one_document_and_every_judged_sentence_to_its_own() -> None:
    for questions in (exact_sets()[0], language_sets()[2]):
        together = packed(questions)
        texts: dict[str, str] = dict.fromkeys((document.name for document in questions.documents), "")
        for deck in together.documents:
            slides.prepare(deck.content)
            blocks = [said for said in slides.read(deck.content) if isinstance(said, Block | Heading | Break)]
            for passage in chunk(blocks):
                slide = passage.place["slide"]
                assert isinstance(slide, int)
                texts[together.packed[deck.name, slide]] += passage.text
        assert len(together.packed) == len(questions.documents)
        for question in questions.questions:
            (answer,) = question.answers
            assert holds(texts[answer.document], answer.sentence or "", document=answer.document), question.id
