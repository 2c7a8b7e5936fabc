"""The .env file: NAME=value, one a line, nothing expanded."""

import re
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(
    r"""
    \s* (?:export\s+)? (?P<name>[A-Za-z_][A-Za-z0-9_]*) \s* = \s*
    (?: '(?P<single>[^']*)' | "(?P<double>(?:[^"\\]|\\.)*)" | (?P<bare>(?!['"]).*?) )
    \s* (?:(?<=\s)\#.*|(?<==)\#.*)?
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class EnvFile:
    """What a .env file says, and the numbers of the lines that say nothing readable."""

    values: dict[str, str]
    unreadable_lines: tuple[int, ...]


def read_env_file(path: Path) -> EnvFile:
    """Read NAME=value lines; comments, `export` and quotes are allowed. The last one of a name wins."""
    values: dict[str, str] = {}
    unreadable: list[int] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            unreadable.append(number)
        elif match["double"] is not None:
            values[match["name"]] = re.sub(r"\\(.)", r"\1", match["double"])
        else:
            values[match["name"]] = match["single"] if match["single"] is not None else match["bare"]
    return EnvFile(values, tuple(unreadable))
