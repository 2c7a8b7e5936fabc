"""What is indexed of a passage: more than people see of it."""

from collections.abc import Sequence


def indexed_text(*, title: str, heading: Sequence[str], text: str) -> str:
    """Title and heading path in front of the text: what is weighed, and what is embedded.

    A heading that only repeats the title counts once.
    """
    path = heading[1:] if heading and heading[0].casefold() == title.casefold() else heading
    return "\n".join(filter(None, (title, " › ".join(path), text)))
