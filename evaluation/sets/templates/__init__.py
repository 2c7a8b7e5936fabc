"""What the paragraphs in other languages are made of: towns, facts to choose from, sentences, questions."""

from collections.abc import Mapping
from dataclasses import dataclass

# Sentences about one thing, and questions with the number of the sentence that answers.
Topic = tuple[tuple[str, ...], tuple[tuple[int, str], ...]]


@dataclass(frozen=True, slots=True)
class Template:
    """One language: `joint` stands between two sentences; facts are filled in at `{town}`, `{year}` and the like."""

    towns: tuple[str, ...]
    choices: Mapping[str, tuple[str, ...]]
    topics: tuple[Topic, ...]
    joint: str = " "
