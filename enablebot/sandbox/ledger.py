"""The record of what the app was sent, what it called, and what it did wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_SECRET_ARGS = frozenset({"token", "client_secret", "code", "code_verifier", "refresh_token"})
_SHOWN_CHARACTERS = 80


@dataclass(slots=True)
class Attempt:
    """One POST or envelope to the app; `reason` is empty on success. `status` is None without an HTTP answer."""

    status: int | None
    ms: float
    reason: str = ""


@dataclass(slots=True)
class Delivery:
    """One event on its way; `channel`, `ts`, `user` and `subtype` are those of its message, if it has one."""

    event_id: str
    type: str
    team: str | None
    at: float
    channel: str = ""
    ts: str = ""
    user: str = ""
    subtype: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    acknowledged: bool = False
    finished: bool = False


@dataclass(slots=True)
class RecordedCall:
    method: str
    team: str | None
    at: float
    ok: bool
    error: str
    args_summary: dict[str, Any]
    ts: str | None = None
    fault: str | None = None
    status: int = 200


@dataclass(slots=True)
class Violation:
    """Something a real Slack app must never do."""

    kind: str
    detail: str
    at: float


class Ledger:
    """The latest `kept` deliveries, calls and violations each; older ones fall off."""

    def __init__(self, changed: Callable[[], None], *, kept: int = 5000) -> None:
        self.deliveries: deque[Delivery] = deque(maxlen=kept)
        self.calls: deque[RecordedCall] = deque(maxlen=kept)
        self.violations: deque[Violation] = deque(maxlen=kept)
        self._changed = changed

    def delivery(self, event_id: str) -> Delivery | None:
        """The latest delivery of an event."""
        return next((entry for entry in reversed(self.deliveries) if entry.event_id == event_id), None)

    def calls_of(self, method: str, *, team: str | None = None) -> list[RecordedCall]:
        return [call for call in self.calls if call.method == method and team in (None, call.team)]

    def opened(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self._changed()

    def called(self, call: RecordedCall) -> None:
        self.calls.append(call)
        self._changed()

    def violated(self, kind: str, detail: str, *, at: float) -> None:
        self.violations.append(Violation(kind, detail, at))
        self._changed()

    def touch(self) -> None:
        """Tells waiters that an entry grew."""
        self._changed()

    def forget(self) -> None:
        self.deliveries.clear()
        self.calls.clear()
        self.violations.clear()
        self._changed()

    def as_json(self) -> dict[str, Any]:
        """The entries as they are: orjson writes them a hundred times as fast as `asdict` copies them."""
        return {
            "deliveries": list(self.deliveries),
            "calls": list(self.calls),
            "violations": list(self.violations),
        }


def summary(args: dict[str, Any]) -> dict[str, Any]:
    """A call's arguments, short and without secrets."""
    return {
        name: value if len(str(value)) <= _SHOWN_CHARACTERS else str(value)[:_SHOWN_CHARACTERS] + "…"
        for name, value in args.items()
        if name not in _SECRET_ARGS
    }
