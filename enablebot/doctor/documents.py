"""Documents: does any wait too long to be read, and has the embedding model seen all that is searchable."""

from enablebot.config.settings import Settings
from enablebot.doctor.findings import Finding
from enablebot.doctor.inbox import duration
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import SettingsError
from enablebot.shared.knowledge.embedding import embedder_for

_LONG_SECONDS = 600
_WAITING_REMEDY = (
    "Look whether an api is there and reads (enablebot_documents_reading), at its log, and whether one workspace has "
    "brought thousands: then raise WORKER_DOCUMENTS or start another instance (docs/how-to/operate.md)."
)
_EMBEDDING_REMEDY = (
    "Nothing has to be done: an api catches up with it, and says in its log and in enablebot_embedding_calls_total "
    "when the embedding model does not answer. Until then these passages are found by their words."
)
_WORKSPACES = 1000


async def examine_documents(settings: Settings, database: Database) -> list[Finding]:
    """Findings about documents that wait, and about passages without a vector of the configured model."""
    depth = await database.get_inbox_depth()
    unread = depth.documents_waiting + depth.documents_claimed
    if depth.oldest_document_seconds > _LONG_SECONDS:
        what = f"a document has waited for {duration(depth.oldest_document_seconds)}; {unread} are not read yet"
        findings = [Finding("documents", "warning", what, _WAITING_REMEDY)]
    else:
        findings = [Finding("documents", "fine", f"{unread} are being read or wait for it, none for long")]
    try:
        embedder = embedder_for(settings.model)
    except SettingsError as wrong:
        return [*findings, *(Finding("documents", "broken", fault, "Correct the setting.") for fault in wrong.faults)]
    if embedder is None:
        return findings
    await embedder.aclose()
    left = await database.count_passages_without_vectors(model=embedder.model, limit=_WORKSPACES)
    if left:
        many = sum(row.passages for row in left)
        what = f"{many} passages of {len(left)} workspaces have no vector of {embedder.model} yet"
        findings.append(Finding("documents", "warning", what, _EMBEDDING_REMEDY))
    return findings
