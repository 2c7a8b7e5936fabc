"""`python -m evaluation.chunks`: how large passages should be, and what the headings above them are worth.

The handbook is read by the product's own formats and cut into passages of several sizes, with title and headings above
each passage and without them. Ranked is in memory, by the product's terms, weights and fusion.
"""

import asyncio
import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from enablebot.config.settings import load_settings
from enablebot.reader.blocks import Block, Break, Heading, Titled
from enablebot.reader.chunking import TARGET, chunk, count_tokens
from enablebot.shared.knowledge.embedding import Embedder, embedder_for
from enablebot.shared.knowledge.formats import sniff
from enablebot.shared.models.passage import in_context
from evaluation.measuring import Figures, lost_sentences, score
from evaluation.memory import MemoryIndex
from evaluation.place import IndexedPassage
from evaluation.questions import QuestionSet, SourceDocument
from evaluation.sets.handbook import handbook
from evaluation.tables import figure, show, show_table

SIZES = (200, 350, 500, 800)
_MODULES = {
    "pdf": "pdf",
    "docx": "word",
    "pptx": "slides",
    "xlsx": "sheets",
    "csv": "separated",
    "html": "webpage",
    "markdown": "marked",
    "text": "plain",
}
_FIGURES = ("ndcg", "answer@5", "answer in 1500")


@dataclass(frozen=True, slots=True)
class Cut:
    """One way to cut, and the passages it makes."""

    target: int
    with_headings: bool
    passages: tuple[IndexedPassage, ...]


def cut(documents: tuple[SourceDocument, ...], *, target: int, with_headings: bool) -> Cut:
    """Read documents as the product does, in this process, and cut them into passages of about `target` tokens."""
    passages: list[IndexedPassage] = []
    for document in documents:
        title, blocks = _read(document)
        for position, passage in enumerate(chunk(iter(blocks), target=target)):
            above = in_context(title, passage.heading, passage.text) if with_headings else passage.text
            passages.append(IndexedPassage(document.name, document.name, position, passage.text, above))
    return Cut(target, with_headings, tuple(passages))


async def measure(way: Cut, questions: QuestionSet, embedder: Embedder | None) -> Iterator[list[str]]:
    """Return the rows of one way to cut: by words, and by words and vectors where there is a model."""
    texts = [passage.indexed for passage in way.passages]
    asked = [question for question in questions.questions if question.answers]
    vectors = await embedder.embed(texts) if embedder else []
    asked_vectors = await embedder.embed([question.ask for question in asked]) if embedder else []
    index = MemoryIndex.of(texts, vectors)
    words, both = Figures(), Figures()
    for number, question in enumerate(asked):
        ranked = [way.passages[place] for place in index.rank(question.ask)]
        words.add(score(question, ranked))
        if embedder is not None:
            ranked = [way.passages[place] for place in index.rank(question.ask, asked_vectors[number])]
            both.add(score(question, ranked))
    facts = [
        f"{way.target}{' (ours)' if way.target == TARGET and way.with_headings else ''}",
        "yes" if way.with_headings else "no",
        str(len(way.passages)),
        f"{fmean(count_tokens(text) for text in texts):.0f}",
        str(len(lost_sentences(questions, way.passages))),
    ]
    rows = [[*facts, "words", *(figure(words.mean(name)) for name in _FIGURES)]]
    if embedder is not None:
        rows.append([*facts, "words and vectors", *(figure(both.mean(name)) for name in _FIGURES)])
    return iter(rows)


async def main() -> None:
    """Print the table."""
    named = ("EMBEDDING_MODEL_DIR", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_EMBEDDING_MODEL")
    environ = {name: value for name in named if (value := os.environ.get(name))}
    embedder = embedder_for(load_settings(environ={"ENVIRONMENT": "test", **environ}, env_file=None).model)
    questions = handbook()
    rows: list[list[str]] = []
    for target in SIZES:
        for with_headings in (True, False):
            way = cut(questions.documents, target=target, with_headings=with_headings)
            rows += await measure(way, questions, embedder)
    if embedder is None:
        show("No embedding model is configured: words alone.\n")
    header = ["tokens", "headings above", "passages", "tokens each", "sentences cut", "ranked by"]
    show_table([*header, "nDCG@10", "answer@5", "answer in 1500 tokens"], rows)


def _read(document: SourceDocument) -> tuple[str, list[Block | Heading | Break]]:
    kind = sniff(document.name, document.content)
    module = importlib.import_module(f"enablebot.reader.formats.{_MODULES[kind]}")
    module.prepare(document.content)
    title = document.name.rpartition(".")[0]
    blocks: list[Block | Heading | Break] = []
    for said in module.read(document.content):
        if isinstance(said, Titled):
            title = said.text or title
        elif isinstance(said, Block | Heading | Break):
            blocks.append(said)
    return title, blocks


if __name__ == "__main__":
    asyncio.run(main())
