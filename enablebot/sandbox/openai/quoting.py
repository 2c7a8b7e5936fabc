"""How the played model thinks: it quotes what it was shown, and says so when it was shown nothing."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing said in the conversation; a tool's output is a turn too."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A function on offer and the properties it insists on."""

    name: str
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A function the model wants called."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Thought:
    """What the model decided: words, a refusal, or calls."""

    text: str = ""
    refusal: str | None = None
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text the prompt put between `<passage …>` and `</passage …>`."""

    label: str
    text: str
    title: str = ""


@dataclass(slots=True)
class _Material:
    passages: list[Passage] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)


_PASSAGE = re.compile(r"<passage\b(?P<attributes>[^>]*)>(?P<text>.*?)</passage\b[^>]*>", re.DOTALL | re.IGNORECASE)
# A prompt may fence what a person wrote, as in <message mark="…">…</message>; a model answers what is inside.
_FENCE = re.compile(r"\A\s*<(?P<tag>[a-z][\w-]*)\b[^>]*>(?P<text>.*)</(?P=tag)\b[^>]*>\s*\Z", re.DOTALL | re.IGNORECASE)
_ATTRIBUTE = re.compile(r"(?P<name>[\w-]+)\s*=\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"'>]+))")
_ORDER = re.compile(r"\[\[(?P<verb>long|refuse|empty|tool)\b\s*(?P<rest>.*?)\]\]", re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")
_WORD = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]|[^\W_]+(?:['’-][^\W_]+)*")
_SMALL_WORDS = """
a an and any are as at be been but by can could did do does for from had has have how i if in into is it its me my not
of on or our shall she so than that the their them there they this to too us was we were what when where which who whom
why will with would you your tell please about know
"""
_UNTOLD = frozenset(_SMALL_WORDS.split())
_GREETINGS = frozenset({"hi", "hello", "hey", "hallo", "thanks", "thank", "servus", "moin", "salut", "hola"})
_STORY = """
Once there was a small model that lived on a single machine. It had **no network**, no memory beyond the page in
front of it, and no opinion on anything it had not been shown. Every morning somebody typed a question. The model
read it twice, looked through its passages, and copied out the sentence that shared the rarest words. When there was
nothing to copy, it said so, which is *harder than it sounds*. One day a visitor asked for a long story. The model
had none. So it told its own, one word at a time, and watched the letters walk across the screen. The visitor
pressed stop, asked again, pressed stop once more, and was content. “Do you ever tire of it?” she wondered. “I only
know this conversation,” said the model, “and so far I like it.” Then it began again from the start.
"""
_LONGEST = 20_000
_PARAGRAPH = 40
_WISH = re.compile(r"\blong (?:story|answer|text)\b", re.IGNORECASE)
_STORY_WORDS = len(_STORY.split())


def think(turns: Sequence[Turn], *, tools: Sequence[Tool] = (), must_call: str | None = None) -> Thought:
    """Answers the last user turn; the same conversation always brings the same answer.

    `must_call` names a tool the request insists on ("*" for any). Orders for tests in the question: `[[long N]]`,
    `[[refuse]]`, `[[empty]]`, `[[tool NAME {json}]]`; a tool is called once per question.
    """
    place = max((index for index, turn in enumerate(turns) if turn.role == "user"), default=-1)
    question = _without_passages(turns[place].text) if place >= 0 else ""
    outputs = [turn.text for turn in turns[place + 1 :] if turn.role == "tool"]
    order = _ORDER.search(question)
    if not outputs and (call := _wanted_call(question, order, tools, must_call)):
        return Thought(calls=(call,))
    if order and order["verb"] == "refuse":
        return Thought(refusal="I’m sorry, but I can’t help with that.")
    if order and order["verb"] == "empty":
        return Thought()
    if order and order["verb"] == "long":
        return Thought(text=_long(int(order["rest"]) if order["rest"].strip().isdigit() else 300))
    question = _ORDER.sub("", question).strip()
    if not outputs and _WISH.search(question):
        return Thought(text=_long(_STORY_WORDS))
    material = _gather(turns, outputs)
    if material.passages:
        return Thought(text=_quote_passages(question, material.passages))
    if material.plain:
        return Thought(text=_quote_outputs(material.plain))
    earlier = [_without_passages(turn.text) for turn in turns[: max(place, 0)] if turn.role == "user"]
    return Thought(text=_converse(question, [told for told in earlier if told]))


def passages_in(text: str) -> list[Passage]:
    """The passages fenced in a text, labelled by their `id`, else by their place."""
    found: list[Passage] = []
    for number, match in enumerate(_PASSAGE.finditer(text), start=1):
        values = {
            part["name"].lower(): part["double"] or part["single"] or part["bare"] or ""
            for part in _ATTRIBUTE.finditer(match["attributes"])
        }
        label = values.get("id") or values.get("n") or values.get("number") or str(number)
        title = values.get("title") or values.get("source") or values.get("document") or ""
        found.append(Passage(label=label, text=match["text"].strip(), title=title))
    return found


def sentences_about(question: str, passages: Sequence[Passage], *, limit: int = 3) -> list[tuple[Passage, str]]:
    """The sentences that share the rarest words with the question, best first."""
    asked = set(_telling(question))
    sentences = [(passage, line) for passage in passages for line in _sentences(passage.text)]
    worded = [set(_telling(line)) for _, line in sentences]
    frequency = Counter(word for words in worded for word in words)
    scored: list[tuple[float, int]] = []
    for place, words in enumerate(worded):
        shared = asked & words
        if shared:
            rarity = sum(math.log(1 + len(sentences) / frequency[word]) for word in shared)
            scored.append((rarity / math.sqrt(4 + len(words)), -place))
    return [sentences[-place] for _, place in sorted(scored, reverse=True)[:limit]]


def _wanted_call(question: str, order: re.Match[str] | None, tools: Sequence[Tool], must: str | None) -> Call | None:
    offered = {tool.name: tool for tool in tools}
    if order and order["verb"] == "tool":
        name, _, arguments = order["rest"].strip().partition(" ")
        if name in offered:
            return Call(name=name, arguments=arguments.strip() or "{}")
    if must is not None and offered:
        tool = offered.get(must) or next(iter(offered.values()))
        return Call(name=tool.name, arguments=json.dumps(dict.fromkeys(tool.required, question), ensure_ascii=False))
    return None


def _gather(turns: Sequence[Turn], outputs: Sequence[str]) -> _Material:
    material = _Material()
    for turn in turns:
        if turn.role != "tool":
            material.passages += passages_in(turn.text)
    for output in outputs:
        found = passages_in(output) or _passages_in_json(output)
        material.passages += found
        if not found:
            material.plain.append(output)
    return material


def _passages_in_json(text: str) -> list[Passage]:
    try:
        told = json.loads(text)
    except ValueError:
        return []
    found: list[Passage] = []

    def walk(node: Any) -> None:
        if isinstance(node, Mapping):
            body = node.get("text")
            if isinstance(body, str):
                label = str(node.get("id") or len(found) + 1)
                found.extend(passages_in(body) or [Passage(label=label, text=body, title=str(node.get("title") or ""))])
                return
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
        elif isinstance(node, str):
            found.extend(passages_in(node))

    walk(told)
    return found


def _quote_passages(question: str, passages: Sequence[Passage]) -> str:
    chosen = sentences_about(question, passages)
    if not chosen:
        return f"I looked at **{_count(len(passages), 'passage')}** and found nothing about {_topic(question)}."
    (first, sentence), rest = chosen[0], chosen[1:]
    lines = [f"**{_shown(sentence)}** {_cited(first)}"]
    if rest:
        lines += ["", "It also says:", ""]
        lines += [f"- {_shown(line)} {_cited(passage)}" for passage, line in rest]
    return "\n".join(lines)


def _quote_outputs(outputs: Sequence[str]) -> str:
    return "\n".join(["The **tool** answered:", "", *(f"- {_shown(output)}" for output in outputs)])


def _converse(question: str, earlier: Sequence[str]) -> str:
    words = _WORD.findall(question)
    if not words:
        return "You sent me no words. **Ask me something**, and I will answer from what I was shown."
    if len(words) <= 8 and words[0].casefold() in _GREETINGS and not earlier:
        return (
            f"You said “{_shown(question)}” – hello to you! I am the **stand-in model** of this sandbox.\n\n"
            "Try one of these:\n\n- ask me anything, then ask a **follow-up** in the same thread\n"
            "- mention me in a channel\n- write to me directly and watch the answer arrive"
        )
    lines = [f"You asked: “{_shown(question)}”", ""]
    told = [Passage(label="", text=line) for line in earlier]
    known = [line for _, line in sentences_about(question, told, limit=2) if not line.rstrip().endswith(("?", "？"))]
    if known:
        lines += [f"You told me so yourself: **{_shown(known[0])}**", ""]
    lines.append("I am the **stand-in model** of this sandbox. All I know is this conversation:")
    lines += ["", f"- **your question**, {_count(len(words), 'word')} about {_topic(question)}"]
    if earlier:
        lines += [f"- Earlier you asked: “{_shown(line)}”" for line in earlier[-3:]]
        lines.append(f"- and that makes this message **number {len(earlier) + 1}** of our talk")
    else:
        lines.append("- **nothing earlier**: this is how our talk begins, so do ask a follow-up")
    return "\n".join(lines)


def _long(words: int) -> str:
    paragraphs: list[list[str]] = [[]]
    for word in islice(cycle(_STORY.split()), min(words, _LONGEST)):
        paragraphs[-1].append(word)
        if len(paragraphs[-1]) >= _PARAGRAPH and word.endswith("."):
            paragraphs.append([])
    return "\n\n".join(" ".join(paragraph) for paragraph in paragraphs if paragraph)


def _without_passages(text: str) -> str:
    bare = _PASSAGE.sub("", text).strip()
    fenced = _FENCE.match(bare)
    return fenced["text"].strip() if fenced else bare


def _sentences(text: str) -> list[str]:
    return [line.strip(" \t-*•") for line in _SENTENCE.split(text) if line.strip(" \t-*•")]


def _telling(text: str) -> list[str]:
    return [_stem(word) for word in _WORD.findall(text.casefold()) if word not in _UNTOLD]


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _topic(question: str) -> str:
    telling = list(dict.fromkeys(word for word in _WORD.findall(question) if word.casefold() not in _UNTOLD))
    return ", ".join(f"*{word}*" for word in telling[:4]) or "nothing in particular"


def _cited(passage: Passage) -> str:
    return f"[{passage.label}]"


def _shown(text: str, limit: int = 280) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1].rstrip()}…"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
