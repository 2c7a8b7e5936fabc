"""What the endpoints of the played OpenAI share."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from enablebot.sandbox.config import SandboxConfig

_STORED = 500


@dataclass(frozen=True, slots=True)
class Stored:
    """A response kept for later, and the conversation it ended."""

    response: dict[str, Any]
    items: list[dict[str, Any]]


class StoredResponses:
    """What was asked for with `store`, which is the default; the oldest are forgotten."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Stored] = OrderedDict()

    def keep(self, stored: Stored) -> None:
        """Keeps a response under its id."""
        self._kept[stored.response["id"]] = stored
        if len(self._kept) > _STORED:
            self._kept.popitem(last=False)

    def find(self, response_id: str) -> Stored | None:
        """The response of that id, if it was stored."""
        return self._kept.get(response_id)

    def forget(self, response_id: str) -> bool:
        """Deletes a response; False when there was none."""
        return self._kept.pop(response_id, None) is not None

    def __len__(self) -> int:
        return len(self._kept)


@dataclass(slots=True)
class Desk:
    """The model's pace in seconds a word, what it keeps, and the last requests as they came, for tests to look at."""

    pace: float = 0.0
    stored: StoredResponses = field(default_factory=StoredResponses)
    asked: deque[tuple[str, dict[str, Any]]] = field(default_factory=deque)

    @classmethod
    def of(cls, config: SandboxConfig) -> Desk:
        """A desk as the settings want it."""
        return cls(pace=config.model_delay_ms / 1000, asked=deque(maxlen=config.kept))
