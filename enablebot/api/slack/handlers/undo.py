"""Undo and Put back under a confirmation: the same press twice changes nothing more, and says what is so."""

import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from enablebot.api.handling import BodyUnreadable
from enablebot.api.slack.handlers import file_words as words
from enablebot.api.slack.handlers.file_steps import Notice
from enablebot.api.slack.handlers.files import Files
from enablebot.api.slack.handlers.opened import OpenedEvent
from enablebot.api.slack.interactions import REDO_ACTION, UNDO_ACTION, action_of, interaction_for_us
from enablebot.shared.errors import Conflict, NotFound, SlackRefused
from enablebot.shared.installations import BotCredentials
from enablebot.shared.models.document import Document
from enablebot.shared.models.question import Outcome

log = logging.getLogger(__name__)


async def undo_or_redo(event: OpenedEvent, credentials: BotCredentials, files: Files) -> Outcome:
    """Delete what was added, or put back what was deleted, and edit the message into what is so now."""
    pressed = interaction_for_us(event.envelope)
    if pressed is None or pressed.channel is None or pressed.ts is None:
        raise BodyUnreadable("a stored interaction is not a press of Undo")
    payload, tenant_id = event.envelope, event.row.tenant_id
    user = _mapping(payload.get("user"))
    presser, team_id = str(user.get("id")), user.get("team_id")
    action = action_of(payload)
    named = _documents(action.get("value"))
    lately = {document.id: document for document in await files.library.list_deleted(tenant_id)}
    known = {document_id: await _find(files, tenant_id, document_id, lately) for document_id in named}
    present = [document for document in known.values() if document is not None]
    team = team_id if isinstance(team_id, str) else None
    if not await files.managers.may_manage(presser, team_id=team, credentials=credentials) and not all(
        document.added_by == presser for document in present
    ):
        await _respond(event, files, words.report([words.NOT_YOURS]), replaces=False)
        return Outcome("done", "not theirs to undo")
    change = _remove if action.get("action_id") == UNDO_ACTION else _put_back
    lines, still = [], []
    for document_id, document in known.items():
        line, stays = await change(files, tenant_id, document_id, document, presser)
        lines.append(line)
        still += [document_id] if stays else []
    following = REDO_ACTION if change is _remove else UNDO_ACTION
    report = words.report(lines, action=following, documents=still)
    await _show(event, files, report, credentials, channel=pressed.channel, ts=pressed.ts)
    return Outcome("done")


async def _remove(
    files: Files, tenant_id: UUID, document_id: UUID, document: Document | None, actor: str
) -> tuple[str, bool]:
    """The line to show, and whether the document can be put back."""
    if document is None:
        return words.lost_line(None), False
    try:
        await files.library.delete(
            tenant_id, document_id, undo_seconds=words.UNDO_SECONDS, actor=actor, reach="conversations too"
        )
    except NotFound:
        # Deleted by an earlier press, or meanwhile: it can be put back as long as it is among the lately deleted.
        lately = {one.id for one in await files.library.list_deleted(tenant_id)}
        if document_id not in lately:
            return words.lost_line(words.shown_name(document)), False
    return words.removed_line(words.shown_name(document)), True


async def _put_back(
    files: Files, tenant_id: UUID, document_id: UUID, document: Document | None, actor: str
) -> tuple[str, bool]:
    """The line to show, and whether the document is there."""
    try:
        restored = await files.library.restore(tenant_id, document_id, actor=actor, reach="conversations too")
    except Conflict as error:
        return words.failed_line(words.shown_name(document) if document else "The document", error.message), False
    except NotFound:
        # Put back by an earlier press, or erased.
        try:
            restored = await files.library.get(tenant_id, document_id, reach="conversations too")
        except NotFound:
            return words.lost_line(words.shown_name(document) if document else None), False
    return words.restored_line(restored), True


async def _find(files: Files, tenant_id: UUID, document_id: UUID, lately: Mapping[UUID, Document]) -> Document | None:
    try:
        return await files.library.get(tenant_id, document_id, reach="conversations too")
    except NotFound:
        return lately.get(document_id)


async def _show(
    event: OpenedEvent, files: Files, report: words.Report, credentials: BotCredentials, *, channel: str, ts: str
) -> None:
    container = _mapping(event.envelope.get("container"))
    if container.get("is_ephemeral") is not True:
        await files.show(Notice(channel=channel, ts=ts), report, credentials)
        return
    await _respond(event, files, report, replaces=True)


async def _respond(event: OpenedEvent, files: Files, report: words.Report, *, replaces: bool) -> None:
    url = event.envelope.get("response_url")
    if not isinstance(url, str):
        return
    try:
        await files.slack.respond(url, text=report.text, blocks=report.blocks, replace_original=replaces)
    except SlackRefused as error:
        log.info("What came of a press could not be told: %s", error.message)


def _documents(value: object) -> list[UUID]:
    found: list[UUID] = []
    for word in value.split(" ") if isinstance(value, str) else []:
        try:
            found.append(UUID(word))
        except ValueError:
            continue
    return found


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
