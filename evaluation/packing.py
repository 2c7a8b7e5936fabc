"""Many small documents as a few decks, each on a slide of its own, where a reader for each would take too long.

Nothing is ever packed together across slides, so that what is judged stays apart and passages are the same, but for
the deck's name above them.
"""

from dataclasses import replace

from evaluation.questions import QuestionSet, SourceDocument
from evaluation.rendering.slides import deck_of

_SLIDES = 100


def packed(questions: QuestionSet) -> QuestionSet:
    """Return a set whose Markdown and text documents are slides; a document's first heading is its slide's title."""
    decks: list[SourceDocument] = []
    slides: dict[tuple[str, int], str] = {}
    for number, begin in enumerate(range(0, len(questions.documents), _SLIDES), 1):
        together = questions.documents[begin : begin + _SLIDES]
        name = f"deck-{number:02}.pptx"
        decks.append(SourceDocument(name, deck_of([_slide(one.content.decode()) for one in together])))
        slides |= {(name, slide): one.name for slide, one in enumerate(together, 1)}
    return replace(questions, name=f"{questions.name}, packed", documents=tuple(decks), packed=slides)


def _slide(document: str) -> tuple[str, str]:
    title, blank, text = document.partition("\n\n")
    return (title.removeprefix("# "), text) if blank and title.startswith("# ") else ("", document)
