"""What an answer is made of before it is finished, in the form that survives a crash."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import orjson

AnswerEnd = Literal["complete", "failed"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the model counted them; None where a compatible server does not count."""

    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """The whole of an answer, guarded and ready to show, kept until Slack has all of it.

    `state` is how the answer ends once it is shown: `complete`, or `failed` when `text` is the reason for a failure.
    """

    text: str = field(repr=False)
    state: AnswerEnd = "complete"
    reason: str | None = None
    model: str | None = None
    usage: Usage = field(default_factory=Usage)

    def to_bytes(self) -> bytes:
        """The draft as it is sealed."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Draft":
        """The draft that `to_bytes` wrote; raises ValueError for anything else."""
        fields: Any = orjson.loads(stored)
        try:
            return cls(**{**fields, "usage": Usage(**fields["usage"])})
        except (TypeError, KeyError) as error:
            raise ValueError("not a draft") from error
