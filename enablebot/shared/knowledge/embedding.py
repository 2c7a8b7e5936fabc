"""Texts into vectors: one narrow door; behind it a server like OpenAI's, or a small model of our own."""

import asyncio
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from pydantic import SecretStr

from enablebot.shared.errors import ModelError, ModelReason, SettingsError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from enablebot.config.settings import ModelSettings

# What one request carries. OpenAI takes 2,048 texts and 300,000 tokens; smaller servers take less.
_TEXTS = 64
# 8,192 tokens are the most of one text; a Chinese character may be more than one.
_CHARACTERS = 6_000

_REASONS: dict[int, ModelReason] = {
    400: "bad_request",
    401: "auth",
    403: "auth",
    404: "model_missing",
    408: "timeout",
    413: "too_long",
    422: "bad_request",
    429: "rate_limited",
}


class Embedder(Protocol):
    """Makes a vector of a text, so that texts which mean alike lie close together."""

    @property
    def model(self) -> str:
        """What the vectors are stored under; vectors of two models are never compared."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector for each text, in their order; raises ModelError."""
        ...

    async def aclose(self) -> None:
        """Close what was opened."""
        ...


def embedder_for(settings: "ModelSettings") -> Embedder | None:
    """Return what the settings name: a model on a server, a model in a directory, or None: search by words alone.

    Raises SettingsError when the directory holds no model that can be run.
    """
    if settings.embedding_dir is not None:
        try:
            from enablebot.shared.knowledge.minilm import MiniLM
        except ImportError as error:
            raise SettingsError(
                [
                    f"EMBEDDING_MODEL_DIR needs the package {error.name}. Install the extra: "
                    "`pip install -r requirements-minilm.txt`, or leave EMBEDDING_MODEL_DIR out."
                ]
            ) from error
        return MiniLM.open(settings.embedding_dir)
    if settings.embedding_model is None:
        return None
    return OpenAIEmbedder(settings.embedding_model, api_key=settings.api_key, base_url=settings.base_url)


class OpenAIEmbedder:
    """OpenAI's embeddings, or those of a server compatible with it.

    `seconds` is what one request may take. The `openai` package is imported at the first call and in a thread.
    """

    def __init__(self, model: str, *, api_key: SecretStr | None, base_url: str | None, seconds: float = 20.0) -> None:
        self._model = model
        self._key = api_key
        self._base_url = base_url
        self._seconds = seconds
        self._opened: asyncio.Task[AsyncOpenAI] | None = None

    @property
    def model(self) -> str:
        """The model's name."""
        return self._model

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Ask in batches, one after the other; each is asked for once."""
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _TEXTS):
            vectors += await self._embed([text[:_CHARACTERS] for text in texts[start : start + _TEXTS]])
        return vectors

    async def aclose(self) -> None:
        """Close the connections, if any were opened."""
        if self._opened is not None:
            with suppress(ModelError):
                await (await self._opened).close()
            self._opened = None

    async def _embed(self, texts: list[str]) -> list[list[float]]:
        client = await self._client()
        from openai import OpenAIError

        try:
            async with asyncio.timeout(self._seconds):
                answer = await client.embeddings.create(model=self._model, input=texts, encoding_format="float")
        except TimeoutError as error:
            raise ModelError("The embedding model took too long.", reason="timeout") from error
        except (OpenAIError, OSError, ValueError) as error:
            raise _failure_of(error) from error
        try:
            by_place = sorted((each.index, [float(value) for value in each.embedding]) for each in answer.data)
        except (AttributeError, TypeError, ValueError) as error:
            raise _not_understood() from error
        vectors = [vector for _, vector in by_place]
        lengths = {len(vector) for vector in vectors}
        is_whole = (
            [place for place, _ in by_place] == list(range(len(texts))) and len(lengths) == 1 and 0 not in lengths
        )
        if not is_whole or not all(math.isfinite(value) for vector in vectors for value in vector):
            raise _not_understood()
        return vectors

    async def _client(self) -> "AsyncOpenAI":
        if self._opened is None:
            self._opened = asyncio.create_task(self._open())
        try:
            # Shielded: the first search may be cancelled while others wait for the same client.
            return await asyncio.shield(self._opened)
        except ModelError:
            self._opened = None
            raise

    async def _open(self) -> "AsyncOpenAI":
        if self._key is None:
            raise ModelError("There is no key for the embedding model: set OPENAI_API_KEY.", reason="auth")
        make = await asyncio.to_thread(_imported)
        return make(api_key=self._key.get_secret_value(), base_url=self._base_url, timeout=self._seconds, max_retries=0)


def _imported() -> "type[AsyncOpenAI]":
    from openai import AsyncOpenAI

    return AsyncOpenAI


def _failure_of(error: Exception) -> ModelError:
    """The ModelError for whatever a request raised."""
    from openai import APIStatusError, APITimeoutError

    if isinstance(error, APITimeoutError):
        return ModelError("The embedding model took too long.", reason="timeout")
    if not isinstance(error, APIStatusError):
        return ModelError(
            f"The embedding model's server was not reached or not understood ({type(error).__name__}).",
            reason="unavailable",
        )
    reason = "quota" if error.code == "insufficient_quota" else _REASONS.get(error.status_code, "unavailable")
    retry_after: float | None = None
    with suppress(KeyError, TypeError, ValueError):
        retry_after = min(max(0.0, float(error.response.headers["retry-after"])), 3600.0)
    return ModelError(
        f"The embedding model's server answered {error.status_code} ({error.code or 'no code'}).",
        reason=reason,
        retry_after=retry_after,
    )


def _not_understood() -> ModelError:
    return ModelError("The embedding model's server sent an answer nobody understands.", reason="unavailable")
