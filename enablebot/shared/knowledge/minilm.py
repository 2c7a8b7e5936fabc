"""all-MiniLM-L6-v2, or another BERT of its kind, run by ourselves with numpy: the optional extra `minilm`.

Six layers of attention, the mean of the last one's words, of length one. As sentence-transformers computes it, without
its two gigabytes. English only; what goes beyond 256 pieces of words is not read. Some ten passages a second and core.
"""

import asyncio
import json
from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Self

import numpy as np
from tokenizers import Tokenizer

from enablebot.shared.errors import SettingsError
from enablebot.shared.knowledge.weights import Floats, read_weights

_LONGEST = 256
# Few enough that a question waits for tenths of a second behind them, many enough for the matrices to be worth it.
_BATCH = 8


class MiniLM:
    """The model, its words and its weights; numbers are computed in a thread, passages of one call at a time."""

    def __init__(self, name: str, tokenizer: Tokenizer, bert: "Bert") -> None:
        self._name = name
        self._tokenizer = tokenizer
        self._bert = bert
        self._turn = asyncio.Semaphore(1)

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Read `model.safetensors`, `tokenizer.json` and `config.json`; raises SettingsError when they are not that."""
        try:
            with (directory / "model.safetensors").open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
            bert = Bert.read(directory)
            tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        # The tokenizer raises Exception itself.
        except Exception as error:
            raise SettingsError(
                [
                    f"EMBEDDING_MODEL_DIR is no model that can be run ({error}). It must hold model.safetensors, "
                    "tokenizer.json and config.json of all-MiniLM-L6-v2, or of another BERT."
                ]
            ) from error
        tokenizer.no_padding()
        tokenizer.enable_truncation(_LONGEST)
        # Other weights make other vectors, whatever the directory is called.
        return cls(f"minilm-{bert.width}-{digest[:12]}", tokenizer, bert)

    @property
    def model(self) -> str:
        """Its width and a checksum of its weights."""
        return self._name

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return unit vectors; many texts go in small batches, so that a single one need not wait for all of them."""
        if len(texts) == 1:
            return await asyncio.to_thread(self.embed_now, texts)
        # Texts of one length waste nothing on padding.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        vectors: dict[int, list[float]] = {}
        for start in range(0, len(order), _BATCH):
            places = order[start : start + _BATCH]
            async with self._turn:
                made = await asyncio.to_thread(self.embed_now, [texts[place] for place in places])
            vectors.update(zip(places, made, strict=True))
        return [vectors[place] for place in range(len(texts))]

    async def aclose(self) -> None:
        """Nothing is open."""

    def embed_now(self, texts: Sequence[str]) -> list[list[float]]:
        """Compute one batch here and now."""
        # One by one: a tokenizer that starts threads complains of every process that is started later.
        pieces = [self._tokenizer.encode(text).ids for text in texts]
        longest = max(map(len, pieces))
        ids = np.zeros((len(pieces), longest), dtype=np.int64)
        mask = np.zeros((len(pieces), longest), dtype=np.float32)
        for row, each in enumerate(pieces):
            ids[row, : len(each)] = each
            mask[row, : len(each)] = 1
        vectors: list[list[float]] = self._bert.mean(ids, mask).tolist()
        return vectors


class Bert:
    """A BERT encoder. Source of the formulas: https://arxiv.org/abs/1810.04805 and its reference implementation."""

    def __init__(self, weights: dict[str, Floats], *, layers: int, heads: int, epsilon: float) -> None:
        self._weights = weights
        self._layers = layers
        self._heads = heads
        self._epsilon = np.float32(epsilon)
        self.width: int = self._of("embeddings.word_embeddings.weight").shape[1]
        if self.width % heads:
            raise ValueError("the heads do not divide its width")
        # Missing ones are missed now, not at the first question.
        self.mean(np.zeros((1, 2), dtype=np.int64), np.ones((1, 2), dtype=np.float32))

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read a model's configuration and weights; raises OSError, ValueError and KeyError."""
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        if config.get("hidden_act") != "gelu" or config.get("model_type") != "bert":
            raise ValueError("only BERT with gelu can be run")
        return cls(
            read_weights(directory / "model.safetensors"),
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            epsilon=config["layer_norm_eps"],
        )

    def mean(self, ids: "np.typing.NDArray[np.int64]", mask: Floats) -> Floats:
        """Return the mean of the words' last states, of length one; a mask of 1 says that a word is there."""
        states = self._of("embeddings.word_embeddings.weight")[ids]
        states = states + self._of("embeddings.position_embeddings.weight")[: ids.shape[1]]
        states = states + self._of("embeddings.token_type_embeddings.weight")[0]
        states = self._norm(states, "embeddings.LayerNorm")
        unseen = (1 - mask)[:, None, None, :] * np.float32(-1e9)
        for number in range(self._layers):
            layer = f"encoder.layer.{number}."
            states = self._attend(states, unseen, layer)
            inner = _gelu(self._linear(states, layer + "intermediate.dense"))
            states = self._norm(states + self._linear(inner, layer + "output.dense"), layer + "output.LayerNorm")
        summed = (states * mask[:, :, None]).sum(axis=1)
        lengths = np.linalg.norm(summed, axis=1, keepdims=True)
        mean: Floats = summed / np.maximum(lengths, np.float32(1e-12))
        return mean

    def _attend(self, states: Floats, unseen: Floats, layer: str) -> Floats:
        texts, words, width = states.shape
        size = width // self._heads

        def split(name: str) -> Floats:
            made = self._linear(states, f"{layer}attention.self.{name}")
            return made.reshape(texts, words, self._heads, size).transpose(0, 2, 1, 3)

        query, key, value = split("query"), split("key"), split("value")
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(size)) + unseen
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        seen = (scores @ value).transpose(0, 2, 1, 3).reshape(texts, words, width)
        made = self._linear(seen, layer + "attention.output.dense")
        return self._norm(states + made, layer + "attention.output.LayerNorm")

    def _linear(self, states: Floats, name: str) -> Floats:
        made: Floats = states @ self._of(name + ".weight").T + self._of(name + ".bias")
        return made

    def _norm(self, states: Floats, name: str) -> Floats:
        centred = states - states.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + self._epsilon)
        normed: Floats = centred / spread * self._of(name + ".weight") + self._of(name + ".bias")
        return normed

    def _of(self, name: str) -> Floats:
        return self._weights[name]


def _gelu(x: Floats) -> Floats:
    """x times the normal distribution's share below x; the error function as Abramowitz and Stegun 7.1.26 (1.5e-7)."""
    z = np.abs(x) * np.float32(0.7071067811865476)
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    below = 1 - series.astype(np.float32) * np.exp(-z * z)
    made: Floats = np.float32(0.5) * x * (1 + np.sign(x) * below)
    return made
