"""Turns environment text into typed values and gathers every fault, without ever repeating a value."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from enablebot.config.reference import SETTINGS_REFERENCE, Service, Variable

_VARIABLES: Mapping[str, Variable] = {variable.name: variable for variable in SETTINGS_REFERENCE}
_ON = frozenset({"1", "true", "yes", "on"})
_OFF = frozenset({"0", "false", "no", "off"})

# Words, not parts of words: a random secret may well contain "xxx" somewhere.
_PLACEHOLDER = re.compile(
    r"(?<![a-z0-9])(?:x{3,}|your|placeholder|(?:change|replace)[-_ ]?(?:me|this))(?![a-z0-9])"
    r"|<[^>]*>|\.\.\.|…",
    re.IGNORECASE,
)
_WEAK_SECRET = re.compile(r"(?:secret|password|test|default|example|sample|none|null|token|key)\W?\d*", re.IGNORECASE)
_LOOPBACK = re.compile(r"localhost|.*\.localhost|127\..*|0\.0\.0\.0|::1?", re.IGNORECASE)


class Reader:
    """Reads settings one by one; a faulty one is noted in `faults` and stands in as its default or None."""

    def __init__(self, values: Mapping[str, str], *, production: bool, service: Service) -> None:
        self._values = values
        self._production = production
        self._service = service
        self.faults: list[str] = []

    def fault(self, name: str, problem: str) -> None:
        """Note what is wrong with a setting; its remedy is added."""
        remedy = _VARIABLES[name].remedy
        self.faults.append(f"{name} {problem}." + (f" {remedy}" if remedy else ""))

    def given(self, name: str) -> str | None:
        """What was set, checked for what no setting may be; None when nothing was."""
        value = self._values.get(name, "").strip()
        if not value:
            if self._production and self._service in _VARIABLES[name].required:
                self.fault(name, "is missing")
            return None
        if not value.isprintable():
            self.fault(name, "contains line breaks or other characters that are not text")
            return None
        if self._production and _is_placeholder(value, secret=_VARIABLES[name].secret):
            self.fault(name, "still holds a placeholder")
            return None
        return value

    def text(self, name: str) -> str:
        """A text that has a default."""
        return self.given(name) or _VARIABLES[name].default

    def secret(self, name: str, *, shortest: int = 1) -> SecretStr | None:
        """A secret of at least `shortest` characters."""
        value = self.given(name)
        if value is not None and len(value) < shortest:
            self.fault(name, f"is too short, it needs at least {shortest} characters")
            return None
        return None if value is None else SecretStr(value)

    def integer(self, name: str, *, smallest: int, largest: int) -> int:
        """A whole number within bounds, both included."""
        value = self.text(name)
        # isdecimal alone would let other scripts' digits through, and int() refuses thousands of digits.
        if value.isascii() and value.isdecimal() and len(value) < 10 and smallest <= int(value) <= largest:
            return int(value)
        self.fault(name, f"must be a whole number from {smallest} to {largest}")
        return smallest

    def number(self, name: str, *, smallest: float, largest: float) -> float:
        """A finite number within bounds, both included."""
        try:
            value = float(self.text(name))
        except ValueError:
            value = math.nan
        if smallest <= value <= largest:
            return value
        self.fault(name, f"must be a number from {smallest:g} to {largest:g}")
        return smallest

    def flag(self, name: str) -> bool:
        """On or off."""
        value = self.text(name).lower()
        if value not in _ON | _OFF:
            self.fault(name, "must be on or off")
        return value in _ON

    def choice(self, name: str, *choices: str) -> str:
        """One of the words given, in any case."""
        wanted = self.text(name).casefold()
        for choice in choices:
            if choice.casefold() == wanted:
                return choice
        self.fault(name, f"must be one of {', '.join(choices)}")
        return choices[0]

    def host(self, name: str) -> str:
        """A host name or address to listen on; `::` is everywhere."""
        value = self.given(name)
        if value is None:
            return "::" if self._production else _VARIABLES[name].default
        if not re.fullmatch(r"[A-Za-z0-9.:_-]+", value):
            self.fault(name, "must be a host name or an IP address, without scheme, port or brackets")
        return value

    def origin(self, name: str, *, default: str | None = None) -> str:
        """An http(s) address without a path; production wants https and a host others can reach."""
        value = self.given(name)
        if value is None:
            return default if default is not None else _VARIABLES[name].default
        address = self._web_address(name, value)
        if address is not None and (address.path.strip("/") or address.query or address.fragment):
            self.fault(name, "must end after the host, or after the port")
        elif address is not None and self._production and _LOOPBACK.fullmatch(address.hostname or ""):
            self.fault(name, "points at this machine only")
        return value.rstrip("/")

    def address(self, name: str) -> str | None:
        """An http(s) address that may have a path; production wants https."""
        value = self.given(name)
        if value is None or self._web_address(name, value) is None:
            return None
        return value.rstrip("/")

    def postgres(self, name: str) -> SecretStr | None:
        """A PostgreSQL connection string."""
        value = self.given(name)
        if value is None:
            return None
        address = _split(value)
        if address is None or address.scheme not in {"postgres", "postgresql"} or not (address.netloc or address.query):
            self.fault(name, "is not a PostgreSQL connection string")
            return None
        return SecretStr(value)

    def directory(self, name: str) -> Path:
        """A directory, as an absolute path; it need not exist yet."""
        path = Path(self.text(name)).expanduser().absolute()
        if path.exists() and not path.is_dir():
            self.fault(name, "is a file, not a directory")
        return path

    def _web_address(self, name: str, value: str) -> SplitResult | None:
        address = _split(value)
        if address is None or address.scheme not in {"http", "https"} or not address.hostname or address.username:
            self.fault(name, "must be an address that starts with https:// and names a host, without user or password")
            return None
        if self._production and address.scheme != "https":
            self.fault(name, "must start with https:// in production")
            return None
        return address


def _split(value: str) -> SplitResult | None:
    try:
        address = urlsplit(value)
        if address.scheme in {"http", "https"} and address.port == 0:
            return None
    except ValueError:
        return None
    return None if any(character.isspace() for character in value) else address


def _is_placeholder(value: str, *, secret: bool) -> bool:
    if _PLACEHOLDER.search(value):
        return True
    return secret and (len(set(value)) < 4 or _WEAK_SECRET.fullmatch(value) is not None)
