"""Texts into vectors: one narrow door, and whoever stands behind it."""

from collections.abc import Sequence
from typing import Protocol


class Embedder(Protocol):
    """Makes a vector of a text, so that texts which mean alike lie close together."""

    @property
    def model(self) -> str:
        """What the vectors are stored under; vectors of two models are never compared."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one unit vector for each text, in their order; raises ModelError."""
        ...

    async def aclose(self) -> None:
        """Close what was opened."""
        ...
