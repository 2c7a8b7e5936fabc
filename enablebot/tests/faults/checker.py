"""Decides at the end of a fault test, from what was sent, stored and shown, whether every promise was kept.

It knows nothing of how events are handled: a history goes in, its faults come out.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Place = tuple[str, str, str]
Ending = Literal["answered", "failed", "ambiguous", "set aside", "dropped"]

_TOKEN = re.compile(r"\b([A-Z0-9]+)x\d+x")
_SHOWN_OF_EACH = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """A message that the bot owes an answer; `root` is its thread, `token` a word that no other message holds."""

    team: str
    channel: str
    ts: str
    root: str
    token: str = ""

    @property
    def place(self) -> Place:
        return self.team, self.channel, self.ts


@dataclass(frozen=True, slots=True)
class Sent:
    """One event on its way to the app: the message it is about, and whether the app said yes."""

    event_id: str
    team: str
    channel: str
    ts: str
    acknowledged: bool
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Stored:
    """An event as the inbox has it."""

    event_key: str
    team: str
    state: str
    outcome: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as the database has it; `ts` are its messages in Slack, as far as they are known."""

    team: str
    channel: str
    question_ts: str
    state: str
    reason: str | None
    parts: int
    ts: frozenset[str]

    @property
    def place(self) -> Place:
        return self.team, self.channel, self.question_ts


@dataclass(frozen=True, slots=True)
class Shown:
    """A message of the bot that people see; `is_open` while it is a stream that nobody has ended."""

    team: str
    channel: str
    ts: str
    thread_ts: str
    text: str
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """Everything a checker looks at."""

    asked: Sequence[Asked] = ()
    sent: Sequence[Sent] = ()
    stored: Sequence[Stored] = ()
    answers: Sequence[Answer] = ()
    shown: Sequence[Shown] = ()
    violations: Sequence[str] = ()


@dataclass(frozen=True)
class Account:
    """What became of every question, and every broken promise, as sentences."""

    endings: Mapping[Ending, int]
    unacknowledged: int
    sent: int
    faults: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        return not self.faults

    def __str__(self) -> str:
        endings = ", ".join(f"{count} {ending}" for ending, count in sorted(self.endings.items())) or "no question"
        lines = [f"{self.sent} events sent: {endings}; {self.unacknowledged} questions never acknowledged"]
        for kind, found in self.faults.items():
            lines.append(f"{kind}: {len(found)}")
            lines += [f"  {one}" for one in found[:_SHOWN_OF_EACH]]
            if len(found) > _SHOWN_OF_EACH:
                lines.append(f"  … and {len(found) - _SHOWN_OF_EACH} more")
        return "\n".join(lines)


def check(
    history: History, *, all_acknowledged: bool = True, excused_violations: frozenset[str] = frozenset()
) -> Account:
    """Judge a history.

    With `all_acknowledged`, a question that the app never said yes to is a fault, too: Slack repeats what was refused,
    and the test sends it again at the end. `excused_violations` are kinds that the test's own faults provoke.
    """
    return _Judgement(history).account(all_acknowledged=all_acknowledged, excused=excused_violations)


