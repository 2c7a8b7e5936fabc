"""A point in time for people: how long ago, and exactly."""

from dataclasses import dataclass
from datetime import UTC, datetime

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
# From here on a date says more than a count of days.
_LONG_AGO = 14 * _DAY


@dataclass(frozen=True, slots=True)
class Moment:
    exact: str
    ago: str


def moment(at: datetime | None, *, now: datetime) -> Moment | None:
    if at is None:
        return None
    at = at.astimezone(UTC)
    return Moment(exact=at.strftime("%Y-%m-%d %H:%M:%S UTC"), ago=_ago((now - at).total_seconds(), at))


def _ago(seconds: float, at: datetime) -> str:
    if seconds < _MINUTE:
        return "just now"
    if seconds < _HOUR:
        return _counted(seconds // _MINUTE, "minute")
    if seconds < _DAY:
        return _counted(seconds // _HOUR, "hour")
    if seconds < _LONG_AGO:
        return _counted(seconds // _DAY, "day")
    return f"{at.day} {at:%B %Y}"


def _counted(count: float, unit: str) -> str:
    return f"{count:.0f} {unit}{'' if count == 1 else 's'} ago"
