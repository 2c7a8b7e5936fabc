"""A bounded memory whose entries all live equally long."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """Keeps up to `size` entries for `seconds` by `clock`; the oldest make room for new ones."""

    def __init__(self, *, size: int, seconds: float, clock: Callable[[], float]) -> None:
        self._size = size
        self._seconds = seconds
        self._clock = clock
        # In the order of their expiry, because every entry lives equally long and is put at the end.
        self._entries: dict[Key, tuple[Value, float]] = {}

    def get(self, key: Key) -> Value | None:
        """What is remembered under `key`, unless it is too old."""
        found = self._entries.get(key)
        if found is None:
            return None
        value, expires_at = found
        return value if self._clock() < expires_at else None

    def keep(self, key: Key, value: Value) -> None:
        """Remember, and let go of whatever is too old or too much."""
        now = self._clock()
        self._entries.pop(key, None)
        self._entries[key] = (value, now + self._seconds)
        while True:
            oldest, (_, expires_at) = next(iter(self._entries.items()))
            if len(self._entries) <= self._size and now < expires_at:
                break
            del self._entries[oldest]

    def forget(self, matches: Callable[[Value], bool]) -> None:
        """Let go of every entry whose value matches."""
        for key in [key for key, (value, _) in self._entries.items() if matches(value)]:
            del self._entries[key]

    def __len__(self) -> int:
        return len(self._entries)
