"""`POST /embeddings`: the same text always has the same vector, and texts that share words lie close together."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from starlette.responses import JSONResponse, Response

from enablebot.sandbox.faults import Fault
from enablebot.sandbox.openai import checks
from enablebot.sandbox.openai.catalogue import EmbeddingModel, embedding_model
from enablebot.sandbox.openai.counting import tokens
from enablebot.sandbox.openai.desk import Desk
from enablebot.sandbox.openai.errors import bad_value, missing, server_error, unsupported, wrong_type

PARAMETERS = frozenset({"input", "model", "dimensions", "encoding_format", "user"})
_MOST_INPUTS = 2048
_MOST_TOKENS_EACH = 8192
_MOST_TOKENS = 300_000
_WORD = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]|[^\W_]+")
_PLACES_PER_FEATURE = 6


async def embed(_desk: Desk, body: dict[str, Any], fault: Fault | None) -> Response:
    """Answers one request. Raises Refusal."""
    model = embedding_model(checks.model_name(body))
    if fault is not None and fault.kind == "error":
        return server_error(code=fault.error).response()
    texts = _texts(body)
    spent = _spend(texts)
    dimensions = _dimensions(body, model)
    form = body.get("encoding_format", "float")
    if form not in ("float", "base64"):
        raise bad_value(f"Invalid value: '{form}'. Supported values are: 'float' and 'base64'.", "encoding_format")
    rows = []
    for place, text in enumerate(texts):
        vector = vector_of(text, full=model.dimensions, dimensions=dimensions)
        shown = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode() if form == "base64" else vector
        rows.append({"object": "embedding", "index": place, "embedding": shown})
    usage = {"prompt_tokens": spent, "total_tokens": spent}
    return JSONResponse({"object": "list", "data": rows, "model": model.name, "usage": usage})


def vector_of(text: str, *, full: int, dimensions: int) -> list[float]:
    """A unit vector of hashed words and their three-letter parts; a shorter one is the beginning of the full one."""
    vector = [0.0] * full
    for word in _WORD.findall(text.casefold()):
        _add(vector, word, 1.0)
        framed = f"^{word}$"
        for start in range(len(framed) - 2):
            _add(vector, framed[start : start + 3], 0.3)
    if not any(vector[:dimensions]):
        vector[0] = 1.0
    length = math.sqrt(sum(value * value for value in vector[:dimensions]))
    return [value / length for value in vector[:dimensions]]


def _add(vector: list[float], feature: str, weight: float) -> None:
    for place, sign in _places(feature):
        vector[place % len(vector)] += sign * weight


@lru_cache(maxsize=20_000)
def _places(feature: str) -> tuple[tuple[int, int], ...]:
    digest = hashlib.blake2b(feature.encode(), digest_size=_PLACES_PER_FEATURE * 4).digest()
    numbers = struct.unpack(f"<{_PLACES_PER_FEATURE}I", digest)
    return tuple((number >> 1, 1 if number & 1 else -1) for number in numbers)


def _texts(body: Mapping[str, Any]) -> list[str]:
    given = body.get("input")
    if given is None:
        raise missing("input")
    if isinstance(given, str) or (isinstance(given, list) and given and all(isinstance(part, int) for part in given)):
        given = [given]
    if not isinstance(given, list) or not given:
        raise wrong_type("input", "a string, or an array with at least one")
    if len(given) > _MOST_INPUTS:
        raise bad_value(f"Invalid 'input': at most {_MOST_INPUTS} inputs, got {len(given)}.", "input")
    return [_text(part) for part in given]


def _text(part: Any) -> str:
    if isinstance(part, list) and part and all(isinstance(token, int) for token in part):
        return " ".join(f"t{token}" for token in part)
    if not isinstance(part, str):
        raise wrong_type("input", "a string, or an array of strings")
    if not part:
        raise bad_value("Invalid 'input': input cannot be an empty string.", "input")
    return part


def _spend(texts: list[str]) -> int:
    counts = [tokens(text) for text in texts]
    if max(counts) > _MOST_TOKENS_EACH:
        raise bad_value(
            f"Invalid 'input': maximum input length is {_MOST_TOKENS_EACH} tokens.",
            "input",
            code="context_length_exceeded",
        )
    if sum(counts) > _MOST_TOKENS:
        raise bad_value(
            f"Requested {sum(counts)} tokens, max {_MOST_TOKENS} tokens per request.",
            "input",
            code="max_tokens_per_request",
        )
    return sum(counts)


def _dimensions(body: Mapping[str, Any], model: EmbeddingModel) -> int:
    asked = checks.count_of(body, "dimensions", least=1)
    if asked is None:
        return model.dimensions
    if not model.shortens:
        raise unsupported("dimensions")
    if asked > model.dimensions:
        raise bad_value(f"Invalid 'dimensions': at most {model.dimensions} for {model.name}.", "dimensions")
    return asked
