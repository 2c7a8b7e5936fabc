"""Events whose process died while they ran: one of them may be the reason, and the others must not die with it again.

Whatever runs in a process that is killed loses its claim. Claimed again all together, they would die together a second
and a third time, and all but one of them innocent.
"""

from collections.abc import Iterable, Sequence

from enablebot.api.claims import URGENT_KINDS, Claim
from enablebot.api.handling import MOST_ATTEMPTS
from enablebot.shared.database.models import ClaimedEventRow

# After one lost claim. On its last attempt an event runs with nothing at all beside it: what ends its process then is
# the event itself, and no innocent one is given up for another's fault.
SUSPECTS_AT_ONCE = 4


def is_suspect(row: ClaimedEventRow) -> bool:
    """Whether the event's last claim was lost; one that gets its last word only runs no more."""
    return row.was_lost and not row.is_last_word


def has_to_run_alone(row: ClaimedEventRow) -> bool:
    """Whether the event has lost all claims but this one."""
    return is_suspect(row) and row.attempts >= MOST_ATTEMPTS


def part(
    rows: Sequence[ClaimedEventRow], running: Iterable[Claim]
) -> tuple[list[ClaimedEventRow], list[ClaimedEventRow]]:
    """Divide what was claimed into what may run now, beside what runs, and what has to wait for its turn."""
    beside = [claim.row for claim in running if not claim.is_urgent]
    last_chance = next(filter(has_to_run_alone, rows), None)
    suspects = sum(map(is_suspect, beside))
    may_run: list[ClaimedEventRow] = []
    has_to_wait: list[ClaimedEventRow] = []
    for row in rows:
        if row.kind in URGENT_KINDS:
            fits = True
        elif last_chance is not None:
            fits = row is last_chance and not beside
        else:
            fits = not is_suspect(row) or suspects < SUSPECTS_AT_ONCE
            suspects += is_suspect(row)
        (may_run if fits else has_to_wait).append(row)
    return may_run, has_to_wait
