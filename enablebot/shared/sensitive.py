"""A secret in memory that cannot be printed, pickled or serialised by accident."""

from hmac import compare_digest
from typing import Generic, NoReturn

from typing_extensions import TypeVar

Secret = TypeVar("Secret", str, bytes, default=str)


class Sensitive(Generic[Secret]):
    """A secret that shows as *** wherever it is printed, and that has to be asked for with `reveal()`."""

    __slots__ = ("_secret",)

    def __init__(self, secret: Secret) -> None:
        self._secret: Secret = secret

    def reveal(self) -> Secret:
        """The secret itself; the one way to get at it."""
        return self._secret

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sensitive):
            return NotImplemented
        return type(self._secret) is type(other._secret) and compare_digest(_as_bytes(self), _as_bytes(other))

    __hash__ = None  # type: ignore[assignment]  # a hash of a short secret would give it away

    def __copy__(self) -> "Sensitive[Secret]":
        return self

    def __deepcopy__(self, memo: object) -> "Sensitive[Secret]":
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A Sensitive value is never pickled: seal what has to be stored.")


def _as_bytes(sensitive: "Sensitive[str] | Sensitive[bytes]") -> bytes:
    secret = sensitive.reveal()
    return secret if isinstance(secret, bytes) else secret.encode("utf-8", "surrogatepass")
