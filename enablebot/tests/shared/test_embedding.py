"""Embedding: batches, deadlines and failures of a server; a BERT of our own that computes what it should."""

import asyncio
import json
import os
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from aiohttp import web
from pydantic import SecretStr
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from enablebot.config.settings import ModelSettings
from enablebot.shared.errors import ModelError, SettingsError
from enablebot.shared.knowledge.embedding import OpenAIEmbedder, embedder_for
from enablebot.shared.knowledge.minilm import MiniLM
from enablebot.shared.knowledge.weights import read_weights

pytestmark = pytest.mark.anyio

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


# A server


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/embeddings", handler)
    # A handler that hangs is not waited for.
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = cast("Any", runner.addresses[0])[1]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        await runner.cleanup()


def answered(vectors: list[list[float]]) -> web.Response:
    data = [{"object": "embedding", "index": place, "embedding": vector} for place, vector in enumerate(vectors)]
    # Nothing says that they come in order.
    return web.json_response({"object": "list", "model": "m", "data": data[::-1], "usage": {}})


def embedder(url: str, *, seconds: float = 5.0, key: str | None = "sk-test") -> OpenAIEmbedder:
    return OpenAIEmbedder("m", api_key=SecretStr(key) if key else None, base_url=url, seconds=seconds)


async def test_texts_go_in_batches_and_come_back_in_their_order() -> None:
    sizes: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        body = await request.json()
        assert (body["model"], body["encoding_format"]) == ("m", "float")
        assert request.headers["authorization"] == "Bearer sk-test"
        sizes.append(len(body["input"]))
        return answered([[float(len(text)), 1.0] for text in body["input"]])

    async with serving(handler) as url:
        asked = embedder(url)
        made = await asked.embed(["x" * length for length in range(1, 151)])
        assert await asked.embed([]) == []
        await asked.aclose()
    assert [vector[0] for vector in made] == [float(length) for length in range(1, 151)]
    assert sizes == [64, 64, 22]


async def test_a_text_too_long_for_a_model_is_cut() -> None:
    async def handler(request: web.Request) -> web.Response:
        return answered([[float(len(text))] for text in (await request.json())["input"]])

    async with serving(handler) as url:
        asked = embedder(url)
        assert await asked.embed(["漢" * 100_000]) == [[6000.0]]
        await asked.aclose()


