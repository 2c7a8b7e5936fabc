"""Reads the `input` of the Responses API: items in, the turns of a conversation out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from enablebot.sandbox.openai.counting import tokens
from enablebot.sandbox.openai.errors import Refusal, bad_value, missing, wrong_type
from enablebot.sandbox.openai.quoting import Role, Turn

_ROLES: Mapping[str, Role] = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
_SHOWN = frozenset({"input_text", "input_image", "input_file"})
_SPOKEN = frozenset({"output_text", "refusal"})
_TOKENS_PER_ITEM = 4


def read_items(value: Any) -> list[dict[str, Any]]:
    """The input as a list of items; a plain string is one user message."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    if not isinstance(value, list):
        raise wrong_type("input", "a string or an array")
    for place, item in enumerate(value):
        if not isinstance(item, dict):
            raise wrong_type(f"input[{place}]", "an object")
    return value


def read_turns(items: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """The turns those items are; refuses items of the wrong shape and calls without their outputs."""
    turns: list[Turn] = []
    called: dict[str, int] = {}
    answered: set[str] = set()
    for place, item in enumerate(items):
        here = f"input[{place}]"
        kind = item.get("type", "message")
        if kind == "message":
            turns.append(_message(item, here))
        elif kind == "function_call":
            called[_text(item, "call_id", here)] = place
            turns.append(Turn("assistant", f"{_text(item, 'name', here)} {_text(item, 'arguments', here)}"))
        elif kind == "function_call_output":
            call = _text(item, "call_id", here)
            if call not in called:
                raise bad_value(f"No tool call found for function call output with call_id {call}.", "input")
            answered.add(call)
            turns.append(Turn("tool", _output(item, here)))
        elif kind == "reasoning":
            _check_reasoning(item)
        else:
            raise bad_value(f"Invalid value: '{kind}'. The sandbox does not play this kind of item.", f"{here}.type")
    for call in called:
        if call not in answered:
            raise bad_value(f"No tool output found for function call {call}.", "input")
    return turns


def input_tokens(items: Sequence[Mapping[str, Any]], *more: str) -> int:
    """What the model had to read, about."""
    said = sum(_TOKENS_PER_ITEM + tokens(_all_text(item)) for item in items)
    return said + sum(tokens(text) for text in more)


def _message(item: Mapping[str, Any], here: str) -> Turn:
    role = item.get("role")
    if role is None:
        raise missing(f"{here}.role")
    if role not in _ROLES:
        raise bad_value(f"Invalid value: '{role}'.", f"{here}.role")
    content = item.get("content")
    if content is None:
        raise missing(f"{here}.content")
    if isinstance(content, str):
        return Turn(_ROLES[role], content)
    if not isinstance(content, list):
        raise wrong_type(f"{here}.content", "a string or an array")
    allowed = _SPOKEN if role == "assistant" else _SHOWN
    said: list[str] = []
    for place, part in enumerate(content):
        param = f"{here}.content[{place}]"
        if not isinstance(part, dict):
            raise wrong_type(param, "an object")
        if part.get("type") not in allowed:
            names = " and ".join(f"'{name}'" for name in sorted(allowed))
            raise bad_value(f"Invalid value: '{part.get('type')}'. Supported values are: {names}.", f"{param}.type")
        said.append(str(part.get("text") or part.get("refusal") or ""))
    return Turn(_ROLES[role], "\n".join(said))


def _output(item: Mapping[str, Any], here: str) -> str:
    output = item.get("output")
    if isinstance(output, str):
        return output
    if isinstance(output, list):
        return "\n".join(str(part.get("text", "")) for part in output if isinstance(part, dict))
    raise wrong_type(f"{here}.output", "a string or an array")


def _check_reasoning(item: Mapping[str, Any]) -> None:
    # Nothing is kept with store=false, so that reasoning can only come back sealed.
    if not item.get("encrypted_content"):
        raise Refusal(
            404,
            f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false.",
            param="input",
        )


def _text(item: Mapping[str, Any], name: str, here: str) -> str:
    value = item.get(name)
    if value is None:
        raise missing(f"{here}.{name}")
    if not isinstance(value, str):
        raise wrong_type(f"{here}.{name}", "a string")
    return value


def _all_text(item: Mapping[str, Any]) -> str:
    content = item.get("content")
    return content if isinstance(content, str) else orjson.dumps(content or dict(item)).decode()
