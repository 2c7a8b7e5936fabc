"""Text cut into terms, and terms weighed: the part of BM25 that a passage carries with it.

Words are stemmed by the language of their passage; compounds such as CVE-2023-45142, --dry-run or user@host stay whole
beside their parts; scripts without spaces, as Chinese and Japanese, and Korean, whose words carry their grammar with
them, are cut into pairs of characters. Passages keep their little words, of which a question may consist.

The reader's child imports this behind its walls: nothing here opens a file, imports late, or needs Pydantic.
"""

import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from uuid import UUID

import Stemmer

from enablebot.shared.knowledge.languages import FUNCTION_WORDS, Language, language_of

# Okapi BM25 as Lucene has it. The average length is a constant: with the real one every passage would have to be
# weighed again whenever a document comes or goes.
_K1 = 1.2
_B = 0.75
_AVERAGE_LENGTH = 200

# Term ids are dimensions of a sparsevec, which may have no more; it holds 16,000 of them at once.
DIMENSIONS = 1_000_000_000
_MOST_TERMS = 16_000
_LONGEST_TERM = 64

_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"  # Hangul
    "\u3005-\u3007\u3040-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_SPACELESS_LETTER = re.compile(f"[{_SPACELESS}]")
_HAN = re.compile("[\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_CHUNK = re.compile(rf"[{_SPACELESS}]+|[^\s{_SPACELESS}]+")

# Vowel signs and the like are part of their word, although Python does not count them as letters.
_LETTER = "\\w\u0300-\u036f\u0900-\u0963\u0966-\u0dff\u0f00-\u0fff"
_JOINT = "-.,'@:/\\\\+&~="
_COMPOUND = re.compile(rf"[{_LETTER}]+(?:[{_JOINT}]+[{_LETTER}]+)*")
_PART = re.compile(rf"(?:(?!_)[{_LETTER}])+")
_SEGMENT = re.compile(r"[@/\\:=]+")
_PREFIX = re.compile(r"(?:^|[^-./~])(--?|(?:~|\.\.?)?/\.?|\.)$")
_SUFFIX = re.compile(r"\+\+|#(?![#\w])")
_HYPHENATED = re.compile(r"[^\W_]+(?:-[^\W_]+){1,2}")
_NUMERIC = re.compile(r"[\d\W]+")
_GROUPED = re.compile(r"\d{1,3}(?:[.,']\d{3})+")
_VERSION = re.compile(r"v\d+(?:[.-]\w+)+")
_AMOUNT = re.compile(r"(\d+)([a-z]{1,3})")
_HUMP = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# Points and marks that change nothing about what a word is; hyphens and apostrophes of every kind.
_PLAIN = str.maketrans(
    {
        **dict.fromkeys([0x00AD, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x0640, 0x0670, *range(0x064B, 0x0660)]),
        **dict.fromkeys([*range(0x0591, 0x05BE), 0x05BF, 0x05C1, 0x05C2, 0x05C4, 0x05C5, 0x05C7]),
        **dict.fromkeys([0x2010, 0x2011, 0x2012, 0x2212], "-"),
        **dict.fromkeys([0x2018, 0x2019, 0x02BC, 0x00B4, 0x0060], "'"),
        **dict.fromkeys([0x2013, 0x2014, 0x2026, 0x200B, 0x2022], " "),
    }
)
_UNMARKED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})
_MARKS = re.compile("[\u0300-\u036f]+")

# Other scripts than Latin have one stemmer each, whatever the language.
_SCRIPTS = (
    ("\u0370", "\u03ff", "greek"),
    ("\u0400", "\u052f", "russian"),
    ("\u0531", "\u0587", "armenian"),
    ("\u0600", "\u06ff", "arabic"),
    ("\u0900", "\u097f", "hindi"),
    ("\u0b80", "\u0bff", "tamil"),
)
_ENGLISH: tuple[Language, ...] = ("english",)
_EVERY: tuple[Language, ...] = tuple(FUNCTION_WORDS)


