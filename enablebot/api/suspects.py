"""Events whose process died while they ran: one of them may be the reason, and the others must not die with it again.

Whatever runs in a process that is killed loses its claim. Claimed again all together, they would die together a second
and a third time, and all but one of them innocent. Documents are read in a child process, and are suspects all the
same: what they ask of the machine may be more than it has.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from enablebot.api.claims import URGENT_KINDS, Claim
from enablebot.api.handling import MOST_ATTEMPTS
from enablebot.api.settling import Settling
from enablebot.shared.database.models import ClaimRow

# After one lost claim. On its last attempt an event runs with nothing at all beside it: what ends its process then is
# the event itself, and no innocent one is given up for another's fault.
SUSPECTS_AT_ONCE = 4
# Until an event that may have killed its process is looked at again, and the reason that keeps it known as such.
_SUSPECT_SECONDS = 2.0
_LOST = "lease_expired"

Row = TypeVar("Row", bound=ClaimRow)


def is_suspect(row: ClaimRow) -> bool:
    """Whether the event's last claim was lost; one that gets its last word only runs no more."""
    return row.was_lost and not row.is_last_word


def has_to_run_alone(row: ClaimRow) -> bool:
    """Whether the event has lost all claims but this one."""
    return is_suspect(row) and row.attempts >= MOST_ATTEMPTS


def part(rows: Sequence[Row], running: Iterable[Claim]) -> tuple[list[Row], list[Row]]:
    """Divide what was claimed into what may run now, beside what runs, and what has to wait for its turn.

    A question minds no document that never brought a process down.
    """
    beside = [
        claim.row for claim in running if not claim.is_urgent and (not claim.is_document or is_suspect(claim.row))
    ]
    last_chance = next(filter(has_to_run_alone, rows), None)
    suspects = sum(map(is_suspect, beside))
    may_run: list[Row] = []
    has_to_wait: list[Row] = []
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


def part_documents(rows: Sequence[Row], running: Sequence[Claim]) -> tuple[list[Row], list[Row]]:
    """The same for documents, of which few are read at once: no two suspects, and a last chance beside no other.

    Nor does a suspect begin beside a question that has lost all claims but one.
    """
    documents = [claim.row for claim in running if claim.is_document]
    question_alone = any(has_to_run_alone(claim.row) for claim in running if not claim.is_document)
    may_run: list[Row] = []
    has_to_wait: list[Row] = []
    for row in rows:
        beside: list[ClaimRow] = [*documents, *may_run]
        fits = not any(map(has_to_run_alone, beside))
        if is_suspect(row):
            fits = fits and not question_alone and not any(map(is_suspect, beside))
            fits = fits and not (has_to_run_alone(row) and beside)
        (may_run if fits else has_to_wait).append(row)
    return may_run, has_to_wait


def returned(row: ClaimRow, *, jitter: Callable[[], float], time_scale: float) -> Settling:
    """What was claimed and has to wait, on its way back."""
    wait = _SUSPECT_SECONDS * (0.5 + jitter()) if is_suspect(row) and not has_to_run_alone(row) else 0.0
    return Settling(row, "release", _LOST if row.was_lost else None, wait * time_scale)
