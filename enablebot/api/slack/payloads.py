"""What Slack posts, read: JSON objects, and the form that carries one."""

import json
from typing import Any
from urllib.parse import parse_qs

import orjson

from enablebot.shared.errors import BadRequest

# Slack's interactions are a form of one field.
_MOST_FIELDS = 20


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; BadRequest for anything else, however deep or broken."""
    try:
        read: object = orjson.loads(body)
    except ValueError:
        read = _read_leniently(body)
    if not isinstance(read, dict):
        raise BadRequest("The request's body is not a JSON object.")
    return read


def read_payload(body: bytes) -> tuple[dict[str, Any], bytes]:
    """The object in the form field `payload`, and its own bytes; BadRequest where there is none."""
    try:
        fields = parse_qs(body.decode(), max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise BadRequest("The request's body is not the form that Slack sends.") from error
    if len(fields.get("payload", ())) != 1:
        raise BadRequest("The request's form has no field “payload”.")
    payload = fields["payload"][0].encode()
    return read_object(payload), payload


def _read_leniently(body: bytes) -> object:
    # A lone surrogate, escaped as Slack escapes it, is JSON to everybody but orjson; such a message is a question too.
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise BadRequest("The request's body is not JSON.") from error
