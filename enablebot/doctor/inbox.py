"""The inbox: does anything wait too long, and was anything given up."""

from enablebot.doctor.findings import Finding, Level
from enablebot.shared.database.operations import Database

# Questions are apologised for, and not answered, once they have waited this long.
_TOO_LATE_SECONDS = 900
_LONG_SECONDS = 120
_WAITING_REMEDY = (
    "Look whether an api is there (/ready), at its log, and at enablebot_events_running: with every slot taken, raise "
    "WORKER_CONCURRENCY or start another instance (docs/how-to/operate.md)."
)
_SET_ASIDE_REMEDY = (
    "`python -m enablebot events failed` says why; once the cause is gone, `events replay --all --team T…` puts them "
    "back (docs/how-to/operate.md)."
)


async def examine_inbox(database: Database) -> list[Finding]:
    """Findings about what waits and what was set aside."""
    depth = await database.get_inbox_depth()
    waiting = depth.ready + depth.queued + depth.claimed
    if depth.oldest_seconds > _LONG_SECONDS:
        level: Level = "broken" if depth.oldest_seconds > _TOO_LATE_SECONDS else "warning"
        what = f"an event has waited for {duration(depth.oldest_seconds)}; {waiting} are not finished"
        findings = [Finding("inbox", level, what, _WAITING_REMEDY)]
    else:
        findings = [Finding("inbox", "fine", f"{waiting} events under way or waiting, none for long")]
    if depth.set_aside:
        (oldest,) = await database.list_set_aside(tenant_id=None, after_id=None, limit=1)
        since = f", the first of {oldest.team_id} at {oldest.settled_at:%Y-%m-%d %H:%M} UTC"
        what = f"{depth.set_aside} event{'s are' if depth.set_aside > 1 else ' is'} set aside{since}"
        findings.append(Finding("inbox", "warning", what, _SET_ASIDE_REMEDY))
    return findings


def duration(seconds: float) -> str:
    """Minutes, or hours where these would be many."""
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"
