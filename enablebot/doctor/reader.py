"""The reader of documents: can this machine wall it in, so that a stranger's file reaches nothing."""

from enablebot.api.knowledge.child import missing_walls
from enablebot.config.settings import Settings
from enablebot.doctor.findings import Finding


async def examine_reader(settings: Settings) -> list[Finding]:
    """A finding about the reader child's walls; a child is started to find out."""
    missing = await missing_walls()
    if missing is None:
        return [Finding("reader", "fine", "documents are read behind walls: no files, no network, no processes")]
    what = f"documents cannot be read behind walls here: {missing}"
    if settings.reader.without_walls:
        remedy = "Read no strangers' documents on this machine; production belongs on Linux, x86_64 or aarch64."
        return [Finding("reader", "warning", what, remedy)]
    remedy = "Run on Linux with seccomp, x86_64 or aarch64; READER_WITHOUT_WALLS=on reads behind limits alone."
    return [Finding("reader", "broken", what, remedy)]
