"""The models played here, and what each of them allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from enablebot.sandbox.openai.errors import Refusal, unknown_model

EFFORTS = ("none", "low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True)
class ChatModel:
    """A model that answers. `efforts` is empty where it does not reason; the default effort is medium otherwise."""

    name: str
    efforts: tuple[str, ...] = EFFORTS


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """A model that turns text into `dimensions` numbers; `shortens` when a request may ask for fewer."""

    name: str
    dimensions: int
    shortens: bool = True


_WITHOUT_NONE = EFFORTS[1:]

CHAT_MODELS: Mapping[str, ChatModel] = MappingProxyType(
    {
        model.name: model
        for model in (
            ChatModel("gpt-6-luna"),
            ChatModel("gpt-6-sol"),
            ChatModel("gpt-6.1-sol", _WITHOUT_NONE),
            ChatModel("gpt-6.2-sol"),
            ChatModel("gpt-6.1-terra"),
            ChatModel("gpt-6-astra", _WITHOUT_NONE),
            ChatModel("gpt-6.2-astra"),
            ChatModel("gpt-5.6-sol"),
            ChatModel("gpt-5.6-terra"),
            ChatModel("gpt-5.6-luna"),
            ChatModel("gpt-4.1", ()),
            ChatModel("gpt-4.1-mini", ()),
        )
    }
)

EMBEDDING_MODELS: Mapping[str, EmbeddingModel] = MappingProxyType(
    {
        model.name: model
        for model in (
            EmbeddingModel("text-embedding-3-small", 1536),
            EmbeddingModel("text-embedding-3-large", 3072),
            EmbeddingModel("text-embedding-ada-002", 1536, shortens=False),
        )
    }
)


def chat_model(name: str) -> ChatModel:
    """The model of that name; raises Refusal 404 for one that is not played."""
    if name in EMBEDDING_MODELS:
        raise Refusal(
            400, f"The model '{name}' cannot answer; it makes embeddings.", code="invalid_value", param="model"
        )
    if name not in CHAT_MODELS:
        raise unknown_model(name)
    return CHAT_MODELS[name]


def embedding_model(name: str) -> EmbeddingModel:
    """The model of that name; raises Refusal 404 for one that is not played."""
    if name in CHAT_MODELS:
        raise Refusal(400, f"The model '{name}' makes no embeddings.", code="invalid_value", param="model")
    if name not in EMBEDDING_MODELS:
        raise unknown_model(name)
    return EMBEDDING_MODELS[name]


def listed() -> list[dict[str, object]]:
    """The rows of GET /models."""
    names = [*CHAT_MODELS, *EMBEDDING_MODELS]
    return [{"id": name, "object": "model", "created": 1_790_000_000, "owned_by": "sandbox"} for name in names]
