"""What a message may contain: text, markdown, blocks, metadata, chunks, within Slack's limits."""

from __future__ import annotations

from typing import Any

import orjson

from enablebot.sandbox.blocks import checked_blocks
from enablebot.sandbox.messages import Block
from enablebot.sandbox.refusal import Refused, invalid_arguments
from enablebot.sandbox.webapi.call import Call

TEXT_CUT = 40_000
UPDATE_TEXT = 4_000
MARKDOWN = 12_000
_ATTACHMENTS = 100
_METADATA_BYTES = 16_384
_TASK_STATUSES = ("pending", "in_progress", "complete", "error")


def markdown_of(call: Call) -> str | None:
    """`markdown_text`, which stands alone and is at most 12,000 characters."""
    markdown = call.args.text("markdown_text")
    if markdown and (call.args.text("text") or call.args.values.get("blocks")):
        raise Refused("markdown_text_conflict")
    if markdown and len(markdown) > MARKDOWN:
        raise Refused("msg_too_long")
    return markdown or None


def blocks_of(call: Call) -> list[Block] | None:
    blocks = call.args.structure("blocks", error="invalid_blocks_format")
    return checked_blocks(blocks, most=50) if blocks is not None else None


def attachments_of(call: Call) -> list[dict[str, Any]] | None:
    attachments = call.args.structure("attachments", error="invalid_attachments")
    if attachments is None:
        return None
    if not isinstance(attachments, list) or not all(isinstance(entry, dict) for entry in attachments):
        raise Refused("invalid_attachments")
    if len(attachments) > _ATTACHMENTS:
        raise Refused("too_many_attachments")
    return attachments or None


def metadata_of(call: Call) -> dict[str, Any] | None:
    metadata = call.args.structure("metadata", error="invalid_metadata_format")
    if metadata is None:
        return None
    if not (isinstance(metadata, dict) and isinstance(metadata.get("event_type"), str)):
        raise Refused("invalid_metadata_format")
    if not isinstance(metadata.get("event_payload"), dict):
        raise Refused("invalid_metadata_format")
    if len(orjson.dumps(metadata)) > _METADATA_BYTES:
        raise Refused("metadata_too_large")
    return {"event_type": metadata["event_type"], "event_payload": metadata["event_payload"]}


def chunks_of(call: Call, *, required: bool) -> list[dict[str, Any]]:
    """What a stream call writes, as chunks; refuses `markdown_text` beside chunks, and neither if `required`."""
    markdown = call.args.text("markdown_text")
    chunks = call.args.structure("chunks", error="invalid_chunks")
    if markdown and chunks:
        raise invalid_arguments("only one of markdown_text and chunks may be given")
    if markdown:
        chunks = [{"type": "markdown_text", "text": markdown}]
    if not chunks:
        if required:
            raise Refused("no_text")
        return []
    if not isinstance(chunks, list):
        raise Refused("invalid_chunks")
    return [_checked_chunk(chunk) for chunk in chunks]


def _checked_chunk(chunk: Any) -> dict[str, Any]:
    kind = chunk.get("type") if isinstance(chunk, dict) else None
    if kind == "markdown_text" and isinstance(chunk.get("text"), str):
        if len(chunk["text"]) > MARKDOWN:
            raise Refused("msg_too_long")
    elif kind == "task_update":
        if not all(isinstance(chunk.get(name), str) and chunk[name] for name in ("id", "title")):
            raise Refused("invalid_chunks")
        if chunk.get("status") not in _TASK_STATUSES:
            raise Refused("invalid_chunks")
    elif kind == "plan_update":
        if not (isinstance(chunk.get("title"), str) and chunk["title"]):
            raise Refused("invalid_chunks")
    elif kind == "blocks":
        return {"type": "blocks", "blocks": checked_blocks(chunk.get("blocks"), most=50)}
    else:
        raise Refused("invalid_chunks")
    return dict(chunk)
