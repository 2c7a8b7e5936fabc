"""What carries a call to the database: one method, two drivers, and nothing above knows which."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias
from uuid import UUID

Scalar: TypeAlias = bool | int | float | str | bytes | UUID | datetime | None
Argument: TypeAlias = Scalar | Sequence[Scalar]
# What a function returned, decoded: foreign JSON until models.py has read it.
Json: TypeAlias = Any


class Transport(Protocol):
    """A way to call the SQL functions of schema `enablebot`; every call is one transaction."""

    async def call(self, function: str, arguments: Mapping[str, Argument]) -> Json:
        """Call a function by name and return its one jsonb value, decoded; raises DatabaseError and its kinds."""

    async def ping(self) -> None:
        """Raise unless the database answers."""

    async def aclose(self) -> None:
        """Close every connection."""
