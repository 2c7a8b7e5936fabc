"""A call's arguments, from wherever the caller put them: query, form or JSON."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request

from enablebot.sandbox.refusal import Refused, invalid_arguments


class Arguments:
    """Arguments by name; null and absent are the same."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = {name: value for name, value in values.items() if value is not None}

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str) -> str | None:
        """A string; numbers are taken for their digits, as in a form."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise invalid_arguments(f"must be a string [json-pointer:/{name}]")
        return str(value)

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise invalid_arguments(f"missing required field: {name}")
        return value

    def truthy(self, name: str) -> bool:
        value = self.values.get(name)
        return value is True or (isinstance(value, int | str) and str(value).lower() in ("1", "true"))

    def integer(self, name: str, *, default: int) -> int:
        value = self.text(name)
        try:
            return default if not value else int(value)
        except ValueError as error:
            raise invalid_arguments(f"must be an integer [json-pointer:/{name}]") from error

    def structure(self, name: str, *, error: str) -> Any:
        """A list or object; a form carries it as a JSON string. Raises Refused(`error`) when it is none."""
        value = self.values.get(name)
        if isinstance(value, str):
            if not value:
                return None
            try:
                value = orjson.loads(value)
            except orjson.JSONDecodeError as broken:
                raise Refused(error) from broken
        if value is not None and not isinstance(value, list | dict):
            raise Refused(error)
        return value


class Sent:
    """What came with a request: merged arguments, and where a token or secret was found."""

    def __init__(self, *, values: dict[str, Any], form_token: str | None, secrets_in_query: list[str]) -> None:
        self.arguments = Arguments(values)
        self.form_token = form_token
        self.secrets_in_query = secrets_in_query
        self.warnings: list[str] = []


_SECRETS = ("token", "client_secret", "refresh_token")


async def read(request: Request) -> Sent:
    """Reads query, then form, then JSON over each other; raises Refused for bodies Slack would not take."""
    values: dict[str, Any] = dict(request.query_params)
    secrets_in_query = [name for name in _SECRETS if name in values]
    for name in secrets_in_query:
        del values[name]
    sent = Sent(values=values, form_token=None, secrets_in_query=secrets_in_query)
    if request.method != "POST":
        return sent
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    body = await request.body()
    if kind == "application/json":
        sent.arguments.values |= {name: value for name, value in _json(body).items() if value is not None}
        # Slack never takes a token from JSON.
        sent.arguments.values.pop("token", None)
        if "charset" not in parameters:
            sent.warnings.append("missing_charset")
    elif kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        form = {name: str(value) for name, value in (await request.form()).items()}
        sent.form_token = form.pop("token", None)
        sent.arguments.values |= form
    elif body:
        raise Refused("invalid_post_type" if kind else "missing_post_type")
    return sent


def _json(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused("invalid_json") from error
    if not isinstance(value, dict):
        raise Refused("json_not_object")
    return value
