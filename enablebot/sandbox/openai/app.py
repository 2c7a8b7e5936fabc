"""The played OpenAI: an API server that answers from what it is shown, mounted at `/openai/v1`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from enablebot.sandbox.config import SandboxConfig
from enablebot.sandbox.faults import Fault, Faults
from enablebot.sandbox.openai import catalogue, chat, embeddings, responses
from enablebot.sandbox.openai.checks import check_key, read_body
from enablebot.sandbox.openai.desk import Desk
from enablebot.sandbox.openai.errors import Refusal, unknown_model
from enablebot.sandbox.openai.streaming import Dripping, struck

_Answer = Callable[[Desk, dict[str, Any], Fault | None], Awaitable[Response]]
_Endpoint = Callable[[Request], Awaitable[Response]]


def create_openai_app(config: SandboxConfig, faults: Faults, *, desk: Desk | None = None) -> Starlette:
    """The server. `app.state.desk.asked` holds the last requests it was sent, as (method, body)."""
    desk = desk or Desk.of(config)

    def answering(method: str, known: frozenset[str], answer: _Answer) -> _Endpoint:
        async def endpoint(request: Request) -> Response:
            body = await read_body(request, known)
            fault = faults.take(method, said=body)
            desk.asked.append((method, body))
            misfortune = await struck(fault, streams=body.get("stream") is True)
            answered = misfortune or await answer(desk, body, fault)
            return Dripping(answered, fault.seconds or 1.0) if fault and fault.kind == "drip" else answered

        return _guarded(endpoint)

    async def models(request: Request) -> Response:
        misfortune = await struck(faults.take("openai.models"), streams=False)
        return misfortune or JSONResponse({"object": "list", "data": catalogue.listed()})

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        for row in catalogue.listed():
            if row["id"] == name:
                return JSONResponse(row)
        raise unknown_model(name)

    async def stored(request: Request) -> Response:
        name = request.path_params["name"]
        kept = desk.stored.find(name)
        if kept is None:
            raise Refusal(404, f"Response with id '{name}' not found.")
        if request.method == "DELETE":
            desk.stored.forget(name)
            return JSONResponse({"id": name, "object": "response", "deleted": True})
        return JSONResponse(kept.response)

    answered = answering("openai.responses", responses.PARAMETERS, responses.respond)
    completed = answering("openai.chat", chat.PARAMETERS, chat.complete_chat)
    embedded = answering("openai.embeddings", embeddings.PARAMETERS, embeddings.embed)
    app = Starlette(
        routes=[
            Route("/responses", answered, methods=["POST"]),
            Route("/responses/{name}", _guarded(stored), methods=["GET", "DELETE"]),
            Route("/chat/completions", completed, methods=["POST"]),
            Route("/embeddings", embedded, methods=["POST"]),
            Route("/models", _guarded(models), methods=["GET"]),
            Route("/models/{name}", _guarded(model), methods=["GET"]),
        ],
        exception_handlers={404: _no_such_path, 405: _no_such_path},
    )
    app.state.desk = desk
    return app


def _guarded(endpoint: _Endpoint) -> _Endpoint:
    async def guarded(request: Request) -> Response:
        began = time.monotonic()
        try:
            check_key(request)
            response = await endpoint(request)
        except Refusal as refusal:
            response = refusal.response()
        response.headers["x-request-id"] = f"req_{uuid4().hex}"
        response.headers["openai-processing-ms"] = str(round((time.monotonic() - began) * 1000))
        return response

    return guarded


async def _no_such_path(request: Request, _error: Exception) -> Response:
    return Refusal(404, f"Invalid URL ({request.method} {request.url.path})", code="unknown_url").response()
