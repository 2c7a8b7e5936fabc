"""Generated paragraphs about invented towns, in German, Spanish and Chinese, and questions in other words and endings.

Every town has a paragraph about each of seven things, so that neither the town nor the thing alone finds the right one.
"""

import random

from evaluation.questions import Answer, Question, QuestionSet, SourceDocument
from evaluation.sets.templates import Template
from evaluation.sets.templates.chinese import CHINESE
from evaluation.sets.templates.german import GERMAN
from evaluation.sets.templates.spanish import SPANISH

_TEMPLATES = {"german": GERMAN, "spanish": SPANISH, "chinese": CHINESE}


def language_sets(seed: int = 20260302) -> tuple[QuestionSet, ...]:
    """Return one set for each language, the same for the same seed."""
    # A seed, no secret.
    rngs = {name: random.Random(f"{seed} {name}") for name in _TEMPLATES}  # noqa: S311
    return tuple(_set(name, template, rngs[name]) for name, template in _TEMPLATES.items())


def _set(name: str, template: Template, rng: random.Random) -> QuestionSet:
    documents, questions = [], []
    for place, town in enumerate(template.towns):
        for number, topic in enumerate(template.topics):
            facts = {key: rng.choice(values) for key, values in template.choices.items()}
            facts |= {"town": town, "year": str(rng.randrange(1650, 1990)), "count": str(rng.randrange(12, 900))}
            told = [sentence.format(**facts) for sentence in topic.sentences]
            file = f"{place:02}-{number}.txt"
            documents.append(SourceDocument(file, f"{template.joint.join(told)}\n".encode()))
            for kind, asked in (("as said", topic.asked), ("other endings", topic.inflected)):
                if asked:
                    answered, ask = asked[place % len(asked)]
                    answers = (Answer(file, 2, told[answered]),)
                    id_ = f"{name}-{place:02}-{number}-{kind.replace(' ', '-')}"
                    questions.append(Question(id_, kind, ask.format(**facts), answers))
    return QuestionSet(name, tuple(documents), tuple(questions), language=name)