@pytest.mark.parametrize(
    ("status", "body", "reason", "permanent"),
    [
        (401, {"error": {"code": "invalid_api_key"}}, "auth", True),
        (404, {"error": {"code": "model_not_found"}}, "model_missing", True),
        (429, {"error": {"code": "rate_limit_exceeded"}}, "rate_limited", False),
        (429, {"error": {"code": "insufficient_quota"}}, "quota", True),
        (400, {"error": {"code": "x"}}, "bad_request", True),
        (500, {"error": {}}, "unavailable", False),
        (503, {}, "unavailable", False),
        (200, {"data": []}, "unavailable", False),
        (200, {"data": [{"index": 0, "embedding": []}]}, "unavailable", False),
        (200, {"data": [{"index": 1, "embedding": [1.0]}]}, "unavailable", False),
        (200, {"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]}, "unavailable", False),
        (200, {"data": [{"index": 0, "embedding": ["a"]}]}, "unavailable", False),
        (200, {"data": [{"index": 0, "embedding": [1e999]}]}, "unavailable", False),
        (200, {"data": None}, "unavailable", False),
        (200, {}, "unavailable", False),
        (200, [], "unavailable", False),
    ],
)
async def test_every_failure_of_a_server_is_an_error_of_ours(
    status: int, body: Any, reason: str, permanent: bool
) -> None:
    asked_for = 0

    async def handler(_: web.Request) -> web.Response:
        nonlocal asked_for
        asked_for += 1
        return web.json_response(body, status=status, headers={"retry-after": "7"})

    async with serving(handler) as url:
        asked = embedder(url)
        with pytest.raises(ModelError) as raised:
            await asked.embed(["text"])
        await asked.aclose()
    assert (raised.value.reason, raised.value.permanent) == (reason, permanent)
    assert asked_for == 1
    if status == 429:
        assert raised.value.retry_after == 7


async def test_an_answer_that_is_no_json_is_an_error_of_ours() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="application/json")

    async with serving(handler) as url:
        asked = embedder(url)
        with pytest.raises(ModelError):
            await asked.embed(["text"])
        await asked.aclose()


async def test_a_server_that_hangs_is_left_at_the_deadline() -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return answered([])

    async with serving(handler) as url:
        asked = embedder(url, seconds=0.2)
        with pytest.raises(ModelError) as raised:
            await asked.embed(["text"])
        await asked.aclose()
    assert raised.value.reason == "timeout"


async def test_a_server_that_is_not_there_is_an_error_of_ours() -> None:
    async def handler(_: web.Request) -> web.Response:
        return answered([])

    async with serving(handler) as url:
        pass
    asked = embedder(url)
    with pytest.raises(ModelError) as raised:
        await asked.embed(["text"])
    await asked.aclose()
    assert (raised.value.reason, raised.value.permanent) == ("unavailable", False)


async def test_without_a_key_nothing_is_sent() -> None:
    asked = embedder("http://127.0.0.1:1/v1", key=None)
    with pytest.raises(ModelError) as raised:
        await asked.embed(["text"])
    assert raised.value.reason == "auth"
    await asked.aclose()


# What the settings name


def test_without_settings_there_is_no_embedder() -> None:
    assert embedder_for(ModelSettings()) is None


def test_a_model_of_a_server_is_stored_under_its_name() -> None:
    made = embedder_for(ModelSettings(embedding_model="text-embedding-3-small", api_key=SecretStr("sk-test")))
    assert isinstance(made, OpenAIEmbedder)
    assert made.model == "text-embedding-3-small"


@pytest.mark.parametrize(
    "fault", ["missing", "no weights", "cut", "no json", "other kind", "no tokenizer", "tensor gone"]
)
def test_a_directory_without_a_model_is_refused_with_a_remedy(tmp_path: Path, fault: str) -> None:
    directory = tmp_path / "model"
    if fault != "missing":
        write_model(directory)
    weights = directory / "model.safetensors"
    match fault:
        case "no weights":
            weights.unlink()
        case "cut":
            weights.write_bytes(weights.read_bytes()[:-1000])
        case "no json":
            weights.write_bytes(struct.pack("<Q", 5) + b"{nojs" + bytes(100))
        case "other kind":
            (directory / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_act": "silu"}))
        case "no tokenizer":
            (directory / "tokenizer.json").unlink()
        case "tensor gone":
            write_model(directory, without="encoder.layer.1.output.dense.bias")
    with pytest.raises(SettingsError) as raised:
        embedder_for(ModelSettings(embedding_dir=directory))
    assert "EMBEDDING_MODEL_DIR" in str(raised.value)
    assert "tokenizer.json" in str(raised.value)


# A small BERT with random weights, in the files a real one comes in

WIDTH, LAYERS, HEADS, WORDS, INNER = 16, 2, 4, 40, 32


def write_model(directory: Path, *, seed: int = 1, without: str | None = None) -> None:
    directory.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (WORDS, WIDTH),
        "embeddings.position_embeddings.weight": (256, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
    }
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}."
        for name in ("query", "key", "value"):
            shapes |= {f"{layer}attention.self.{name}.weight": (WIDTH, WIDTH)}
            shapes |= {f"{layer}attention.self.{name}.bias": (WIDTH,)}
        for name, rows, columns in (
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", INNER, WIDTH),
            ("output.dense", WIDTH, INNER),
        ):
            shapes |= {f"{layer}{name}.weight": (rows, columns), f"{layer}{name}.bias": (rows,)}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{layer}{name}.weight": (WIDTH,), f"{layer}{name}.bias": (WIDTH,)}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, shape in shapes.items():
        if name == without:
            continue
        data = rng.normal(0, 0.5, shape).astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    written = json.dumps(header).encode()
    written += b" " * (-len(written) % 8)
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(written)) + written + body)
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "layer_norm_eps": 1e-12,
    }
    (directory / "config.json").write_text(json.dumps(config))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{number}" for number in range(WORDS - 4))]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(directory / "tokenizer.json"))


@pytest.fixture
def small(tmp_path: Path) -> MiniLM:
    write_model(tmp_path / "model")
    return MiniLM.open(tmp_path / "model")