@dataclass(frozen=True, slots=True)
class Weighed:
    """A text's terms as ids in order, each with its weight; `count` is how many terms it has, repeated ones too."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]
    count: int


class _Stemmers(threading.local):
    """PyStemmer's stemmers must not be shared between threads."""

    def __init__(self) -> None:
        self.by_language = {language: Stemmer.Stemmer(language, 0) for language in _EVERY}
        self.by_script = tuple((first, last, Stemmer.Stemmer(name, 0)) for first, last, name in _SCRIPTS)


_stemmers = _Stemmers()


def cut(text: str) -> list[str]:
    """Return a passage's terms in their order, repeated ones too: of any text, in time that grows with its length."""
    language = language_of(text)
    return _cut(text, _ENGLISH if language is None else (language,))


def cut_question(text: str) -> list[str]:
    """Return a question's terms: without its little words, unless it has no others, and stemmed as passages may be.

    A passage of another language, or a table without sentences, was stemmed as English; where the question's language
    does not show, as in a single word, the stems of every language are looked for.
    """
    language = language_of(text)
    languages = _EVERY if language is None else tuple(dict.fromkeys((language, *_ENGLISH)))
    if language is not None:
        little = FUNCTION_WORDS[language]
        # IT is a department, it is not.
        said = [word for word in text.split() if (word.isupper() and len(word) > 1) or _bare(word) not in little]
        if terms := _cut(" ".join(said), languages):
            return terms
    return _cut(text, languages)


def term_id(tenant_id: UUID, term: str) -> int:
    """Return the number of a term in one workspace: another workspace has another number for the same term."""
    return _numbered(tenant_id.bytes, term)


def weigh(tenant_id: UUID, text: str) -> Weighed:
    """Return what a passage carries of BM25, all but the rarity of its terms: tf·(k1+1) / (tf + k1·(1-b+b·dl/avg))."""
    terms = cut(text)
    norm = _K1 * (1 - _B + _B * len(terms) / _AVERAGE_LENGTH)
    counts = _count(tenant_id, terms)
    weights = tuple(round(tf * (_K1 + 1) / (tf + norm), 4) for tf in counts.values())
    return Weighed(tuple(counts), weights, len(terms))


def weigh_question(tenant_id: UUID, text: str) -> Weighed:
    """Return a question's terms, each weighing as often as it is said; the search multiplies by their rarity."""
    terms = cut_question(text)
    counts = _count(tenant_id, terms)
    return Weighed(tuple(counts), tuple(map(float, counts.values())), len(terms))


def _cut(text: str, languages: tuple[Language, ...]) -> list[str]:
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text).translate(_PLAIN)
    terms: list[str] = []
    for chunk in _CHUNK.findall(plain):
        terms += _terms(chunk, languages) if len(chunk) <= _LONGEST_TERM else _cut_chunk(chunk, languages)
    # Accents that stand on nothing leave nothing.
    return list(filter(None, terms))


def _bare(word: str) -> str:
    return word.strip("¿¡.,;:!?\"'()[]…«»„“”").casefold()


def _count(tenant_id: UUID, terms: list[str]) -> dict[int, int]:
    """Count terms by id, in order of their ids; two terms of one id, once in a billion, count as one."""
    key = tenant_id.bytes
    counts: dict[int, int] = {}
    for term, count in Counter(terms).most_common(_MOST_TERMS):
        number = _numbered(key, term)
        counts[number] = counts.get(number, 0) + count
    return dict(sorted(counts.items()))


@lru_cache(maxsize=32_768)
def _numbered(key: bytes, term: str) -> int:
    digest = blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
    return int.from_bytes(digest, "little") % DIMENSIONS + 1


@lru_cache(maxsize=16_384)
def _terms(chunk: str, languages: tuple[Language, ...]) -> tuple[str, ...]:
    return tuple(_cut_chunk(chunk, languages))


