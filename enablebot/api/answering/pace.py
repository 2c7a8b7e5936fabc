"""How fast an answer moves into Slack, in seconds; one factor shortens all of it for tests and the sandbox."""

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True)
class Pace:
    """What Slack's limits and a reader's eyes allow.

    Streams: the first text at once, then every `append`, or half of it once 200 characters wait; `append_later` after
    ten pieces, for appendStream is meant for about 100 calls a minute. A stream dies after about five minutes whatever
    it gets, so a new message begins at `rollover`.
    Posts: the first with a whole sentence or after `first_post`, then an edit at most every `edit`.
    Doubt: `echo` is how long our own message may take to come back as an event before Slack is asked; an opening
    still unknown after `unresolved` is flagged. `patience` bounds the waiting for a Slack that limits or is down.
    `working`: an answer that takes longer than this is announced in its thread.
    """

    append: float = 0.4
    append_later: float = 0.7
    first_post: float = 0.7
    edit: float = 1.5
    rollover: float = 240.0
    echo: float = 2.0
    unresolved: float = 60.0
    patience: float = 60.0
    backoff: float = 0.5
    working: float = 0.3

    def scaled(self, factor: float) -> "Pace":
        """The same pace, `factor` times as long; patience stays, for Slack's waiting times do not shrink."""
        paced = (each.name for each in fields(self) if each.name != "patience")
        return replace(self, **{name: getattr(self, name) * factor for name in paced})
