"""Names of files as people send them, made fit to be stored, shown and downloaded under."""

import unicodedata

MOST_NAME = 200
MOST_TITLE = 300
# Longer endings are no file types.
_MOST_ENDING = 16


def clean_name(name: str, *, fallback: str = "document") -> str:
    """Return the last part of a path on one line, without what cannot be seen, of at most MOST_NAME characters.

    Names that end up empty, or are dots only, become `fallback`. The ending survives the cut.
    """
    # Whoever sends gigabytes of name is not read to the end of it.
    last = name[-10 * MOST_NAME :].replace("\\", "/").rstrip("/").rpartition("/")[2]
    shown = _visible(last)
    if not shown.strip("."):
        return fallback
    return _cut(shown)


def clean_title(title: str | None) -> str | None:
    """Return a title on one line, without what cannot be seen; None for one that says nothing."""
    if title is None:
        return None
    return _visible(title[: 10 * MOST_TITLE])[:MOST_TITLE].rstrip() or None


def _visible(text: str) -> str:
    """Drop what steers the reader unseen: controls, direction overrides, lone surrogates, unassigned and private."""
    folded = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))
    spaced = (" " if character.isspace() else character for character in folded)
    kept = "".join(character for character in spaced if unicodedata.category(character)[0] != "C")
    return " ".join(kept.split())


def _cut(name: str) -> str:
    if len(name) <= MOST_NAME:
        return name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending) > _MOST_ENDING:
        return name[:MOST_NAME].rstrip()
    return stem[: MOST_NAME - len(ending) - 1].rstrip() + dot + ending