def _cut_chunk(chunk: str, languages: tuple[Language, ...]) -> Iterator[str]:
    """Cut what stands between two spaces, or between two scripts."""
    if _is_spaceless(chunk[0]):
        yield from _pairs(chunk)
        return
    for match in _COMPOUND.finditer(chunk):
        body = match.group()
        prefix = _PREFIX.search(chunk, max(0, match.start() - 4), match.start())
        suffix = _SUFFIX.match(chunk, match.end())
        if body.isalpha() and prefix is None and suffix is None:
            yield from _words(body, languages)
        else:
            marks = (prefix.group(1) if prefix else "", suffix.group() if suffix else "")
            yield from _cut_compound(body, *marks, languages)


def _cut_compound(body: str, prefix: str, suffix: str, languages: tuple[Language, ...]) -> Iterator[str]:
    """Cut something like `user@host`, `v1.2.3`, `--dry-run` or `C++` into itself and what it is made of."""
    name = _fold(body)
    if name.endswith("'s"):
        name, body = name[:-2], body[:-2]
    parts = _PART.findall(body)
    if suffix and len(name) <= 3:
        # The letter alone would find C, C# and C++ alike.
        yield name + suffix
        return
    if prefix:
        yield (prefix + name)[:_LONGEST_TERM]
    if len(parts) == 1 and parts[0] == body:
        yield from _words(body, languages)
        if amount := _AMOUNT.fullmatch(name):
            yield from amount.groups()
        return
    if "'" in name and name.replace("'", "").isalpha():
        # l'été, don't, rock'n'roll: what an apostrophe cuts off is no word.
        for part in parts:
            if len(part) > 2:
                yield from _words(part, languages)
        return
    yield name[:_LONGEST_TERM]
    if _NUMERIC.fullmatch(name):
        if _GROUPED.fullmatch(name):
            yield "".join(filter(str.isdigit, name))
        else:
            yield from (part for part in parts if len(part) >= 4)
        return
    if _VERSION.fullmatch(name):
        yield name[1:_LONGEST_TERM]
    if _HYPHENATED.fullmatch(name):
        # E-mail is email, IL-6 is IL6.
        yield from _stems(name.replace("-", ""), languages)
    segments = _SEGMENT.split(name)
    if len(segments) > 1:
        yield from (segment[:_LONGEST_TERM] for segment in segments if len(_PART.findall(segment)) > 1)
    for part in parts:
        if len(part) > 1 or not part.isascii():
            yield from _words(part, languages)


def _words(word: str, languages: tuple[Language, ...]) -> Iterator[str]:
    """Return a word's stems, and those of its humps: parseConfig is also parse and config."""
    yield from _stems(word, languages)
    if len(word) <= _LONGEST_TERM and word.isascii() and not (word.islower() or word.isupper() or word.istitle()):
        humps = _HUMP.split(word)
        if len(humps) > 1:
            for hump in humps:
                if len(hump) > 1:
                    yield from _stems(hump, languages)


def _fold(word: str) -> str:
    """Return a word without case and accents; marks that are no accents stay."""
    folded = word.casefold()
    if folded.isascii():
        return folded
    return _MARKS.sub("", unicodedata.normalize("NFD", folded)).translate(_UNMARKED)


def _stems(word: str, languages: tuple[Language, ...]) -> Iterable[str]:
    """Return a word's stem in each language, each once, without accents; some stemmers need to see them first."""
    if len(word) > _LONGEST_TERM:
        return (_fold(word)[:_LONGEST_TERM],)
    lower = unicodedata.normalize("NFC", word.casefold())
    for first, last, stemmer in _stemmers.by_script:
        if first <= lower[0] <= last:
            return (_fold(stemmer.stemWord(lower)),)
    stemmers = _stemmers.by_language
    # The English one knows no accents, and would take them for other letters.
    return dict.fromkeys(
        stemmers["english"].stemWord(_fold(lower))
        if language == "english"
        else _fold(stemmers[language].stemWord(lower))
        for language in languages
    )


def _pairs(run: str) -> Iterator[str]:
    """Return each two neighbours, and each Chinese character by itself, which may be a word of its own."""
    if len(run) == 1:
        yield run
        return
    for first, second in pairwise(run):
        yield first + second
    yield from _HAN.findall(run)


def _is_spaceless(letter: str) -> bool:
    return letter > "\u0dff" and _SPACELESS_LETTER.match(letter) is not None
