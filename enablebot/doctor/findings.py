"""What an examination finds, for people and for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["fine", "warning", "broken"]

_MARKS: dict[Level, str] = {"fine": "ok  ", "warning": "warn", "broken": "FAIL"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what it is like, and, unless it is fine, what to do."""

    area: str
    level: Level
    what: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """The finding for a program to read."""
        return asdict(self)


def report(findings: Sequence[Finding]) -> str:
    """The findings for a person to read."""
    lines = []
    for finding in findings:
        lines.append(f"{_MARKS[finding.level]}  {finding.area:<9} {finding.what}")
        if finding.remedy and finding.level != "fine":
            lines.append(f"      {'':<9} → {finding.remedy}")
    broken = sum(finding.level == "broken" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    lines.append(f"\n{broken} broken, {warnings} to look at, {len(findings) - broken - warnings} fine.")
    return "\n".join(lines)