def plainly(directory: Path, ids: list[int]) -> list[float]:
    """The same encoder once more, one word after the other, in 64 bits and with the error function of the library."""
    from math import erf, exp, sqrt

    weights = {name: value.astype(np.float64) for name, value in read_weights(directory / "model.safetensors").items()}

    def norm(x: Any, name: str) -> Any:
        return (x - x.mean()) / sqrt(x.var() + 1e-12) * weights[name + ".weight"] + weights[name + ".bias"]

    def linear(x: Any, name: str) -> Any:
        return weights[name + ".weight"] @ x + weights[name + ".bias"]

    states = [
        norm(
            weights["embeddings.word_embeddings.weight"][word]
            + weights["embeddings.position_embeddings.weight"][place]
            + weights["embeddings.token_type_embeddings.weight"][0],
            "embeddings.LayerNorm",
        )
        for place, word in enumerate(ids)
    ]
    size = WIDTH // HEADS
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}."
        query, key, value = (
            [linear(state, f"{layer}attention.self.{name}") for state in states] for name in ("query", "key", "value")
        )
        after = []
        for place, state in enumerate(states):
            seen = np.zeros(WIDTH)
            for head in range(HEADS):
                part = slice(head * size, (head + 1) * size)
                shares = [exp(query[place][part] @ other[part] / sqrt(size)) for other in key]
                for share, other in zip(shares, value, strict=True):
                    seen[part] += share / sum(shares) * other[part]
            heard = norm(state + linear(seen, layer + "attention.output.dense"), layer + "attention.output.LayerNorm")
            inner = linear(heard, layer + "intermediate.dense")
            inner = np.array([x * (1 + erf(x / sqrt(2))) / 2 for x in inner])
            after.append(norm(heard + linear(inner, layer + "output.dense"), layer + "output.LayerNorm"))
        states = after
    mean = np.mean(states, axis=0)
    return list(mean / np.linalg.norm(mean))


def test_it_computes_what_the_formulas_say(small: MiniLM, tmp_path: Path) -> None:
    (made,) = small.embed_now(["w1 w5 w9 w30 w5"])
    assert made == pytest.approx(plainly(tmp_path / "model", [2, 5, 9, 13, 34, 9, 3]), abs=1e-5)


async def test_a_text_s_vector_does_not_depend_on_what_is_embedded_beside_it(small: MiniLM) -> None:
    texts = [" ".join(f"w{(number * place) % 36}" for place in range(number + 1)) for number in range(30)]
    together = await small.embed(texts)
    for text, vector in zip(texts, together, strict=True):
        (alone,) = await small.embed([text])
        assert alone == pytest.approx(vector, abs=1e-5)
        assert sum(value * value for value in vector) == pytest.approx(1, abs=1e-5)
    assert await small.embed([]) == []


async def test_what_goes_beyond_the_longest_text_is_not_read(small: MiniLM) -> None:
    long, longer = await small.embed(["w1 " * 254, "w1 " * 254 + "w7 " * 1000])
    assert long == pytest.approx(longer, abs=1e-6)
    assert await small.embed(["", "?"])


async def test_a_question_overtakes_a_long_batch(small: MiniLM) -> None:
    batch = asyncio.create_task(small.embed(["w1 " * 250] * 2_000))
    await asyncio.sleep(0)
    await small.embed(["w2"])
    assert not batch.done()
    batch.cancel()
    await asyncio.gather(batch, return_exceptions=True)


def test_other_weights_have_another_name(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_model(tmp_path / str(seed), seed=seed)
    names = {MiniLM.open(tmp_path / str(seed)).model for seed in (1, 2)}
    assert len(names) == 2
    assert all(name.startswith("minilm-16-") for name in names)


# The real one, where its weights are at hand


@pytest.mark.skipif(not os.environ.get("EMBEDDING_MODEL_DIR"), reason="EMBEDDING_MODEL_DIR names no weights")
async def test_the_real_model_says_what_its_makers_publish() -> None:
    """https://www.sbert.net/docs/sentence_transformer/usage/semantic_textual_similarity.html."""
    model = MiniLM.open(Path(os.environ["EMBEDDING_MODEL_DIR"]))
    eating, bread, baby = (
        np.array(vector)
        for vector in await model.embed(
            ["A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."]
        )
    )
    assert eating @ bread == pytest.approx(0.7553, abs=0.0002)
    assert eating @ baby < 0
