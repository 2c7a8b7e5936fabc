"""Events whose process died while they ran: one of them may be the reason, and the others must not die with it again.

Whatever runs in a process that is killed loses its claim. Claimed again all together, they would die together a second
and a third time, and all but one of them innocent.
"""

from collections.abc import Iterable, Sequence

from enablebot.api.claims import Claim
from enablebot.api.handling import MOST_ATTEMPTS
from enablebot.shared.database.models import ClaimedEventRow

# After one lost claim; on its last attempt an event runs with no other suspect beside it.
SUSPECTS_AT_ONCE = 4


def is_suspect(row: ClaimedEventRow) -> bool:
    """Whether the event's last claim was lost; one that gets its last word only runs no more."""
    return row.was_lost and not row.is_last_word


def part(
    rows: Sequence[ClaimedEventRow], running: Iterable[Claim]
) -> tuple[list[ClaimedEventRow], list[ClaimedEventRow]]:
    """Divide what was claimed into what may run now, beside what runs, and what has to wait for its turn."""
    beside = [claim.row for claim in running if is_suspect(claim.row)]
    may_run: list[ClaimedEventRow] = []
    has_to_wait: list[ClaimedEventRow] = []
    for row in rows:
        if not is_suspect(row):
            may_run.append(row)
        elif _may_join(row, beside):
            beside.append(row)
            may_run.append(row)
        else:
            has_to_wait.append(row)
    return may_run, has_to_wait


def _may_join(row: ClaimedEventRow, beside: Sequence[ClaimedEventRow]) -> bool:
    if any(other.attempts >= MOST_ATTEMPTS for other in beside):
        return False
    return not beside if row.attempts >= MOST_ATTEMPTS else len(beside) < SUSPECTS_AT_ONCE
