"""What the paragraphs in other languages are made of: towns, facts to choose from, sentences, questions."""

from collections.abc import Mapping
from dataclasses import dataclass

# Questions, each with the number of the sentence that answers it.
Asked = tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Topic:
    """Sentences about one thing, and what is asked about it.

    `inflected` asks with other endings than the sentences have, plurals above all: only a stemmer that knows the
    language sees that both are the same word.
    """

    sentences: tuple[str, ...]
    asked: Asked
    inflected: Asked = ()


@dataclass(frozen=True, slots=True)
class Template:
    """One language: `joint` stands between two sentences; facts are filled in at `{town}`, `{year}` and the like."""

    towns: tuple[str, ...]
    choices: Mapping[str, tuple[str, ...]]
    topics: tuple[Topic, ...]
    joint: str = " "
