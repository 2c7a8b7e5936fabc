"""Block Kit as far as Slack refuses it: known types, required parts, lengths, unique ids."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from enablebot.sandbox.messages import Block
from enablebot.sandbox.refusal import Refused

_MARKDOWN = 12_000
_ID = 255
_INTERACTIVE = frozenset(
    {
        "button",
        "checkboxes",
        "datepicker",
        "datetimepicker",
        "email_text_input",
        "external_select",
        "feedback_buttons",
        "icon_button",
        "multi_static_select",
        "multi_users_select",
        "number_input",
        "overflow",
        "plain_text_input",
        "radio_buttons",
        "rich_text_input",
        "static_select",
        "timepicker",
        "url_text_input",
        "users_select",
        "channels_select",
        "conversations_select",
    }
)
# Newer blocks that are taken as they come.
_UNCHECKED = frozenset(
    {"alert", "call", "card", "carousel", "container", "divider", "file", "plan", "rich_text", "task_card", "video"}
)


class _Unfit(Exception):
    """What is wrong with a block, and where."""


def checked_blocks(blocks: Any, *, most: int, error: str = "invalid_blocks") -> list[Block]:
    """The blocks with the ids Slack would add; raises Refused with the reasons in its metadata."""
    if not isinstance(blocks, list):
        raise Refused("invalid_blocks_format" if error == "invalid_blocks" else error)
    kept = deepcopy(blocks)
    try:
        _check_all(kept, most=most)
    except _Unfit as fault:
        raise Refused(error, response_metadata={"messages": [f"[ERROR] {fault}"]}) from fault
    return kept


def _check_all(blocks: list[Any], *, most: int) -> None:
    if len(blocks) > most:
        raise _Unfit(f"no more than {most} items allowed [json-pointer:/blocks]")
    for place, block in enumerate(blocks):
        _check(block, f"/blocks/{place}")
    if sum(len(block["text"]) for block in blocks if block["type"] == "markdown") > _MARKDOWN:
        raise Refused("msg_blocks_too_long")
    _number(blocks)


def _check(block: Any, where: str) -> None:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise _Unfit(f"must provide an object with a type [json-pointer:{where}]")
    kind = block["type"]
    if len(str(block.get("block_id", ""))) > _ID:
        raise _Unfit(f"must be no longer than {_ID} characters [json-pointer:{where}/block_id]")
    if kind == "section":
        _check_section(block, where)
    elif kind == "header":
        _text(block.get("text"), where + "/text", most=150, kinds=("plain_text",))
    elif kind == "markdown":
        _string(block.get("text"), where + "/text", most=_MARKDOWN)
    elif kind == "image":
        _string(block.get("alt_text"), where + "/alt_text", most=2000)
        if not block.get("slack_file"):
            _string(block.get("image_url"), where + "/image_url", most=3000)
    elif kind == "context":
        for element, at in _elements(block, where, most=10):
            if element.get("type") == "image":
                _string(element.get("image_url"), at + "/image_url", most=3000)
                _string(element.get("alt_text"), at + "/alt_text", most=2000)
            else:
                _text(element, at, most=3000)
    elif kind == "actions":
        for element, at in _elements(block, where, most=25):
            _check_element(element, at)
    elif kind == "context_actions":
        for element, at in _elements(block, where, most=5):
            if element.get("type") not in ("feedback_buttons", "icon_button"):
                raise _Unfit(f"unsupported type: {element.get('type')} [json-pointer:{at}/type]")
            _check_element(element, at)
    elif kind == "input":
        _text(block.get("label"), where + "/label", most=2000, kinds=("plain_text",))
        _check_element(block.get("element"), where + "/element")
    elif kind == "table":
        rows = block.get("rows")
        if not isinstance(rows, list) or len(rows) > 100 or any(len(row) > 20 for row in rows):
            raise _Unfit(f"at most 100 rows of 20 cells [json-pointer:{where}/rows]")
    elif kind not in _UNCHECKED:
        raise _Unfit(f"unsupported type: {kind} [json-pointer:{where}/type]")


def _check_section(block: Block, where: str) -> None:
    fields = block.get("fields")
    if "text" not in block and not fields:
        raise _Unfit(f"must provide text or fields [json-pointer:{where}]")
    if "text" in block:
        _text(block["text"], where + "/text", most=3000)
    if fields is not None:
        if not isinstance(fields, list) or not 1 <= len(fields) <= 10:
            raise _Unfit(f"1 to 10 items allowed [json-pointer:{where}/fields]")
        for place, entry in enumerate(fields):
            _text(entry, f"{where}/fields/{place}", most=2000)
    accessory = block.get("accessory")
    if accessory is not None and not (isinstance(accessory, dict) and accessory.get("type") == "image"):
        _check_element(accessory, where + "/accessory")


def _check_element(element: Any, where: str) -> None:
    if not isinstance(element, dict) or element.get("type") not in _INTERACTIVE:
        kind = element.get("type") if isinstance(element, dict) else element
        raise _Unfit(f"unsupported type: {kind} [json-pointer:{where}/type]")
    if len(str(element.get("action_id", ""))) > _ID:
        raise _Unfit(f"must be no longer than {_ID} characters [json-pointer:{where}/action_id]")
    if element["type"] == "button":
        _text(element.get("text"), where + "/text", most=75, kinds=("plain_text",))
        if element.get("style", "primary") not in ("primary", "danger"):
            raise _Unfit(f"must be a valid enum value [json-pointer:{where}/style]")
        if len(str(element.get("url", ""))) > 3000:
            raise _Unfit(f"must be no longer than 3000 characters [json-pointer:{where}/url]")
    elif element["type"] == "feedback_buttons":
        for name in ("positive_button", "negative_button"):
            button = element.get(name)
            if not isinstance(button, dict):
                raise _Unfit(f"missing required field: {name} [json-pointer:{where}]")
            _text(button.get("text"), f"{where}/{name}/text", most=75, kinds=("plain_text",))
            _string(button.get("value"), f"{where}/{name}/value", most=2000)
    if len(str(element.get("value", ""))) > 2000:
        raise _Unfit(f"must be no longer than 2000 characters [json-pointer:{where}/value]")


def _elements(block: Block, where: str, *, most: int) -> Iterator[tuple[dict[str, Any], str]]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= most:
        raise _Unfit(f"1 to {most} items allowed [json-pointer:{where}/elements]")
    for place, element in enumerate(elements):
        if not isinstance(element, dict):
            raise _Unfit(f"must provide an object [json-pointer:{where}/elements/{place}]")
        yield element, f"{where}/elements/{place}"


def _text(text: Any, where: str, *, most: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> None:
    if not isinstance(text, dict) or text.get("type") not in kinds:
        raise _Unfit(f"must be a text object of type {' or '.join(kinds)} [json-pointer:{where}]")
    _string(text.get("text"), where + "/text", most=most)


def _string(value: Any, where: str, *, most: int) -> None:
    if not isinstance(value, str) or not value:
        raise _Unfit(f"must be more than 0 characters [json-pointer:{where}]")
    if len(value) > most:
        raise _Unfit(f"must be no longer than {most} characters [json-pointer:{where}]")


def _number(blocks: list[Block]) -> None:
    """Adds missing ids and refuses doubled ones."""
    seen_blocks: set[str] = set()
    seen_actions: set[str] = set()
    for block in blocks:
        block_id = block.setdefault("block_id", secrets.token_urlsafe(4))
        if block_id in seen_blocks:
            raise _Unfit(f"block_id {block_id!r} already exists [json-pointer:/blocks]")
        seen_blocks.add(block_id)
        for element in [*block.get("elements", []), block.get("accessory"), block.get("element")]:
            if isinstance(element, dict) and element.get("type") in _INTERACTIVE:
                action_id = element.setdefault("action_id", secrets.token_urlsafe(4))
                if action_id in seen_actions:
                    raise _Unfit(f"action_id {action_id!r} already exists [json-pointer:/blocks]")
                seen_actions.add(action_id)
