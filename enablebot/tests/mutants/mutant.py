"""What a mutant is, and how it is planted into a copy of the tree."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


class NotPlantable(Exception):
    """The list is out of date: the mutant would change nothing, or something else than it says."""


@dataclass(frozen=True)
class Change:
    """`old`, which `file` holds exactly once, becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A bug worth catching: its changes together, and the tests of which each must turn red.

    A test is named as pytest names it, with or without its parameters; without, one of its cases is enough.
    """

    name: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]

    def check(self, tree: Path) -> None:
        """Raise NotPlantable unless every change would change what it says, in this tree."""
        for change in self.changes:
            path = tree / change.file
            found = path.read_text(encoding="utf-8").count(change.old) if path.is_file() else None
            if found == 1 and change.old != change.new:
                continue
            why = "there is no such file" if found is None else f"it holds its old text {found} times"
            raise NotPlantable(
                f"“{self.name}” no longer applies to {change.file}: {why}. "
                "Correct the list in enablebot/tests/mutants/bugs/."
            )

    def plant(self, tree: Path) -> None:
        """Put the bug into a tree; raises NotPlantable."""
        self.check(tree)
        for change in self.changes:
            path = tree / change.file
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(change.old, change.new), encoding="utf-8")


@dataclass(frozen=True)
class ToCome:
    """A bug whose room is not built yet, and the issue that builds it."""

    name: str
    issue: str


def copy_tree(source: Path, target: Path) -> None:
    """Copy what git knows, and what it would take: no caches, no data, no environments."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=source,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.split("\0"):
        # A file that was deleted and not committed yet is still listed.
        if name and (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)