class _Judgement:
    def __init__(self, history: History) -> None:
        self._history = history
        self._faults: dict[str, list[str]] = defaultdict(list)
        self._endings: Counter[Ending] = Counter()
        self._sent: dict[Place, list[Sent]] = defaultdict(list)
        for sent in history.sent:
            self._sent[sent.team, sent.channel, sent.ts].append(sent)
        self._stored = {(row.team, row.event_key): row for row in history.stored}
        self._answers: dict[Place, list[Answer]] = defaultdict(list)
        for answer in history.answers:
            self._answers[answer.place].append(answer)
        self._shown = {(one.team, one.channel, one.ts): one for one in history.shown}

    def account(self, *, all_acknowledged: bool, excused: frozenset[str]) -> Account:
        unacknowledged = 0
        for asked in self._history.asked:
            if any(sent.acknowledged for sent in self._sent[asked.place]):
                self._settle(asked)
                continue
            unacknowledged += 1
            if all_acknowledged:
                self._faults["never acknowledged"].append(self._described(asked))
        self._nothing_waits()
        self._no_thread_has_more_messages_than_it_may()
        self._nobody_reads_what_is_anothers()
        for violation in self._history.violations:
            if violation.partition(":")[0] not in excused:
                self._faults["rule of Slack's broken"].append(violation)
        return Account(self._endings, unacknowledged, len(self._history.sent), dict(self._faults))

    def _settle(self, asked: Asked) -> None:
        """An acknowledged question has come to one of the ends it may come to."""
        answers = self._answers[asked.place]
        if len(answers) > 1:
            self._faults["answered twice"].append(f"{self._described(asked)}: the database has {len(answers)} answers")
        events = [self._stored.get((sent.team, sent.event_id)) for sent in self._sent[asked.place]]
        rows = [row for row in events if row is not None]
        if answers and not (answers[0].state == "open" and any(row.state == "set_aside" for row in rows)):
            self._settle_answered(asked, answers[0])
        elif any(row.state == "set_aside" and row.reason for row in rows):
            self._endings["set aside"] += 1
        elif any(row.outcome in ("dropped", "expired", "failed") and row.reason for row in rows):
            self._endings["dropped"] += 1
        elif not any(row.state in ("ready", "queued", "claimed") for row in rows):
            self._faults["acknowledged and lost"].append(self._described(asked))

    def _settle_answered(self, asked: Asked, answer: Answer) -> None:
        seen = [self._shown.get((asked.team, asked.channel, ts)) for ts in answer.ts]
        visible = [one for one in seen if one is not None]
        whole = "".join(one.text for one in visible)
        match answer.state:
            case "complete" if not whole.strip():
                known = (
                    f"{answer.parts} parts, known as {sorted(answer.ts) or 'nothing'}, {len(visible)} of them visible"
                )
                self._faults["complete, but nothing to see"].append(f"{self._described(asked)}: {known}")
            case "failed" if not whole.strip():
                self._faults["failed without a word"].append(f"{self._described(asked)}: {answer.reason}")
            case "complete":
                self._endings["answered"] += 1
            case "failed" | "ambiguous":
                self._endings[answer.state] += 1
            case "dropped" if answer.reason:
                self._endings["dropped"] += 1
            case "open":
                self._faults["still waiting"].append(f"{self._described(asked)}: its answer is open")
            case _:
                self._faults["ended without a reason"].append(f"{self._described(asked)}: {answer.state}")
        if answer.state == "complete" and whole.strip() and asked.token and asked.token not in whole:
            said = f"{answer.parts} parts, known as {sorted(answer.ts)}: {whole[:200]!r}"
            self._faults["answer to another question"].append(f"{self._described(asked)}: {said}")
        for one in visible:
            if one.is_open:
                self._faults["stream left open"].append(f"{self._described(asked)}: {one.ts}")

    def _nothing_waits(self) -> None:
        for row in self._history.stored:
            if row.state in ("ready", "queued", "claimed"):
                self._faults["still waiting"].append(f"{row.event_key} of {row.team} is {row.state}")

    def _no_thread_has_more_messages_than_it_may(self) -> None:
        """One message a question, the further parts of a long answer, and one more for each ambiguous answer."""
        may: Counter[Place] = Counter((asked.team, asked.channel, asked.root) for asked in self._history.asked)
        root = {asked.place: (asked.team, asked.channel, asked.root) for asked in self._history.asked}
        for answer in self._history.answers:
            more = max(0, answer.parts - 1) + (answer.state == "ambiguous")
            may[root.get(answer.place, answer.place)] += more
        threads: dict[Place, list[Shown]] = defaultdict(list)
        for shown in self._history.shown:
            threads[shown.team, shown.channel, shown.thread_ts].append(shown)
        for thread, messages in threads.items():
            if len(messages) > may[thread]:
                what = "answered twice" if may[thread] else "said without being asked"
                listed = ", ".join(f"{one.ts} {one.text[:60]!r}" for one in messages)
                self._faults[what].append(f"{'/'.join(thread)} may have {may[thread]}, has {len(messages)}: {listed}")

    def _nobody_reads_what_is_anothers(self) -> None:
        for shown in self._history.shown:
            foreign = {mark for mark in _TOKEN.findall(shown.text) if not shown.team.endswith(mark)}
            if foreign:
                where = f"{shown.team}/{shown.channel}/{shown.ts}"
                whose = ", ".join(sorted(foreign))
                self._faults["in another workspace"].append(f"{where} speaks of {whose}: {shown.text[:200]!r}")

    def _described(self, asked: Asked) -> str:
        told = [
            f"{sent.event_id} {'acknowledged' if sent.acknowledged else 'refused'} after {sent.attempts}"
            for sent in self._sent[asked.place]
        ]
        rows = [
            f"{row.event_key} is {row.state}/{row.outcome}"
            for sent in self._sent[asked.place]
            if (row := self._stored.get((sent.team, sent.event_id)))
        ]
        return (
            f"{'/'.join(asked.place)} {asked.token} "
            f"(sent: {', '.join(told) or 'never'}; inbox: {', '.join(rows) or 'nothing'})"
        )
