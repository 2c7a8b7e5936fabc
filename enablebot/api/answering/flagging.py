"""The one case in which a person may see two answers: nobody knows whether ours arrived, so they decide."""

import logging

from enablebot.api.answering import reasons
from enablebot.api.answering.healing import Unresolved, metadata_of, opened_once
from enablebot.api.answering.journal import Entry
from enablebot.api.answering.messages import Desk
from enablebot.shared.errors import SlackError, SlackTokenDead

_log = logging.getLogger(__name__)


def flagged_part(desk: Desk) -> int | None:
    """The part of the answer that an earlier attempt began to flag, if one did."""
    return next((entry.part for entry in desk.journal.entries if entry.state == "ambiguous"), None)


async def flag(desk: Desk, part: int) -> None:
    """Record the doubt about a part, and post a note with a Retry button.

    The note is looked for before it is posted again; where nobody can tell, a second note is better than none.
    """
    await desk.journal.record(part, "ambiguous")
    note = next((entry for entry in desk.journal.entries if entry.part > part), None)
    if note is None:
        note = await desk.journal.intend(part + 1, "post")
    elif note.ts is not None or await _is_there(desk, note):
        return
    try:
        await _post(desk, note)
    except SlackTokenDead:
        raise
    except (SlackError, Unresolved) as error:
        _log.warning("the note about an uncertain answer may be missing: %s", error)


async def _post(desk: Desk, note: Entry) -> None:
    ts = await opened_once(
        note,
        "chat.postMessage",
        lambda: desk.client.post_message(
            channel=desk.question.channel,
            thread_ts=desk.question.thread_ts,
            text=reasons.sentence("ambiguous"),
            blocks=reasons.retry_blocks(f"{desk.journal.answer_id}:{desk.question.ts}"),
            metadata=metadata_of(desk.journal.answer_id, note.part),
        ),
        calls=desk.calls,
        evidence=desk.evidence,
    )
    await desk.journal.record(note.part, "closed", ts)


async def _is_there(desk: Desk, note: Entry) -> bool:
    try:
        found = await desk.evidence.find(note)
    except Unresolved:
        return False
    if found is not None:
        await desk.journal.record(note.part, "closed", found)
    return found is not None
