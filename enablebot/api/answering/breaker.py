"""Stops asking a model that keeps failing, so that people get their reason at once instead of after a minute."""

from collections.abc import Callable

from enablebot.shared.errors import ModelError, ModelReason

_COUNTED: frozenset[ModelReason] = frozenset({"unavailable", "timeout", "cut"})


class Breaker:
    """Opens after `limit` failures in a row; after `rest_seconds` one call may try, and decides."""

    def __init__(self, *, clock: Callable[[], float], limit: int = 5, rest_seconds: float = 15) -> None:
        self._clock = clock
        self._limit = limit
        self._rest_seconds = rest_seconds
        self._failures = 0
        self._tries_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the next call would be refused."""
        return self._failures >= self._limit and self._clock() < self._tries_at

    def admit(self) -> None:
        """Raises ModelError while the breaker is open; otherwise the call counts as the one that tries."""
        if self.is_open:
            raise ModelError(
                "The model failed several times in a row and is left alone for a while.", reason="unavailable"
            )
        if self._failures >= self._limit:
            self._tries_at = self._clock() + self._rest_seconds

    def note(self, error: ModelError | None) -> None:
        """What became of an admitted call. A failure that says nothing about the server's health counts as none."""
        if error is None or error.reason not in _COUNTED:
            self._failures = 0
            return
        self._failures += 1
        self._tries_at = self._clock() + self._rest_seconds
