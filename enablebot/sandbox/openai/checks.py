"""What every request is checked for before anything is made of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request

from enablebot.sandbox.openai.catalogue import ChatModel
from enablebot.sandbox.openai.errors import (
    Refusal,
    bad_value,
    missing,
    missing_key,
    quota_spent,
    unsupported,
    wrong_key,
    wrong_type,
)
from enablebot.sandbox.openai.quoting import Tool

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SAMPLING = ("temperature", "top_p", "top_logprobs", "logprobs")


def check_key(request: Request) -> None:
    """Any key opens the door, but for those that play trouble: `sk-bad…` is unknown, `sk-quota…` is spent."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key:
        raise missing_key()
    if key.startswith("sk-bad"):
        raise wrong_key(key)
    if key.startswith("sk-quota"):
        raise quota_spent()


async def read_body(request: Request, known: frozenset[str]) -> dict[str, Any]:
    """The request's JSON object; refuses what is none and parameters that do not exist."""
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise Refusal(400, "We could not parse the JSON body of your request.") from error
    if not isinstance(body, dict):
        raise Refusal(400, "The body of the request must be a JSON object.")
    for name in body:
        if name not in known:
            raise bad_value(f"Unknown parameter: '{name}'.", str(name), code="unknown_parameter")
    return {name: value for name, value in body.items() if value is not None}


def model_name(body: Mapping[str, Any]) -> str:
    """The model asked for."""
    if "model" not in body:
        raise missing("model")
    return text_of(body, "model")


def text_of(body: Mapping[str, Any], name: str, *, limit: int | None = None) -> str:
    """A string parameter, empty when it was left out."""
    value = body.get(name, "")
    if not isinstance(value, str):
        raise wrong_type(name, "a string")
    if limit is not None and len(value) > limit:
        raise bad_value(
            f"Invalid '{name}': string too long. Expected a string with maximum length {limit}.",
            name,
            code="string_above_max_length",
        )
    return value


def flag_of(body: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """A boolean parameter."""
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise wrong_type(name, "a boolean")
    return value


def count_of(body: Mapping[str, Any], name: str, *, least: int) -> int | None:
    """An integer parameter that may not be below `least`."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(name, "an integer")
    if value < least:
        raise bad_value(
            f"Invalid '{name}': integer below minimum value. Expected a value >= {least}.",
            name,
            code="integer_below_min_value",
        )
    return value


def effort_of(model: ChatModel, effort: Any, param: str) -> str:
    """The effort the model will think with; medium unless asked otherwise, none where it cannot reason."""
    if effort is None:
        return "medium" if model.efforts else "none"
    if not model.efforts:
        raise unsupported(param)
    if effort not in model.efforts:
        allowed = ", ".join(f"'{name}'" for name in model.efforts)
        raise bad_value(
            f"Unsupported value: '{effort}' is not supported with '{model.name}'. Supported values: {allowed}.",
            param,
            code="unsupported_value",
        )
    return str(effort)


def check_sampling(body: Mapping[str, Any], effort: str) -> None:
    """Refuses temperature and its kin while the model reasons."""
    for name in _SAMPLING:
        if name in body and effort != "none":
            raise unsupported(name)
    for name, highest in (("temperature", 2), ("top_p", 1)):
        value = body.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(name, "a number")
        if not 0 <= value <= highest:
            raise bad_value(f"Invalid '{name}': expected a value between 0 and {highest}.", name)


def check_bookkeeping(body: Mapping[str, Any]) -> None:
    """Refuses identifiers and metadata longer than OpenAI takes, and stream options without a stream."""
    text_of(body, "safety_identifier", limit=64)
    text_of(body, "prompt_cache_key", limit=64)
    metadata = body.get("metadata", {})
    if not isinstance(metadata, dict) or len(metadata) > 16:
        raise wrong_type("metadata", "an object of at most 16 keys")
    for name, value in metadata.items():
        if not isinstance(value, str) or len(name) > 64 or len(value) > 512:
            raise bad_value(f"Invalid 'metadata.{name}': keys up to 64, values up to 512 characters.", "metadata")
    if "stream_options" in body and not flag_of(body, "stream", default=False):
        raise bad_value("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")


def read_tool(function: Mapping[str, Any], param: str) -> Tool:
    """A function on offer, from the object that holds its name and parameters."""
    name = function.get("name")
    if name is None:
        raise missing(f"{param}.name")
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        raise bad_value(f"Invalid '{param}.name': up to 64 letters, digits, '_' and '-'.", f"{param}.name")
    parameters = function.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise wrong_type(f"{param}.parameters", "an object")
    properties = parameters.get("properties") or {}
    required = parameters.get("required") or []
    if function.get("strict") is True:
        _check_strict(name, parameters, properties, required, f"{param}.parameters")
    return Tool(name=name, required=tuple(str(key) for key in required))


def _check_strict(name: str, schema: Mapping[str, Any], properties: Any, required: Any, param: str) -> None:
    said = f"Invalid schema for function '{name}': "
    if schema.get("type") != "object":
        raise bad_value(f"{said}schema must have type 'object'.", param, code="invalid_function_parameters")
    if schema.get("additionalProperties") is not False:
        raise bad_value(
            f"{said}'additionalProperties' is required to be supplied and to be false.",
            param,
            code="invalid_function_parameters",
        )
    if set(required) != set(properties):
        raise bad_value(
            f"{said}'required' is required to be supplied and to be an array including every key in properties.",
            param,
            code="invalid_function_parameters",
        )
