"""The events this process has claimed: what runs, what is about to be settled, and for how long each is ours."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from enablebot.shared.database.models import ClaimRow

# Outside the lanes, and never made to wait for a free slot.
URGENT_KINDS = frozenset({"stop", "delete", "lifecycle"})


@dataclass(slots=True, eq=False)
class Claim:
    """A claimed event and the task that works on it; `is_settling` once the handler has ended.

    `told`: the signals its handler has heard.
    """

    row: ClaimRow
    task: "asyncio.Task[None] | None" = None
    expiry: asyncio.TimerHandle | None = None
    is_lost: bool = False
    is_settling: bool = False
    told: set[str] = field(default_factory=set)

    @property
    def is_urgent(self) -> bool:
        return self.row.kind in URGENT_KINDS

    @property
    def is_document(self) -> bool:
        return self.row.kind == "document"

    def hold_until(self, when: float) -> None:
        """Stop the handler at this time of the loop's clock, unless it is moved on before."""
        self.let_go()
        self.expiry = asyncio.get_running_loop().call_at(when, self.lose)

    def let_go(self) -> None:
        """No longer stop the handler at a certain time."""
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None

    def lose(self) -> None:
        """Stop the handler: its event belongs to somebody else by now, or to nobody."""
        self.is_lost = True
        if self.task is not None:
            self.task.cancel()


class Claims:
    """All claims of this process."""

    def __init__(self) -> None:
        self._claims: set[Claim] = set()

    def __len__(self) -> int:
        return len(self._claims)

    def __contains__(self, claim: Claim) -> bool:
        return claim in self._claims

    def __iter__(self) -> Iterator[Claim]:
        return iter(tuple(self._claims))

    def add(self, claim: Claim) -> None:
        """Keep a claim until its task has ended."""
        self._claims.add(claim)

    def discard(self, claim: Claim) -> None:
        """The claim's task has ended."""
        self._claims.discard(claim)

    @property
    def running(self) -> list[Claim]:
        """Those whose handler runs."""
        return [claim for claim in self._claims if not claim.is_settling]

    @property
    def questions(self) -> list[Claim]:
        """What runs for people and for Slack."""
        return [claim for claim in self.running if not claim.is_document]

    @property
    def documents(self) -> list[Claim]:
        """Documents that are being read."""
        return [claim for claim in self.running if claim.is_document]

    @property
    def tasks(self) -> set["asyncio.Task[None]"]:
        """What has to end before this process may."""
        return {claim.task for claim in self._claims if claim.task is not None}
