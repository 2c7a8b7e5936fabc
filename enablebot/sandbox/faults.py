"""Misfortune on order: which calls fail, how, and how often."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

import orjson

FaultKind = Literal[
    "status",
    "error",
    "ratelimit",
    "lost_answer",
    "hang",
    "cut",
    "reset",
    "slow",
    "drip",
    "garbage",
    "redirect",
    "sign_in",
    "endless",
]

Loss = Literal["close", "reset", "half", "hang"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule: the calls of `method` it strikes and what it does to them.

    `skip` matching calls pass first, then `times` are struck. `method` is a Slack method, `openai.responses`,
    `openai.chat`, `openai.embeddings`, `openai.models`, `files.download`, a prefix such as `openai.*`, or `*`. With
    `team` only that workspace's calls count, with `containing` only those whose arguments, as JSON, contain that text.

    status       HTTP `status`, no effect
    error        an ordinary answer that carries `error`, no effect
    ratelimit    429 with `Retry-After: retry_after`, no effect
    lost_answer  the effect happens, its answer is lost as `lost` says: the connection closes without a byte of it, is
                 reset, closes in mid-answer (`half`), or stays silent for `seconds` (`hang`)
    hang         no answer and no effect for `seconds` (0: until the caller leaves)
    cut          a stream stops after `after_events` events without its last one; of a file half is all that comes
    reset        the connection is reset, no effect
    slow         `seconds` of waiting, then an ordinary answer
    drip         the model's ordinary answer, or a file, but `seconds` (0: one) before each byte
    garbage      the model's answer is no JSON
    redirect     a file lies elsewhere: 302 to `location`
    sign_in      a file is not shown, Slack's sign-in page is
    endless      a file does not end before 2 GB
    """

    method: str = "*"
    kind: FaultKind = "status"
    times: int = 1
    skip: int = 0
    status: int = 500
    error: str = "internal_error"
    retry_after: int = 1
    seconds: float = 0.0
    after_events: int = 0
    team: str = ""
    containing: str = ""
    lost: Loss = "close"
    location: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"unknown kind of fault {self.kind!r}; choose one of {', '.join(get_args(FaultKind))}")
        if self.lost not in get_args(Loss):
            raise ValueError(f"unknown way to lose an answer {self.lost!r}; choose one of {', '.join(get_args(Loss))}")

    def concerns(self, method: str, *, team: str | None, said: Any) -> bool:
        """Whether a call of `method` counts for this rule."""
        if self.team and team != self.team:
            return False
        named = method.startswith(self.method[:-1]) if self.method.endswith("*") else self.method == method
        return named and (not self.containing or self.containing in orjson.dumps(said).decode())


class Faults:
    """The rules still waiting; the first one that concerns a call decides."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._watchers: list[Callable[[], None]] = []

    def add(self, method: str = "*", kind: FaultKind = "status", **details: Any) -> Fault:
        """Adds one rule behind the others; `details` are Fault's other fields."""
        fault = Fault(method=method, kind=kind, **details)
        self._rules.append(fault)
        self._changed()
        return fault

    def replace(self, rules: Iterable[Mapping[str, Any]]) -> None:
        """Forgets the old rules and takes these; raises ValueError on an unknown field or kind."""
        known = {field.name for field in fields(Fault)}
        taken: list[Fault] = []
        for rule in rules:
            unknown = set(rule) - known
            if unknown:
                raise ValueError(f"a fault has no field {', '.join(sorted(unknown))}")
            taken.append(Fault(**rule))
        self._rules = taken
        self._changed()

    def left(self) -> list[dict[str, Any]]:
        """The rules not used up yet."""
        return [asdict(rule) for rule in self._rules]

    def take(self, method: str, *, team: str | None = None, said: Any = None) -> Fault | None:
        """Counts one call of `method` by a workspace, with its arguments, and returns what strikes it, or None."""
        for place, rule in enumerate(self._rules):
            if not rule.concerns(method, team=team, said=said):
                continue
            if rule.skip > 0:
                self._rules[place] = replace(rule, skip=rule.skip - 1)
                return None
            if rule.times > 1:
                self._rules[place] = replace(rule, times=rule.times - 1)
            else:
                del self._rules[place]
            self._changed()
            return rule
        return None

    def watch(self, changed: Callable[[], None]) -> None:
        """Calls `changed` after each rule added or used up."""
        self._watchers.append(changed)

    def _changed(self) -> None:
        for watcher in self._watchers:
            watcher()
