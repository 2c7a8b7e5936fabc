"""Generated sets for what must be found letter for letter: identifiers, versions, e-mail addresses and flags.

Each document is one note of an engineer about one such word, and its neighbours' words differ from it by a digit, a
name or a prefix. Questions give the word alone, inside a sentence, and in other capitals where these mean nothing.
"""

import random
from collections.abc import Callable, Iterator

from evaluation.questions import Answer, Question, QuestionSet, SourceDocument

_NOTES = 120
_PARTS = (
    "scheduler",
    "billing export",
    "search index",
    "login page",
    "mail relay",
    "image resizer",
    "audit log",
    "payment form",
    "cache",
    "report builder",
    "mobile app",
    "data loader",
    "backup job",
    "proxy",
    "calendar",
)
_SEEN = (
    "stopped after the night run",
    "answered twice as slowly as the week before",
    "wrote empty files",
    "refused every second request",
    "lost its settings at restart",
    "showed yesterday's figures",
    "used all memory of its machine",
    "could not be reached from the second office",
)
_DONE = (
    "We restarted it and watched the graphs for an hour.",
    "The supplier has been told and promised a remedy.",
    "A change of the configuration was enough.",
    "Nobody outside the team noticed it.",
    "It was found during the weekly review.",
    "The owner wrote a test for it on the same day.",
    "Two customers were called and told what had happened.",
    "The ticket stays open until next month.",
)
_FIRST = ("anna", "anja", "hanna", "jan", "jana", "johan", "maria", "marie", "mario", "peter", "petra", "piet")
_LAST = ("bauer", "baur", "baum", "lindt", "linde", "linden", "novak", "nowak", "meyer", "meier", "maier", "mayer")
_STEMS = (
    "dry-run",
    "max-retries",
    "max-retry-delay",
    "output",
    "output-dir",
    "cache-size",
    "cache-ttl",
    "log-level",
    "log-file",
    "region",
    "keep-going",
    "follow-links",
    "time-zone",
    "page-size",
    "strip-tags",
)
_FORMS = ("--{0}", "--no-{0}", "--{0}-only", "--default-{0}", "--{0}-v2", "--skip-{0}", "--force-{0}", "--print-{0}")

Word = Callable[[random.Random], Iterator[str]]


def exact_sets(seed: int = 20260301) -> tuple[QuestionSet, ...]:
    """Return the four sets, the same for the same seed."""
    return tuple(
        _set(name, words, asked, random.Random(f"{seed} {name}"))  # noqa: S311 - no secret
        for name, words, asked in (
            ("identifiers", _identifiers, ("{0}", "what is {0}?", "we got {0} again, what was done", "{lower}")),
            ("versions", _versions, ("{0}", "what changed in version {0}", "problems with {0}?", "upgrade to v{0}")),
            ("e-mails", _emails, ("{0}", "who is {0}?", "mail from {0} about what", "{upper}")),
            ("flags", _flags, ("{0}", "what does {0} do", "is {0} safe to use?", "job called with {0}")),
        )
    )


def _set(name: str, words: Word, asked: tuple[str, ...], rng: random.Random) -> QuestionSet:
    chosen = list(dict.fromkeys(words(rng)))
    rng.shuffle(chosen)
    chosen = chosen[:_NOTES]
    documents, questions = [], []
    for number, word in enumerate(chosen):
        file = f"note-{number:03}.md"
        told, note = _note(name, word, rng)
        documents.append(SourceDocument(file, note.encode()))
        ask = asked[number % len(asked)].format(word, lower=word.lower(), upper=word.upper())
        questions.append(Question(f"{name}-{number:03}", name, ask, (Answer(file, 2, told),)))
    return QuestionSet(name, tuple(documents), tuple(questions))


def _note(name: str, word: str, rng: random.Random) -> tuple[str, str]:
    """Return the sentence that names the word, and the note around it."""
    part, other = rng.sample(_PARTS, 2)
    told = {
        "identifiers": f"The {part} {rng.choice(_SEEN)}, and the log named {word} as the cause.",
        "versions": f"The {part} {rng.choice(_SEEN)} after the update to {rng.choice(('', 'v'))}{word}.",
        "e-mails": f"The {part} {rng.choice(_SEEN)}; the first message about it came from {word}.",
        "flags": f"The {part} {rng.choice(_SEEN)} because somebody had called it with `{word}`.",
    }[name]
    done = rng.sample(_DONE, 3)
    looked = f"At first we looked at the {other}, which had nothing to do with it."
    return told, f"# Note about the {part}\n\n{told} {looked} {done[0]}\n\n{done[1]} {done[2]}\n"


def _identifiers(rng: random.Random) -> Iterator[str]:
    for _ in range(40):
        number = rng.randrange(91000, 99990)
        year = rng.choice((2025, 2026))
        yield from (f"CVE-{year}-{number}", f"CVE-{year}-{number + 1}", f"INC-{number % 5000}", f"SKU-{number}-XL")
        yield from (f"ERR_CONN_{number % 97}", f"E{number % 4000:04}", f"PO-{number}/26", f"XK{number}B")


def _versions(rng: random.Random) -> Iterator[str]:
    for _ in range(30):
        major, minor, patch = rng.randrange(1, 13), rng.randrange(0, 12), rng.randrange(1, 10)
        yield from (f"{major}.{minor}.{patch}", f"{major}.{minor}.{patch}1", f"{major}.{minor}{patch}.0")
        yield from (
            f"{major}.{minor}.{patch}-rc.1",
            f"202{patch % 7}.{minor + 1:02}.{patch}",
            f"1{major}.{minor}.{patch}",
        )


def _emails(rng: random.Random) -> Iterator[str]:
    for first in _FIRST:
        for last in _LAST:
            host = rng.choice(("fenwright.example", "fenwright-partners.example", "waterboard.example"))
            yield rng.choice((f"{first}.{last}@{host}", f"{first[0]}.{last}@{host}", f"{first}-{last}@{host}"))


def _flags(rng: random.Random) -> Iterator[str]:
    for stem in _STEMS:
        yield from (form.format(stem) for form in _FORMS)
